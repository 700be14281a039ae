//! Wrong clocks.

use std::time::Instant;

use quorate_e2e::Network;

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, last, scenario};

const HOUR_MS: i64 = 3_600_000;

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("the clock of a backup jumps an hour ahead, and back", |length| backup(length, HOUR_MS)),
    scenario("the clock of a backup jumps an hour back, and ahead", |length| backup(length, -HOUR_MS)),
    scenario("the clock of the primary jumps an hour ahead, and back", |length| primary(length, HOUR_MS)),
    scenario("the clock of the primary jumps an hour back, and ahead", |length| primary(length, -HOUR_MS)),
];

/// Transactions reported `committed` while a clock is wrong.
const MEANWHILE: usize = 60;

/// There is no client at the validator with the wrong clock: it would reject clients' transactions
/// as expired or too far in the future.
fn test(place: usize) -> FaultTest {
    let picked: Vec<usize> = (0..4).filter(|picked| *picked != place).collect();
    FaultTest::start(Network::testnet(4).with_faults(), &picked)
}

fn backup(length: Length, off: i64) -> Figures {
    let mut test = test(1);
    let index = test.backup(1);
    test.fault_begins();
    test.network.set_clock_off(index, off);
    test.load.wait_for_more(MEANWHILE);
    last(length.hold());
    test.fault_ends();
    test.network.set_clock_off(index, 0);
    test.finish()
}

fn primary(length: Length, off: i64) -> Figures {
    let mut test = test(0);
    let (primary, others) = (test.primary, test.others(&[test.primary]));
    test.fault_begins();
    let start = Instant::now();
    test.network.set_clock_off(primary, off);
    let took = test.network.time_to_order_after(test.view, &others, start);
    test.load.wait_for_more(MEANWHILE);
    last(length.hold());
    test.fault_ends();
    test.network.set_clock_off(primary, 0);
    test.note = format!("replaced after {} ms", took.as_millis());
    test.finish()
}

#[test]
fn a_primary_whose_clock_is_an_hour_ahead_is_replaced() {
    primary(Length::Short, HOUR_MS);
}
