//! Virtual time: what happens when. Nothing waits, nothing overlaps.

use std::collections::BTreeMap;
use std::time::Duration;

/// What is going to happen, in order of time; at the same time in the order in which it was planned.
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

    /// Plans something. What lies in the past happens now.
    pub fn at(&mut self, time: Duration, what: T) {
        self.planned += 1;
        self.entries.insert((time.max(self.now), self.planned), what);
    }

    /// Plans something for later.
    pub fn after(&mut self, delay: Duration, what: T) {
        self.at(self.now + delay, what);
    }

    /// Moves on to what happens next, or to `end` if that comes first.
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
    fn things_happen_in_order_of_time_and_then_of_planning() {
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
