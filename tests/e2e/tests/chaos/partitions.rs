//! Lines that are cut, in both directions or in one.

use std::time::{Duration, Instant};

use quorate_e2e::{Delivery, Random, seed, wait_until};

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("two and two, connections refused", |length| halves(length, Cut::Refused)),
    scenario("two and two, nothing arrives", |length| halves(length, Cut::Silent)),
    scenario("the primary alone, connections refused", |length| primary_alone(length, Cut::Refused)),
    scenario("the primary alone, nothing arrives", |length| primary_alone(length, Cut::Silent)),
    scenario("a backup alone, connections refused", |length| backup_alone(length, Cut::Refused)),
    scenario("a backup alone, nothing arrives", |length| backup_alone(length, Cut::Silent)),
    scenario("the primary receives nothing; messages arrive late", |length| {
        primary_receives_nothing(length, Delivery::Held)
    }),
    scenario("the primary receives nothing; messages are lost", |length| {
        primary_receives_nothing(length, Delivery::Lost)
    }),
    scenario("nothing that the primary sends arrives; messages arrive late", |length| {
        primary_sends_nothing(length, Delivery::Held)
    }),
    scenario("nothing that the primary sends arrives; messages are lost", |length| {
        primary_sends_nothing(length, Delivery::Lost)
    }),
    scenario("one line of the primary cut", one_line),
    scenario("one is connected to all, the others only to it", bridge),
    scenario("a ring: each is connected to two of three", ring),
    scenario("nothing arrives for three seconds, then all messages arrive", pause),
    scenario("connections cut at random", cuts_at_random),
];

/// How a line is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Connections are cut, and new ones refused.
    Refused,
    /// Connections stay open, and nothing arrives.
    Silent,
}

fn cut(test: &FaultTest, some: &[usize], others: &[usize], how: Cut) {
    let lines = test.network.lines();
    for one in some {
        for other in others {
            match how {
                Cut::Refused => lines.refuse(*one, *other),
                Cut::Silent => {
                    lines.set(*one, *other, Delivery::Lost);
                    lines.set(*other, *one, Delivery::Lost);
                }
            }
        }
    }
}

/// Keeps the fault, during which none of these validators may get a new block.
fn hold_without_progress(test: &FaultTest, indices: &[usize], length: Length) {
    let height = test.settled_height(indices);
    last(length.hold());
    assert_eq!(test.height_of(indices), height, "{indices:?} have received a block");
}

fn halves(length: Length, how: Cut) -> Figures {
    let mut test = FaultTest::with_lines();
    let (some, others) = ([test.primary, test.backup(1)], [test.backup(2), test.backup(3)]);
    test.fault_begins();
    cut(&test, &some, &others, how);
    test.wait_until_connections_are_lost(&[some, others].concat(), 1);
    hold_without_progress(&test, &[some, others].concat(), length);
    test.heal_lines();
    test.finish()
}

/// The others replace the primary while it is cut off.
fn primary_is_replaced(test: &mut FaultTest, start: Instant) {
    let others = test.others(&[test.primary]);
    let took = test.network.time_to_order_after(test.view, &others, start);
    test.note = format!("replaced after {} ms", took.as_millis());
}

fn primary_alone(length: Length, how: Cut) -> Figures {
    let mut test = FaultTest::with_lines();
    let (primary, others) = (test.primary, test.others(&[test.primary]));
    test.fault_begins();
    let start = Instant::now();
    cut(&test, &[primary], &others, how);
    primary_is_replaced(&mut test, start);
    test.wait_until_connections_are_lost(&[primary], 0);
    test.wait_until_connections_are_lost(&others, 2);
    hold_without_progress(&test, &[primary], length);
    assert!(test.height_of(&others) > test.height_of(&[primary]));
    test.heal_lines();
    test.finish()
}

fn backup_alone(length: Length, how: Cut) -> Figures {
    let mut test = FaultTest::with_lines();
    let backup = test.backup(2);
    let others = test.others(&[backup]);
    test.fault_begins();
    cut(&test, &[backup], &others, how);
    test.wait_until_connections_are_lost(&[backup], 0);
    test.wait_until_connections_are_lost(&others, 2);
    hold_without_progress(&test, &[backup], length);
    assert!(test.height_of(&others) > test.height_of(&[backup]));
    test.heal_lines();
    let figures = test.finish();
    assert_eq!((figures.views, figures.excluded), (0, 0), "a validator without contact leaves no view");
    figures
}

/// Cuts one direction of all lines of the primary. A connection needs both, so the primary soon has
/// none.
fn one_way(length: Length, receives_nothing: bool, way: Delivery) -> Figures {
    let mut test = FaultTest::with_lines();
    let (primary, others) = (test.primary, test.others(&[test.primary]));
    test.fault_begins();
    let start = Instant::now();
    for other in &others {
        let (from, to) = if receives_nothing { (*other, primary) } else { (primary, *other) };
        test.network.lines().set(from, to, way);
    }
    primary_is_replaced(&mut test, start);
    test.wait_until_connections_are_lost(&[primary], 0);
    test.wait_until_connections_are_lost(&others, 2);
    last(length.hold());
    test.heal_lines();
    test.finish()
}

