//! Limits log lines that remote peers can trigger to one a second.

use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Limits the log lines for one kind of event.
#[derive(Debug, Default)]
pub(crate) struct LogLimiter {
    last: Option<Instant>,
    suppressed: u64,
}

impl LogLimiter {
    /// Returns the number of events suppressed since the last line if the caller should log now,
    /// and `None` if it should not.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now < last + PAUSE) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_second_with_a_count() {
        let mut log_limiter = LogLimiter::default();
        let start = Instant::now();
        assert_eq!(log_limiter.admit(start), Some(0));
        assert_eq!(log_limiter.admit(start), None);
        assert_eq!(log_limiter.admit(start + PAUSE / 2), None);
        assert_eq!(log_limiter.admit(start + PAUSE), Some(2));
        assert_eq!(log_limiter.admit(start + 2 * PAUSE), Some(0));
    }
}
