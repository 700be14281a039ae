//! Killed validators.

use quorate_e2e::Network;

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("each killed in turn, and started again", each_in_turn),
    scenario("all killed at the same moment, again and again", power_cuts),
];

/// Transactions reported `committed` while one validator is dead, and between two power cuts.
const BETWEEN: usize = 60;

fn test() -> FaultTest {
    FaultTest::start(Network::testnet(4), &[0, 1, 2, 3])
}

fn each_in_turn(length: Length) -> Figures {
    let mut test = test();
    test.fault_begins();
    let kills = length.of(8, 4);
    for place in 0..kills {
        let index = test.backup(place);
        test.network.kill(index);
        test.load.wait_for_more(BETWEEN);
        test.network.start(index);
        let other = (index + 1) % test.network.size();
        test.network.wait_until_caught_up(index, other);
        test.network.wait_until_it_votes(index, other);
    }
    test.note = format!("{kills} kills");
    test.fault_ends();
    test.finish()
}

fn power_cuts(length: Length) -> Figures {
    let mut test = test();
    test.fault_begins();
    let cuts = length.of(5, 2);
    for _ in 0..cuts {
        test.load.wait_for_more(BETWEEN);
        test.network.kill_all();
        test.fault_ends();
        test.network.start_all();
    }
    test.note = format!("{cuts} power cuts; times from the last one");
    test.finish()
}

#[test]
fn any_killed_validator_is_replaced_by_the_others_and_comes_back() {
    each_in_turn(Length::Short);
}

#[test]
fn power_cuts_lose_nothing() {
    power_cuts(Length::Short);
}
