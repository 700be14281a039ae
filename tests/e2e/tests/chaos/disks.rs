//! Slow disks.

use std::time::{Duration, Instant};

use quorate_e2e::Network;

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("100 ms for each write of a backup", |length| slow(length, 1, 100)),
    scenario("700 ms for each write of a backup", |length| slow(length, 1, 700)),
    scenario("100 ms for each write of the primary", |length| slow(length, 0, 100)),
    scenario("700 ms for each write of the primary", |length| slow(length, 0, 700)),
    scenario("each write of the primary takes longer than the request timeout", too_slow),
];

/// Transactions reported `committed` while a disk is slow.
const MEANWHILE: usize = 60;

fn slow(length: Length, place: usize, milliseconds: u64) -> Figures {
    // There is no client at the slow validator: the test measures its effect on the others.
    let picked: Vec<usize> = (0..4).filter(|picked| *picked != place).collect();
    let mut test = FaultTest::start(Network::testnet(4).with_faults(), &picked);
    let index = test.backup(place);
    test.fault_begins();
    test.network.set_disk_delay(index, Duration::from_millis(milliseconds));
    test.load.wait_for_more(MEANWHILE);
    last(length.hold());
    test.fault_ends();
    test.network.set_disk_delay(index, Duration::ZERO);
    test.finish()
}

fn too_slow(length: Length) -> Figures {
    let mut test = FaultTest::start(Network::testnet(4).with_faults(), &[1, 2, 3]);
    let (primary, others) = (test.primary, test.others(&[test.primary]));
    test.fault_begins();
    let start = Instant::now();
    let delay = test.network.request_timeout() + Duration::from_secs(1);
    test.network.set_disk_delay(primary, delay);
    let took = test.network.time_to_order_after(test.view, &others, start);
    test.load.wait_for_more(MEANWHILE);
    last(length.hold());
    test.fault_ends();
    test.network.set_disk_delay(primary, Duration::ZERO);
    test.note = format!("{} ms for each; replaced after {} ms", delay.as_millis(), took.as_millis());
    test.finish()
}

#[test]
fn a_primary_whose_disk_is_too_slow_is_replaced() {
    too_slow(Length::Short);
}
