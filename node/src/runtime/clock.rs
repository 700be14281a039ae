use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_ledger::Timestamp;
use quorate_pbft::{Moment, Now};
use tokio::time::Instant;

use super::faults;

/// The only place where a node reads clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Clock { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Now {
        Now { moment: Moment(self.start.elapsed()), wall: wall() }
    }

    /// The moment as a point in time that tokio can wait for.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        // A deadline that does not fit is so far away that any later time will do.
        const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.start + moment.0.min(FAR)
    }
}

/// Wall-clock time in milliseconds since the Unix epoch.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Timestamp(since.saturating_add_signed(faults::clock_ms()))
}
