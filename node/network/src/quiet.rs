//! Log lines that strangers can cause, kept to one a second.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Decides which of many similar events are worth a log line.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    last: Option<Instant>,
    silenced: u64,
}

impl Quiet {
    /// Whether to log now, and how many events went unmentioned since the last time.
    pub(crate) fn speak(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.silenced += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.silenced))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second_with_a_count() {
        let mut quiet = Quiet::default();
        let start = Instant::now();
        assert_eq!(quiet.speak(start), Some(0));
        assert_eq!(quiet.speak(start), None);
        assert_eq!(quiet.speak(start + PAUSE / 2), None);
        assert_eq!(quiet.speak(start + PAUSE), Some(2));
        assert_eq!(quiet.speak(start + 2 * PAUSE), Some(0));
    }
}
