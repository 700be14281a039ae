//! Records when each transaction was sent and committed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Stands for a time that does not exist yet.
const NEVER: u32 = u32::MAX;

/// Times and counts of a run. The submitting workers and the watcher share it.
pub(super) struct Tally {
    start: Instant,
    /// For each position of the load, in microseconds since the start.
    sent: Vec<AtomicU32>,
    committed: Vec<AtomicU32>,
    committed_count: AtomicU64,
    counts: Mutex<Counts>,
}

/// Counts of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Transactions sent to a node at least once.
    pub(super) submitted: u64,
    /// Transactions that a node accepted.
    pub(super) accepted: u64,
    /// Transactions refused permanently, by kind.
    pub(super) refused: BTreeMap<String, u64>,
    /// Refusals after which a transaction was sent again, by kind.
    pub(super) retried: BTreeMap<String, u64>,
    /// Transactions that were still being retried when the run ended.
    pub(super) given_up: u64,
    /// Transactions that were due but not sent, because too many were already waiting.
    pub(super) not_sent: u64,
    /// Blocks with transactions of this run.
    pub(super) blocks: u64,
    /// Transactions of other senders in the blocks of the run.
    pub(super) foreign: u64,
    /// Transactions that occur more than once in the chain. Any value but 0 is a fault of the
    /// network.
    pub(super) repeated: u64,
}

impl Tally {
    /// A tally for a load of this many transactions; the run starts now.
    pub(super) fn start(transactions: usize) -> Self {
        let never = || (0..transactions).map(|_| AtomicU32::new(NEVER)).collect();
        Tally {
            start: Instant::now(),
            sent: never(),
            committed: never(),
            committed_count: AtomicU64::new(0),
            counts: Mutex::default(),
        }
    }

    /// When the run started.
    pub(super) fn started_at(&self) -> Instant {
        self.start
    }

    /// The counts, to read or change.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a transaction was sent, or was due, this long after the start. Only the first
    /// call for a position counts.
    pub(super) fn sent(&self, position: u32, since_start: Duration) {
        let time = microseconds(since_start);
        let slot = &self.sent[position as usize];
        if slot.compare_exchange(NEVER, time, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.counts().submitted += 1;
        }
    }

    /// Records that a transaction is in a final block. `false` if it was recorded before.
    pub(super) fn committed(&self, position: u32) -> bool {
        let time = microseconds(self.start.elapsed());
        let slot = &self.committed[position as usize];
        let first = slot.compare_exchange(NEVER, time, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if first {
            self.committed_count.fetch_add(1, Ordering::Relaxed);
        }
        first
    }

    /// Number of transactions in final blocks.
    pub(super) fn committed_count(&self) -> u64 {
        self.committed_count.load(Ordering::Relaxed)
    }

    /// Number of transactions that were in final blocks this long after the start.
    pub(super) fn committed_until(&self, since_start: Duration) -> u64 {
        let end = microseconds(since_start);
        let in_time = self.committed.iter().filter(|time| time.load(Ordering::Relaxed) <= end);
        in_time.count() as u64
    }

    /// Latencies of all committed transactions in microseconds, ascending.
    pub(super) fn latencies(&self) -> Vec<u32> {
        let times = self.sent.iter().zip(&self.committed);
        let times =
            times.map(|(sent, committed)| (sent.load(Ordering::Relaxed), committed.load(Ordering::Relaxed)));
        let both = times.filter(|(sent, committed)| *sent != NEVER && *committed != NEVER);
        let mut latencies: Vec<u32> = both.map(|(sent, committed)| committed.saturating_sub(sent)).collect();
        latencies.sort_unstable();
        latencies
    }
}

/// Microseconds, saturating after more than an hour: no run is that long.
fn microseconds(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(NEVER - 1).min(NEVER - 1)
}

/// The value that `percent` of the ascending values do not exceed (nearest rank); `None` without
/// values.
pub(super) fn percentile(ascending: &[u32], percent: usize) -> Option<u32> {
    let rank = (ascending.len() * percent).div_ceil(100).max(1);
    ascending.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), Some(50));
        assert_eq!(percentile(&hundred, 95), Some(95));
        assert_eq!(percentile(&hundred, 99), Some(99));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[7], 99), Some(7));
        assert_eq!(percentile(&[1, 2, 3], 50), Some(2));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn the_first_time_counts_and_only_whole_ways_have_a_latency() {
        let tally = Tally::start(3);
        tally.sent(0, Duration::ZERO);
        tally.sent(0, Duration::from_secs(3000));
        tally.sent(1, Duration::ZERO);
        assert_eq!(tally.counts().submitted, 2);
        assert!(tally.committed(0));
        assert!(!tally.committed(0), "a second place in the chain is noticed");
        assert!(tally.committed(2), "even if the answer to its sender was lost");
        assert_eq!(tally.committed_count(), 2);
        assert_eq!(tally.committed_until(Duration::from_secs(3000)), 2);
        assert_eq!(tally.latencies().len(), 1, "sent and committed");
    }
}
