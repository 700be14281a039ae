//! The interface of a node that this crate needs.

use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusState, ErrorKind, EvidenceJson, MempoolStatus, NodeStatus, PeerJson, Readiness,
    RpcError, TransactionStatus, VersionInfo,
};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, Timestamp, Transaction, TransactionError, TransactionId};
use quorate_store::{Damage, LedgerReader};
use tokio::sync::watch;

/// A node's reports about itself, all from one snapshot of its ordering thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeReport {
    /// As [`Node::status`].
    pub status: NodeStatus,
    /// As [`Node::peers`].
    pub peers: Vec<PeerJson>,
    /// As [`Node::consensus`].
    pub consensus: ConsensusState,
    /// As [`Node::mempool`].
    pub mempool: MempoolStatus,
    /// As [`Node::readiness`].
    pub readiness: Readiness,
    /// Damage that reads of the ledger found.
    pub damage: Option<Damage>,
}

/// A running node, as far as the HTTP interface needs it.
///
/// Synchronous methods return at once, from memory or from a few pages of the ledger file.
pub trait Node: Send + Sync + 'static {
    /// The chain as this node holds it.
    fn ledger(&self) -> &LedgerReader;

    /// The height of the newest block, updated as the chain grows. The ledger already holds the
    /// block of every height in it. The channel closes when no more blocks will follow.
    fn committed(&self) -> watch::Receiver<Height>;

    /// The genesis of the network.
    fn genesis(&self) -> &Genesis;

    /// Whether this node accepts transactions at all.
    ///
    /// # Errors
    /// [`SubmitRefusal::Observer`].
    fn takes_transactions(&self) -> Result<(), SubmitRefusal> {
        Ok(())
    }

    /// Verifies a transaction and adds it to the pool.
    ///
    /// Returns once it is there (`pending`), or at once with its status if it is known already. If
    /// the future is dropped, the transaction may or may not have been added.
    fn submit(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<TransactionStatus, SubmitRefusal>> + Send;

    /// Waits until a transaction is no longer pending, for at most this long, and returns its
    /// status then.
    ///
    /// If the status is `committed`, the ledger already holds the block.
    fn ended(&self, id: TransactionId, within: Duration) -> impl Future<Output = TransactionStatus> + Send;

    /// The present status of a transaction. `committed` has the same meaning as in [`Node::ended`].
    fn status_of(&self, id: TransactionId) -> impl Future<Output = TransactionStatus> + Send;

    /// The results of the methods below, all from one moment.
    fn report(&self) -> NodeReport;

    /// The node's summary of itself.
    fn status(&self) -> NodeStatus;

    /// The other nodes that it knows.
    fn peers(&self) -> Vec<PeerJson>;

    /// The state of ordering.
    fn consensus(&self) -> ConsensusState;

    /// The stable checkpoint, once there is one.
    fn checkpoint(&self) -> Option<CheckpointJson>;

    /// Evidence of faulty members, with a limited number of entries against each.
    fn evidence(&self) -> Vec<EvidenceJson>;

    /// How full the pool is.
    fn mempool(&self) -> MempoolStatus;

    /// Whether the node can do its work.
    fn readiness(&self) -> Readiness;

    /// The program and its version.
    fn version(&self) -> VersionInfo;
}

/// Why a transaction was refused. A refused transaction leaves no trace in the node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitRefusal {
    /// It can never be ordered on this chain.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The ledger is damaged at the place that tells whether the transaction is committed already.
    #[error(
        "the disk of this node has damaged the data that tells whether the transaction is committed; use another node"
    )]
    LedgerDamaged,
    /// Its time has passed.
    #[error(
        "the transaction was valid until {valid_until}, and this node's clock, or the time of its newest block if that is later, is at {now}; sign a new one with a later valid_until_ms, and compare your clock"
    )]
    Expired {
        /// Its last moment.
        valid_until: Timestamp,
        /// The later of the node's clock and the newest block's time.
        now: Timestamp,
    },
    /// It is valid for longer than nodes remember ids.
    #[error(
        "the transaction is valid until {valid_until}, and by this node's clock, or the time of its newest block if that is later, the network accepts at most {latest} now; sign it with an earlier valid_until_ms, and compare your clock"
    )]
    LifetimeTooLong {
        /// Its last moment.
        valid_until: Timestamp,
        /// The latest accepted last moment.
        latest: Timestamp,
    },
    /// The pool accepts no more.
    #[error("the pool holds {transactions} transactions of {bytes} bytes and accepts no more; try again")]
    PoolFull {
        /// Transactions in the pool.
        transactions: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The pool accepts no more from this sender.
    #[error(
        "the sender has {transactions} transactions of {bytes} bytes in the pool and may have no more; try again"
    )]
    SenderQuota {
        /// The sender's transactions in the pool.
        transactions: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// The node is an observer.
    #[error("this node is an observer and orders nothing: submit to a validator")]
    Observer,
    /// The node is starting or stopping.
    #[error("the node accepts no transactions now: {0}; use another node")]
    Unavailable(&'static str),
}

/// When to try again after a full pool or a sender's full quota: a few blocks later.
const POOL_RETRY_MS: u64 = 500;

/// When to try again with a node that is starting or stopping.
const NODE_RETRY_MS: u64 = 2000;

impl From<SubmitRefusal> for RpcError {
    fn from(refusal: SubmitRefusal) -> Self {
        let message = refusal.to_string();
        let error = |kind| RpcError::new(kind, message);
        match refusal {
            SubmitRefusal::Transaction(TransactionError::TooLarge { bytes, limit }) => {
                error(ErrorKind::TransactionTooLarge).detail("bytes", bytes).detail("limit", limit)
            }
            SubmitRefusal::Transaction(TransactionError::Governance) => {
                error(ErrorKind::GovernanceUnsupported)
            }
            SubmitRefusal::Transaction(TransactionError::BadSignature { chain }) => {
                error(ErrorKind::BadSignature).detail("chain_id", chain.to_string())
            }
            SubmitRefusal::Expired { valid_until, now } => error(ErrorKind::TransactionExpired)
                .detail("valid_until_ms", valid_until.0)
                .detail("now_ms", now.0),
            SubmitRefusal::LifetimeTooLong { valid_until, latest } => error(ErrorKind::LifetimeTooLong)
                .detail("valid_until_ms", valid_until.0)
                .detail("latest_ms", latest.0),
            SubmitRefusal::PoolFull { .. } => error(ErrorKind::PoolFull).retry_after_ms(POOL_RETRY_MS),
            SubmitRefusal::SenderQuota { .. } => error(ErrorKind::SenderQuota).retry_after_ms(POOL_RETRY_MS),
            SubmitRefusal::LedgerDamaged => error(ErrorKind::StorageDamaged),
            SubmitRefusal::Observer => error(ErrorKind::Observer),
            SubmitRefusal::Unavailable(_) => error(ErrorKind::Unavailable).retry_after_ms(NODE_RETRY_MS),
        }
    }
}
