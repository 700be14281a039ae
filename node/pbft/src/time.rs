//! Time as an argument: one clock to wait by, one to agree by.

use std::time::Duration;

use quorate_ledger::Timestamp;

/// A point on a clock that never jumps, counted from an arbitrary start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// This moment and `duration` more; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Moment(self.0.saturating_add(duration))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// When a step happens. Deadlines follow the monotonic clock; only the clock check of fresh proposals (R6)
/// and the time put into new blocks look at the wall clock, which may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// On the clock that never jumps.
    pub moment: Moment,
    /// On the clock that people read.
    pub wall: Timestamp,
}
