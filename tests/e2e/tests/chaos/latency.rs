//! Lines that are slow.

use std::time::{Duration, Instant};

use quorate_api::Wait;
use quorate_e2e::Signer;

use crate::scene::{Figures, Scene};
use crate::{Length, Scenario, last, scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[scenario("50 ms each way on every line", slow_lines)];

const DELAY: Duration = Duration::from_millis(50);

/// Request, proposal, PREPARE and COMMIT: no commit takes fewer of them that come one after the other.
const DELAYS: u32 = 3;

/// How long single transactions take until they are committed, the median.
fn median(scene: &Scene, count: usize) -> Duration {
    let rpc = scene.network.rpc(scene.primary);
    let mut signer = Signer::new(scene.network.genesis(), 1, 64);
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
    let mut scene = Scene::with_lines();
    let count = length.of(50, 5);
    let before = median(&scene, count);
    scene.strikes();
    scene.network.lines().delay(DELAY);
    let during = median(&scene, count);
    assert!(during >= DELAYS * DELAY, "{during:?} is less than the lines take");
    last(length.hold());
    scene.heals();
    scene.network.lines().delay(Duration::ZERO);
    scene.note = format!("median to commit {} ms, then {} ms", before.as_millis(), during.as_millis());
    scene.sent_besides += 2 * count;
    let figures = scene.ends();
    assert_eq!(figures.views, 0, "slow lines are no reason to leave a view");
    figures
}

#[test]
fn slow_lines_make_commits_slow_and_change_no_view() {
    slow_lines(Length::Short);
}
