//! Real faults on real processes: lines that are cut, held up and slow, crashes, disks, clocks and old copies.
//!
//! Each scenario strikes a network of four under a paced load, heals it, and asserts what must hold after anything at all:
//! every validator is level again, all chains are equal, what was answered `committed` stands at its place once, and
//! nobody has a proof against anybody. It also proves that the fault was one: who is cut off says so.
//!
//! Some of the scenarios run always, in a short form. All of them run, and write their figures into `CHAOS.md`, with the
//! command that is named in [`report`].
#![allow(clippy::unwrap_used)]

mod clocks;
mod crashes;
mod disks;
mod latency;
mod old_copies;
mod partitions;
mod report;
mod scene;
mod watch;

use std::time::Duration;

use scene::Figures;

/// Between two requests of a client, so that the machine has time for the protocol.
const PACE: Duration = Duration::from_millis(30);

/// How long faults last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    /// In the tests that always run.
    Short,
    /// In the report.
    Full,
}

impl Length {
    /// How long a fault lasts once it has taken effect.
    fn hold(self) -> Duration {
        match self {
            Length::Short => Duration::from_secs(1),
            Length::Full => Duration::from_secs(8),
        }
    }

    /// So many of something in the report, and so many otherwise.
    fn of(self, full: usize, short: usize) -> usize {
        if self == Length::Full { full } else { short }
    }
}

/// Something that happens to a network.
struct Scenario {
    /// What the report calls it.
    name: &'static str,
    /// Makes it happen.
    play: fn(Length) -> Figures,
}

const fn scenario(name: &'static str, play: fn(Length) -> Figures) -> Scenario {
    Scenario { name, play }
}

/// Waits until so much time has passed, because a fault is to last so long.
fn last(duration: Duration) {
    let start = std::time::Instant::now();
    quorate_e2e::wait_until("it has lasted for long enough", || start.elapsed() >= duration);
}
