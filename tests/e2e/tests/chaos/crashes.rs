//! Validators that are killed.

use quorate_e2e::Network;

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("each killed in turn, and started again", each_in_turn),
    scenario("all killed at the same moment, again and again", power_cuts),
];

/// Answers of `committed` while one is dead, and between two power cuts.
const BETWEEN: usize = 60;

fn scene() -> Scene {
    Scene::start(Network::testnet(4), &[0, 1, 2, 3])
}

fn each_in_turn(length: Length) -> Figures {
    let mut scene = scene();
    scene.strikes();
    let kills = length.of(8, 4);
    for place in 0..kills {
        let index = scene.backup(place);
        scene.network.kill(index);
        scene.load.wait_for_more(BETWEEN);
        scene.network.start(index);
        let other = (index + 1) % scene.network.size();
        scene.network.wait_until_level(index, other);
        scene.network.wait_until_it_votes(index, other);
    }
    scene.note = format!("{kills} kills");
    scene.heals();
    scene.ends()
}

fn power_cuts(length: Length) -> Figures {
    let mut scene = scene();
    scene.strikes();
    let cuts = length.of(5, 2);
    for _ in 0..cuts {
        scene.load.wait_for_more(BETWEEN);
        scene.network.kill_all();
        scene.heals();
        scene.network.start_all();
    }
    scene.note = format!("{cuts} power cuts; times from the last one");
    scene.ends()
}

#[test]
fn whoever_is_killed_the_others_go_on_and_it_comes_back() {
    each_in_turn(Length::Short);
}

#[test]
fn power_cuts_lose_nothing() {
    power_cuts(Length::Short);
}
