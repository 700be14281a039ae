//! Faults of real processes: lines that are cut, blocked or slow, crashes, disks, clocks and old
//! copies of data.
//!
//! Each scenario injects a fault into a network of four under a paced load, and then heals it.
//! Afterwards it asserts what must always be true: every validator has caught up, all chains are
//! equal, every transaction that was reported `committed` is at its place exactly once, and no
//! validator has evidence against any validator. It also asserts that the fault was effective: a
//! validator that is cut off reports that.
//!
//! Some of the scenarios always run, in a short form. The command in [`report`] runs all of them
//! and writes their figures into `CHAOS.md`.
#![allow(clippy::unwrap_used)]

mod clocks;
mod crashes;
mod disks;
mod fixtures;
mod latency;
mod old_copies;
mod partitions;
mod report;
mod watch;

use std::time::Duration;

use fixtures::Figures;

/// Pause between two requests of a client, so that the machine has time for the protocol.
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
    /// How long a fault lasts after it has taken effect.
    fn hold(self) -> Duration {
        match self {
            Length::Short => Duration::from_secs(1),
            Length::Full => Duration::from_secs(8),
        }
    }

    /// `full` repetitions in the report, `short` otherwise.
    fn of(self, full: usize, short: usize) -> usize {
        if self == Length::Full { full } else { short }
    }
}

/// A fault that is injected into a network.
struct Scenario {
    /// Its name in the report.
    name: &'static str,
    /// Runs it.
    play: fn(Length) -> Figures,
}

const fn scenario(name: &'static str, play: fn(Length) -> Figures) -> Scenario {
    Scenario { name, play }
}

/// Waits for this time, as the duration of a fault.
fn last(duration: Duration) {
    let start = std::time::Instant::now();
    quorate_e2e::wait_until("it has lasted for long enough", || start.elapsed() >= duration);
}
