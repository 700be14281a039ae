//! Virtual time: the queue of future events. No event takes time, and no two events overlap.

use std::collections::BTreeMap;
use std::time::Duration;

/// The future events, ordered by time; at the same time in the order in which they were planned.
#[derive(Debug)]
pub struct Agenda<T> {
    now: Duration,
    planned: u64,
    entries: BTreeMap<(Duration, u64), T>,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Agenda { now: Duration::ZERO, planned: 0, entries: BTreeMap::new() }
    }
}

impl<T> Agenda<T> {
    /// The present, counted from the start of the run.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Plans an event. A time in the past means now.
    pub fn at(&mut self, time: Duration, what: T) {
        self.planned += 1;
        self.entries.insert((time.max(self.now), self.planned), what);
    }

    /// Plans an event after a delay.
    pub fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// Advances to the next event, or to `end` if that is earlier.
    pub fn next_until(&mut self, end: Duration) -> Option<T> {
        let Some(first) = self.entries.first_entry().filter(|entry| entry.key().0 <= end) else {
            self.now = self.now.max(end);
            return None;
        };
        self.now = first.key().0;
        Some(first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_ordered_by_time_and_then_by_planning() {
        let mut agenda = Agenda::default();
        agenda.at(Duration::from_secs(2), "c");
        agenda.at(Duration::from_secs(1), "a");
        agenda.after(Duration::from_secs(1), "b");
        let end = Duration::from_secs(2);
        let order: Vec<_> = std::iter::from_fn(|| agenda.next_until(end)).collect();
        assert_eq!(order, ["a", "b", "c"]);
        agenda.at(Duration::ZERO, "late");
        assert_eq!(agenda.next_until(end), Some("late"));
        assert_eq!(agenda.now(), end, "time never goes back");
        agenda.after(Duration::from_secs(1), "later");
        assert_eq!(agenda.next_until(end), None);
    }
}
