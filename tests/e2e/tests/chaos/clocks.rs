//! Clocks that are wrong.

use std::time::Instant;

use quorate_e2e::Network;

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, last, scenario};

const HOUR_MS: i64 = 3_600_000;

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("the clock of a backup jumps an hour ahead, and back", |length| backup(length, HOUR_MS)),
    scenario("the clock of a backup jumps an hour back, and ahead", |length| backup(length, -HOUR_MS)),
    scenario("the clock of the primary jumps an hour ahead, and back", |length| primary(length, HOUR_MS)),
    scenario("the clock of the primary jumps an hour back, and ahead", |length| primary(length, -HOUR_MS)),
];

/// Answers of `committed` while a clock is wrong.
const MEANWHILE: usize = 60;

/// Without a client for the one that is wrong: to it, what clients sign has expired, or is for another day.
fn scene(place: usize) -> Scene {
    let picked: Vec<usize> = (0..4).filter(|picked| *picked != place).collect();
    Scene::start(Network::testnet(4).with_faults(), &picked)
}

fn backup(length: Length, off: i64) -> Figures {
    let mut scene = scene(1);
    let index = scene.backup(1);
    scene.strikes();
    scene.network.set_clock_off(index, off);
    scene.load.wait_for_more(MEANWHILE);
    last(length.hold());
    scene.heals();
    scene.network.set_clock_off(index, 0);
    scene.ends()
}

fn primary(length: Length, off: i64) -> Figures {
    let mut scene = scene(0);
    let (primary, others) = (scene.primary, scene.others(&[scene.primary]));
    scene.strikes();
    let start = Instant::now();
    scene.network.set_clock_off(primary, off);
    let took = scene.network.time_to_order_after(scene.view, &others, start);
    scene.load.wait_for_more(MEANWHILE);
    last(length.hold());
    scene.heals();
    scene.network.set_clock_off(primary, 0);
    scene.note = format!("replaced after {} ms", took.as_millis());
    scene.ends()
}

#[test]
fn a_primary_whose_clock_is_an_hour_ahead_is_replaced() {
    primary(Length::Short, HOUR_MS);
}
