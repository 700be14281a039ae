//! Statistics of a pool.

/// The current state and the counters of a pool. Counters start at zero with the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MempoolStatistics {
    /// Transactions held now, in flight or waiting.
    pub transactions: u64,
    /// Bytes of their encodings.
    pub bytes: u64,
    /// Of these transactions, those in an accepted block that is not committed.
    pub in_flight: u64,
    /// Senders of the transactions held now.
    pub senders: u64,
    /// Transactions admitted so far.
    pub admitted: u64,
    /// Refusals because the pool was full.
    pub refused_full: u64,
    /// Refusals because a sender's quota was used up.
    pub refused_quota: u64,
    /// Refusals of transactions that had expired.
    pub refused_expired: u64,
    /// Admitted transactions that expired without being committed.
    pub expired: u64,
    /// Admitted transactions that no block may contain since a change of the configuration.
    pub rejected: u64,
}

/// The part of the statistics that only grows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) admitted: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_quota: u64,
    pub(crate) refused_expired: u64,
    pub(crate) expired: u64,
    pub(crate) rejected: u64,
}
