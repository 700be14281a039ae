//! Admission to a pool: its outcome and its limits.

use quorate_ledger::Refusal;

/// Limits on the content of a pool. Transactions in flight count: they stay in the pool until they
/// are committed.
///
/// Besides the encoded transactions, a pool needs less than 1 KiB of memory for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolLimits {
    /// Most transactions.
    pub max_transactions: u64,
    /// Most bytes of encoded transactions.
    pub max_bytes: u64,
    /// Most transactions of one sender.
    pub max_transactions_per_sender: u64,
    /// Most bytes of one sender's encoded transactions.
    pub max_bytes_per_sender: u64,
}

/// The outcome for a transaction that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was added to the pool.
    New,
    /// It was in the pool already. Nothing changed.
    Known,
}

/// The number and bytes of held transactions, of all senders or of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Number of transactions.
    pub(crate) transactions: u64,
    /// Bytes of their encodings.
    pub(crate) bytes: u64,
}

impl Usage {
    /// The usage with one more transaction.
    pub(crate) fn plus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions + 1, bytes: self.bytes + u64::from(bytes) }
    }

    /// The usage without one of its transactions.
    pub(crate) fn minus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions - 1, bytes: self.bytes - u64::from(bytes) }
    }
}

impl MempoolLimits {
    /// Checks the usage of one sender against its quota.
    pub(crate) fn check_sender(&self, Usage { transactions, bytes }: Usage) -> Result<(), Refusal> {
        if transactions <= self.max_transactions_per_sender && bytes <= self.max_bytes_per_sender {
            return Ok(());
        }
        Err(Refusal::SenderQuota { transactions, bytes })
    }

    /// Checks the total usage against the limits of the pool.
    pub(crate) fn check_total(&self, Usage { transactions, bytes }: Usage) -> Result<(), Refusal> {
        if transactions <= self.max_transactions && bytes <= self.max_bytes {
            return Ok(());
        }
        Err(Refusal::PoolFull { transactions, bytes })
    }
}
