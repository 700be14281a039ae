//! Statistics of a pool.

use quorate_ledger::Refusal;

/// The current state and the counters of a pool. Counters start at zero with the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MempoolStatistics {
    /// Transactions held now, in flight or waiting.
    pub transactions: u64,
    /// Bytes of their encodings.
    pub bytes: u64,
    /// Of these transactions, those in reserved places. The limits of the pool do not count them.
    pub reserved: u64,
    /// Of these transactions, those in an accepted block that is not committed.
    pub in_flight: u64,
    /// Senders of the transactions held now.
    pub senders: u64,
    /// Transactions admitted so far.
    pub admitted: u64,
    /// Refusals because the pool was full.
    pub refused_full: u64,
    /// Refusals because the share of the sender's group was used up.
    pub refused_share: u64,
    /// Refusals because a sender's quota, or its reserved places, were used up.
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
    pub(crate) refused_share: u64,
    pub(crate) refused_quota: u64,
    pub(crate) refused_expired: u64,
    pub(crate) expired: u64,
    pub(crate) rejected: u64,
}

impl Counters {
    /// Counts a refusal.
    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Expired { .. } => self.refused_expired += 1,
            Refusal::SenderQuota { .. } => self.refused_quota += 1,
            Refusal::MemberShare { .. } => self.refused_share += 1,
            Refusal::PoolFull { .. } => self.refused_full += 1,
            other => unreachable!("a pool never refuses for this reason: {other}"),
        }
    }
}