fn primary_receives_nothing(length: Length, way: Delivery) -> Figures {
    one_way(length, true, way)
}

fn primary_sends_nothing(length: Length, way: Delivery) -> Figures {
    let figures = one_way(length, false, way);
    assert_eq!(figures.excluded, 0, "it does not leave the view because of work that only it knew of");
    figures
}

fn one_line(length: Length) -> Figures {
    let mut test = FaultTest::with_lines();
    let (primary, backup) = (test.primary, test.backup(1));
    test.fault_begins();
    cut(&test, &[primary], &[backup], Cut::Refused);
    test.wait_until_connections_are_lost(&[primary, backup], 2);
    // The others and the primary form a quorum, and forward the blocks to the backup that the
    // primary does not reach.
    let height = test.height_of(&[primary]);
    wait_until("the backup that the primary does not reach follows", || {
        test.height_of(&[backup]) > height + 5
    });
    last(length.hold());
    test.heal_lines();
    let figures = test.finish();
    assert_eq!((figures.views, figures.excluded), (0, 0), "one missing line must not cause a view change");
    figures
}

fn bridge(length: Length) -> Figures {
    let mut test = FaultTest::with_lines();
    let middle = test.backup(1);
    let rest = test.others(&[middle]);
    test.fault_begins();
    for (place, one) in rest.iter().enumerate() {
        cut(&test, &[*one], &rest[place + 1..], Cut::Refused);
    }
    test.wait_until_connections_are_lost(&rest, 1);
    test.wait_until_connections_are_lost(&[middle], 3);
    let height = test.height_of(&[middle]);
    last(length.hold());
    test.note = format!("{} blocks meanwhile", test.height_of(&[middle]) - height);
    test.heal_lines();
    test.finish()
}

fn ring(length: Length) -> Figures {
    let mut test = FaultTest::with_lines();
    let all = test.others(&[]);
    test.fault_begins();
    cut(&test, &all[..1], &all[2..3], Cut::Refused);
    cut(&test, &all[1..2], &all[3..], Cut::Refused);
    test.wait_until_connections_are_lost(&all, 2);
    let height = test.height_of(&all);
    last(length.hold());
    test.note = format!("{} blocks meanwhile", test.height_of(&all) - height);
    test.heal_lines();
    test.finish()
}

/// Shorter than the silence after which connections are closed.
fn pause(_: Length) -> Figures {
    let mut test = FaultTest::with_lines();
    let all = test.others(&[]);
    test.fault_begins();
    for from in &all {
        for to in all.iter().filter(|to| *to != from) {
            test.network.lines().set(*from, *to, Delivery::Held);
        }
    }
    let height = test.settled_height(&all);
    last(Duration::from_secs(2));
    assert_eq!(test.height_of(&all), height);
    test.heal_lines();
    test.finish()
}

fn cuts_at_random(length: Length) -> Figures {
    const BETWEEN: Duration = Duration::from_millis(400);
    let mut random = Random::seeded(seed());
    let mut test = FaultTest::with_lines();
    let (height, start) = (test.height_of(&[0]), Instant::now());
    test.fault_begins();
    let mut cuts = 0;
    while start.elapsed() < 3 * length.hold() || cuts < 5 {
        last(random.up_to(BETWEEN));
        let one = random.below(4);
        let other = (one + 1 + random.below(3)) % 4;
        // A line without a connection cannot be cut.
        if test.network.lines().connections(one, other) > 0 {
            test.network.lines().cut(one, other);
            cuts += 1;
        }
    }
    test.note = format!("{cuts} cuts, {} blocks meanwhile", test.height_of(&[0]) - height);
    test.fault_ends();
    test.finish()
}

#[test]
fn two_halves_commit_nothing_and_go_on_when_they_meet() {
    halves(Length::Short, Cut::Refused);
}

#[test]
fn a_primary_that_is_cut_off_is_replaced_and_comes_back() {
    primary_alone(Length::Short, Cut::Refused);
}

#[test]
fn a_backup_that_is_cut_off_without_a_word_stays_in_its_view() {
    backup_alone(Length::Short, Cut::Silent);
}

#[test]
fn a_primary_that_hears_nothing_is_replaced_and_what_comes_late_does_no_harm() {
    primary_receives_nothing(Length::Short, Delivery::Held);
}

#[test]
fn a_primary_that_is_not_heard_is_replaced_and_comes_back() {
    primary_sends_nothing(Length::Short, Delivery::Lost);
}

#[test]
fn a_backup_that_the_primary_does_not_reach_follows_by_way_of_others() {
    one_line(Length::Short);
}

#[test]
fn a_ring_goes_on_when_it_is_closed() {
    ring(Length::Short);
}

#[test]
fn connections_that_are_cut_at_random_lose_nothing() {
    cuts_at_random(Length::Short);
}
