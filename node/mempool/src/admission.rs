//! What a pool takes, and what it answers.

use quorate_ledger::{PublicKey, Timestamp};

/// How much a pool holds. Transactions in flight count: they stay in the pool until they are committed.
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

/// What became of a transaction that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is in the pool now.
    New,
    /// It was in the pool already. Nothing has changed.
    Known,
}

/// Why a transaction is not in the pool. Nothing has changed but a counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No room for anybody.
    #[error(
        "the pool is full: with it there were {transactions} of {max_transactions} transactions and {bytes} of {max_bytes} bytes; send it again when blocks have made room"
    )]
    PoolFull {
        /// Transactions there would be.
        transactions: u64,
        /// Transactions there may be.
        max_transactions: u64,
        /// Bytes there would be.
        bytes: u64,
        /// Bytes there may be.
        max_bytes: u64,
    },
    /// No room for this sender.
    #[error(
        "sender {sender} has too much in the pool: with it there were {transactions} of {max_transactions} transactions and {bytes} of {max_bytes} bytes; send it again when some are committed"
    )]
    SenderQuota {
        /// Whose quota is used up.
        sender: PublicKey,
        /// Transactions of the sender there would be.
        transactions: u64,
        /// Transactions of one sender there may be.
        max_transactions: u64,
        /// Bytes of the sender there would be.
        bytes: u64,
        /// Bytes of one sender there may be.
        max_bytes: u64,
    },
    /// No later block may contain it.
    #[error("the transaction was valid until {valid_until} and it is {now}: sign it again with a later time")]
    Expired {
        /// Its last moment.
        valid_until: Timestamp,
        /// The present one.
        now: Timestamp,
    },
}

impl Refusal {
    /// Whether the same bytes may be taken later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Refusal::PoolFull { .. } | Refusal::SenderQuota { .. } => true,
            Refusal::Expired { .. } => false,
        }
    }
}

/// What is held, of all senders or of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Number of transactions.
    pub(crate) transactions: u64,
    /// Bytes of their encodings.
    pub(crate) bytes: u64,
}

impl Usage {
    /// With one more transaction.
    pub(crate) fn plus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions + 1, bytes: self.bytes + u64::from(bytes) }
    }

    /// Without one that was counted.
    pub(crate) fn minus(self, bytes: u32) -> Self {
        Usage { transactions: self.transactions - 1, bytes: self.bytes - u64::from(bytes) }
    }
}

impl MempoolLimits {
    /// Whether a sender may have so much.
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

    /// Whether all together may have so much.
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
