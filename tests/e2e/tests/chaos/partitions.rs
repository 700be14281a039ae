//! Lines that are cut, in both directions or in one.

use std::time::{Duration, Instant};

use quorate_e2e::{Random, Way, seed, wait_until};

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("two and two, connections refused", |length| halves(length, Cut::Refused)),
    scenario("two and two, nothing arrives", |length| halves(length, Cut::Silent)),
    scenario("the primary alone, connections refused", |length| primary_alone(length, Cut::Refused)),
    scenario("the primary alone, nothing arrives", |length| primary_alone(length, Cut::Silent)),
    scenario("a backup alone, connections refused", |length| backup_alone(length, Cut::Refused)),
    scenario("a backup alone, nothing arrives", |length| backup_alone(length, Cut::Silent)),
    scenario("the primary sends and hears nothing; all comes late", |length| deaf(length, Way::Held)),
    scenario("the primary sends and hears nothing; all is lost", |length| deaf(length, Way::Lost)),
    scenario("the primary hears and nothing it sends arrives; all comes late", |length| {
        mute(length, Way::Held)
    }),
    scenario("the primary hears and nothing it sends arrives; all is lost", |length| mute(length, Way::Lost)),
    scenario("one line of the primary cut", one_line),
    scenario("one sees all, the others only that one", bridge),
    scenario("a ring: each sees two of three", ring),
    scenario("nothing arrives for three seconds, then all comes late", pause),
    scenario("connections cut at random", cuts_at_random),
];

/// How a line is cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Connections are cut, and refused.
    Refused,
    /// Connections stay, and nothing arrives.
    Silent,
}

fn cut(scene: &Scene, some: &[usize], others: &[usize], how: Cut) {
    let lines = scene.network.lines();
    for one in some {
        for other in others {
            match how {
                Cut::Refused => lines.refuse(*one, *other),
                Cut::Silent => {
                    lines.set(*one, *other, Way::Lost);
                    lines.set(*other, *one, Way::Lost);
                }
            }
        }
    }
}

/// Holds the fault, during which nobody of these has anything new.
fn hold_still(scene: &Scene, indices: &[usize], length: Length) {
    let height = scene.settled_height(indices);
    last(length.hold());
    assert_eq!(scene.height_of(indices), height, "{indices:?} have got a block from somewhere");
}

fn halves(length: Length, how: Cut) -> Figures {
    let mut scene = Scene::with_lines();
    let (some, others) = ([scene.primary, scene.backup(1)], [scene.backup(2), scene.backup(3)]);
    scene.strikes();
    cut(&scene, &some, &others, how);
    scene.contact_is_lost(&[some, others].concat(), 1);
    hold_still(&scene, &[some, others].concat(), length);
    scene.heals_lines();
    scene.ends()
}

/// The others replace the primary while it is cut off.
fn primary_is_replaced(scene: &mut Scene, start: Instant) {
    let others = scene.others(&[scene.primary]);
    let took = scene.network.time_to_order_after(scene.view, &others, start);
    scene.note = format!("replaced after {} ms", took.as_millis());
}

fn primary_alone(length: Length, how: Cut) -> Figures {
    let mut scene = Scene::with_lines();
    let (primary, others) = (scene.primary, scene.others(&[scene.primary]));
    scene.strikes();
    let start = Instant::now();
    cut(&scene, &[primary], &others, how);
    primary_is_replaced(&mut scene, start);
    scene.contact_is_lost(&[primary], 0);
    scene.contact_is_lost(&others, 2);
    hold_still(&scene, &[primary], length);
    assert!(scene.height_of(&others) > scene.height_of(&[primary]));
    scene.heals_lines();
    scene.ends()
}

fn backup_alone(length: Length, how: Cut) -> Figures {
    let mut scene = Scene::with_lines();
    let backup = scene.backup(2);
    let others = scene.others(&[backup]);
    scene.strikes();
    cut(&scene, &[backup], &others, how);
    scene.contact_is_lost(&[backup], 0);
    scene.contact_is_lost(&others, 2);
    hold_still(&scene, &[backup], length);
    assert!(scene.height_of(&others) > scene.height_of(&[backup]));
    scene.heals_lines();
    let figures = scene.ends();
    assert_eq!((figures.views, figures.mute), (0, 0), "whoever hears nobody leaves no view");
    figures
}

