//! Disks that are slow.

use std::time::{Duration, Instant};

use quorate_e2e::Network;

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("100 ms for each write of a backup", |length| slow(length, 1, 100)),
    scenario("700 ms for each write of a backup", |length| slow(length, 1, 700)),
    scenario("100 ms for each write of the primary", |length| slow(length, 0, 100)),
    scenario("700 ms for each write of the primary", |length| slow(length, 0, 700)),
    scenario("each write of the primary takes longer than the request timeout", too_slow),
];

/// Answers of `committed` while a disk is slow.
const MEANWHILE: usize = 60;

fn slow(length: Length, place: usize, milliseconds: u64) -> Figures {
    // Without a client for the one that is slow: what is measured is what it does to the others.
    let picked: Vec<usize> = (0..4).filter(|picked| *picked != place).collect();
    let mut scene = Scene::start(Network::testnet(4).with_faults(), &picked);
    let index = scene.backup(place);
    scene.strikes();
    scene.network.set_disk_delay(index, Duration::from_millis(milliseconds));
    scene.load.wait_for_more(MEANWHILE);
    last(length.hold());
    scene.heals();
    scene.network.set_disk_delay(index, Duration::ZERO);
    scene.ends()
}

fn too_slow(length: Length) -> Figures {
    let mut scene = Scene::start(Network::testnet(4).with_faults(), &[1, 2, 3]);
    let (primary, others) = (scene.primary, scene.others(&[scene.primary]));
    scene.strikes();
    let start = Instant::now();
    let delay = scene.network.request_timeout() + Duration::from_secs(1);
    scene.network.set_disk_delay(primary, delay);
    let took = scene.network.time_to_order_after(scene.view, &others, start);
    scene.load.wait_for_more(MEANWHILE);
    last(length.hold());
    scene.heals();
    scene.network.set_disk_delay(primary, Duration::ZERO);
    scene.note = format!("{} ms for each; replaced after {} ms", delay.as_millis(), took.as_millis());
    scene.ends()
}

#[test]
fn a_primary_whose_disk_is_too_slow_is_replaced() {
    too_slow(Length::Short);
}
