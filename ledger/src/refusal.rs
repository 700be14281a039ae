//! Why a node refuses a transaction.

use crate::transaction::TransactionError;
use crate::units::Timestamp;

/// Why a block must not contain a transaction, by the configuration that judges the block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotPermitted {
    /// The sender is no client, or for governance no member and no candidate.
    #[error(
        "the sender is not registered: let a member add the key as a client, or sign operations with a governance key"
    )]
    SenderUnknown,
    /// The members revoked the client.
    #[error("the members revoked this client: let a member add a client with a new key")]
    SenderRevoked,
    /// The member's clients, or the client, used their part of the block.
    #[error("the quota of the member or client is used up in this block: submit again for a later block")]
    Quota,
    /// The transaction alone exceeds the quota of its member or client, so no block can contain it.
    #[error("the transaction is larger than the quota of the member or client: make it smaller")]
    AboveQuota,
}

/// Why a node refuses a transaction. A refused transaction leaves no trace in the node.
///
/// The mempool, the engine, the node and the RPC pass this one type on. It is here because all of
/// them know this crate, and some must not know each other. A new reason is a variant with its text
/// here, and the compiler names the two places that assign it: its error kind in `quorate-api`, and
/// what the simulator's clients do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can never be ordered on this chain.
    #[error(transparent)]
    Invalid(#[from] TransactionError),
    /// Its payload is no governance operation. Contains the reason. A block may contain such a
    /// transaction of a member, where it fails.
    #[error(
        "the payload is not a governance operation ({0}): make it with a program of this protocol version"
    )]
    Operation(String),
    /// No block at the next heights may contain it.
    #[error(transparent)]
    NotPermitted(#[from] NotPermitted),
    /// It has expired, and it was not committed before.
    #[error(
        "the transaction was valid until {valid_until}, and this node's clock, or the time of its newest block if that is later, is at {now}; sign a new one with a later valid_until_ms, and compare your clock"
    )]
    Expired {
        /// The last time at which it is valid.
        valid_until: Timestamp,
        /// The later of the node's clock and the chain's time.
        now: Timestamp,
    },
    /// It would be valid for longer than nodes remember ids (R16).
    #[error(
        "the transaction is valid until {valid_until}, and by this node's clock, or the time of its newest block if that is later, the network accepts at most {latest} now; sign it with an earlier valid_until_ms, and compare your clock"
    )]
    LifetimeTooLong {
        /// The last time at which it is valid.
        valid_until: Timestamp,
        /// The latest end of validity that the network accepts now.
        latest: Timestamp,
    },
    /// The pool is full. The client may try again a little later.
    #[error(
        "with it, the pool would hold {transactions} transactions of {bytes} bytes, which is too much; try again"
    )]
    PoolFull {
        /// The number of transactions that the pool would hold with this one.
        transactions: u64,
        /// The number of bytes that the pool would hold with this one.
        bytes: u64,
    },
    /// The share of the pool is used up that the clients of the sender's member have together, in the
    /// submit mode `registry`. The client may try again a little later.
    #[error(
        "with it, the clients of the sender's member would have {transactions} transactions of {bytes} bytes in the pool together, which is more than the member's share; try again"
    )]
    MemberShare {
        /// The number of transactions of these clients that the pool would hold with this one.
        transactions: u64,
        /// The number of bytes of these clients that the pool would hold with this one.
        bytes: u64,
    },
    /// This sender's quota in the pool is used up. The client may try again a little later.
    #[error(
        "with it, the sender would have {transactions} transactions of {bytes} bytes in the pool, which is too much; try again"
    )]
    SenderQuota {
        /// The number of transactions of the sender that the pool would hold with this one.
        transactions: u64,
        /// The number of bytes of the sender that the pool would hold with this one.
        bytes: u64,
    },
    /// The part of the ledger that would show whether the transaction is committed is damaged.
    #[error(
        "the disk of this node has damaged the data that tells whether the transaction is committed; use another node"
    )]
    LedgerDamaged,
    /// The transaction may be committed, and this node failed to read the part of the ledger that
    /// would show it.
    #[error(
        "the node accepts no transactions now: it cannot read its ledger (see its log); use another node"
    )]
    LedgerUnreadable,
    /// The node is an observer.
    #[error("this node is an observer and orders nothing: submit to a validator")]
    Observer,
    /// The node is stopping.
    #[error("the node accepts no transactions now: it is stopping; use another node")]
    Stopping,
}
