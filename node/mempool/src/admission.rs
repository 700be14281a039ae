//! Admission to a pool: its limits and refusals.

use quorate_ledger::{PublicKey, Timestamp};

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

/// Why a transaction was refused. Only a counter changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pool is full.
    #[error(
        "the pool is full: with this transaction it would hold {transactions} of {max_transactions} transactions and {bytes} of {max_bytes} bytes; send it again when some are committed"
    )]
    PoolFull {
        /// Transactions that the pool would hold.
        transactions: u64,
        /// Maximum number of transactions.
        max_transactions: u64,
        /// Bytes that the pool would hold.
        bytes: u64,
        /// Maximum number of bytes.
        max_bytes: u64,
    },
    /// The sender's quota is used up.
    #[error(
        "sender {sender} has too much in the pool: with this transaction it would have {transactions} of {max_transactions} transactions and {bytes} of {max_bytes} bytes; send it again when some are committed"
    )]
    SenderQuota {
        /// The sender.
        sender: PublicKey,
        /// Transactions that the sender would have in the pool.
        transactions: u64,
        /// Maximum number of transactions of one sender.
        max_transactions: u64,
        /// Bytes that the sender would have in the pool.
        bytes: u64,
        /// Maximum number of bytes of one sender.
        max_bytes: u64,
    },
    /// No later block may contain it.
    #[error("the transaction was valid until {valid_until} and it is {now}: sign it again with a later time")]
    Expired {
        /// The end of its validity.
        valid_until: Timestamp,
        /// The current time.
        now: Timestamp,
    },
}

impl Refusal {
    /// Whether the same bytes may be admitted later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Refusal::PoolFull { .. } | Refusal::SenderQuota { .. } => true,
            Refusal::Expired { .. } => false,
        }
    }
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
    pub(crate) fn check_sender(&self, sender: PublicKey, usage: Usage) -> Result<(), Refusal> {
        let Usage { transactions, bytes } = usage;
        if transactions <= self.max_transactions_per_sender && bytes <= self.max_bytes_per_sender {
            return Ok(());
        }
        Err(Refusal::SenderQuota {
            sender,
            transactions,
            max_transactions: self.max_transactions_per_sender,
            bytes,
            max_bytes: self.max_bytes_per_sender,
        })
    }

    /// Checks the total usage against the limits of the pool.
    pub(crate) fn check_total(&self, usage: Usage) -> Result<(), Refusal> {
        let Usage { transactions, bytes } = usage;
        if transactions <= self.max_transactions && bytes <= self.max_bytes {
            return Ok(());
        }
        Err(Refusal::PoolFull {
            transactions,
            max_transactions: self.max_transactions,
            bytes,
            max_bytes: self.max_bytes,
        })
    }
}
