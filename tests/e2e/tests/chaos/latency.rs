//! Slow lines.

use std::time::{Duration, Instant};

use quorate_api::Wait;
use quorate_e2e::Signer;

use crate::fixtures::{FaultTest, Figures};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[scenario("50 ms each way on every line", slow_lines)];

const DELAY: Duration = Duration::from_millis(50);

/// Delays that every commit needs in sequence: request and proposal, PREPARE, COMMIT.
const DELAYS: u32 = 3;

/// Median time until single transactions are committed.
fn median(test: &FaultTest, count: usize) -> Duration {
    let rpc = test.network.rpc(test.primary);
    let mut signer = Signer::new(test.network.genesis(), 1, 64);
    let mut times: Vec<Duration> = (0..count)
        .map(|_| {
            let (signed, start) = (signer.sign(), Instant::now());
            let answer = rpc.submit(&signed.hex, Wait::Committed, 20_000).unwrap();
            assert!(answer.receipt.is_some(), "it is committed in time");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn slow_lines(length: Length) -> Figures {
    let mut test = FaultTest::with_lines();
    let count = length.of(50, 5);
    let before = median(&test, count);
    test.fault_begins();
    test.network.lines().delay(DELAY);
    let during = median(&test, count);
    assert!(during >= DELAYS * DELAY, "{during:?} is less than the delay of the lines");
    last(length.hold());
    test.fault_ends();
    test.network.lines().delay(Duration::ZERO);
    test.note = format!("median to commit {} ms, then {} ms", before.as_millis(), during.as_millis());
    test.sent_by_test += 2 * count;
    let figures = test.finish();
    assert_eq!(figures.views, 0, "slow lines must not cause a view change");
    figures
}

#[test]
fn slow_lines_make_commits_slow_and_change_no_view() {
    slow_lines(Length::Short);
}