/// One direction of all lines of the primary is cut: a connection needs both, so it is alone before long.
fn one_way(length: Length, deaf: bool, way: Way) -> Figures {
    let mut scene = Scene::with_lines();
    let (primary, others) = (scene.primary, scene.others(&[scene.primary]));
    scene.strikes();
    let start = Instant::now();
    for other in &others {
        let (from, to) = if deaf { (*other, primary) } else { (primary, *other) };
        scene.network.lines().set(from, to, way);
    }
    primary_is_replaced(&mut scene, start);
    scene.contact_is_lost(&[primary], 0);
    scene.contact_is_lost(&others, 2);
    last(length.hold());
    scene.heals_lines();
    scene.ends()
}

fn deaf(length: Length, way: Way) -> Figures {
    one_way(length, true, way)
}

fn mute(length: Length, way: Way) -> Figures {
    let figures = one_way(length, false, way);
    assert_eq!(figures.mute, 0, "it does not blame its successor for what only it knew of");
    figures
}

fn one_line(length: Length) -> Figures {
    let mut scene = Scene::with_lines();
    let (primary, backup) = (scene.primary, scene.backup(1));
    scene.strikes();
    cut(&scene, &[primary], &[backup], Cut::Refused);
    scene.contact_is_lost(&[primary, backup], 2);
    // The others are a quorum with the primary, and bring the one that it does not reach what it misses.
    let height = scene.height_of(&[primary]);
    wait_until("the one that the primary does not reach follows", || scene.height_of(&[backup]) > height + 5);
    last(length.hold());
    scene.heals_lines();
    let figures = scene.ends();
    assert_eq!((figures.views, figures.mute), (0, 0), "one line less is no reason to leave a view");
    figures
}

fn bridge(length: Length) -> Figures {
    let mut scene = Scene::with_lines();
    let middle = scene.backup(1);
    let rest = scene.others(&[middle]);
    scene.strikes();
    for (place, one) in rest.iter().enumerate() {
        cut(&scene, &[*one], &rest[place + 1..], Cut::Refused);
    }
    scene.contact_is_lost(&rest, 1);
    scene.contact_is_lost(&[middle], 3);
    let height = scene.height_of(&[middle]);
    last(length.hold());
    scene.note = format!("{} blocks meanwhile", scene.height_of(&[middle]) - height);
    scene.heals_lines();
    scene.ends()
}

fn ring(length: Length) -> Figures {
    let mut scene = Scene::with_lines();
    let all = scene.others(&[]);
    scene.strikes();
    cut(&scene, &all[..1], &all[2..3], Cut::Refused);
    cut(&scene, &all[1..2], &all[3..], Cut::Refused);
    scene.contact_is_lost(&all, 2);
    let height = scene.height_of(&all);
    last(length.hold());
    scene.note = format!("{} blocks meanwhile", scene.height_of(&all) - height);
    scene.heals_lines();
    scene.ends()
}

/// Shorter than the silence after which connections are given up.
fn pause(_: Length) -> Figures {
    let mut scene = Scene::with_lines();
    let all = scene.others(&[]);
    scene.strikes();
    for from in &all {
        for to in all.iter().filter(|to| *to != from) {
            scene.network.lines().set(*from, *to, Way::Held);
        }
    }
    let height = scene.settled_height(&all);
    last(Duration::from_secs(2));
    assert_eq!(scene.height_of(&all), height);
    scene.heals_lines();
    scene.ends()
}

fn cuts_at_random(length: Length) -> Figures {
    const BETWEEN: Duration = Duration::from_millis(400);
    let mut random = Random::seeded(seed());
    let mut scene = Scene::with_lines();
    let (height, start) = (scene.height_of(&[0]), Instant::now());
    scene.strikes();
    let mut cuts = 0;
    while start.elapsed() < 3 * length.hold() || cuts < 5 {
        last(random.up_to(BETWEEN));
        let one = random.below(4);
        let other = (one + 1 + random.below(3)) % 4;
        // A line without connection cannot be cut.
        if scene.network.lines().connections(one, other) > 0 {
            scene.network.lines().cut(one, other);
            cuts += 1;
        }
    }
    scene.note = format!("{cuts} cuts, {} blocks meanwhile", scene.height_of(&[0]) - height);
    scene.heals();
    scene.ends()
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
    deaf(Length::Short, Way::Held);
}

#[test]
fn a_primary_that_is_not_heard_is_replaced_and_comes_back() {
    mute(Length::Short, Way::Lost);
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
