//! Time as an argument: a monotonic clock for deadlines, and the wall clock for block times (R6).

use std::time::Duration;

use quorate_ledger::Timestamp;

/// A point on the monotonic clock, counted from an arbitrary start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub Duration);

impl Moment {
    /// This moment plus `duration`. Saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Moment(self.0.saturating_add(duration))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time of a step. Deadlines follow the monotonic clock. Only the clock check of fresh
/// proposals (R6) and the time put into new blocks use the wall clock, which may jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock.
    pub moment: Moment,
    /// The wall clock.
    pub wall: Timestamp,
}
