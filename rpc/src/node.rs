//! The interface of a node that this crate needs.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusState, EvidenceJson, MempoolStatus, NodeStatus, PeerJson, PendingChange,
    Readiness, TransactionStatus, VersionInfo,
};
use quorate_genesis::Genesis;
use quorate_governance::Config;
use quorate_ledger::{Height, Refusal, Transaction, TransactionId};
use quorate_store::{Damage, LedgerReader};
use tokio::sync::watch;

/// A node's reports about itself, all from one snapshot of its ordering thread.
#[derive(Debug, Clone)]
pub struct NodeReport {
    /// The configuration in force at that time. The indices of members in the other fields are those
    /// of its committee.
    pub config: Config,
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
    /// What is proposed and decided at that time, as [`crate::pending_changes`] returns it.
    pub changes: Arc<[PendingChange]>,
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

    /// The genesis of the network. It says how the network began; for the present, see
    /// [`Node::config`].
    fn genesis(&self) -> &Genesis;

    /// The configuration in force: committee, clients and parameters. The indices of members in all
    /// other reports are those of its committee, unless the epoch changes between two calls.
    fn config(&self) -> Config;

    /// Whether this node accepts transactions at all.
    ///
    /// # Errors
    /// [`Refusal::Observer`].
    fn takes_transactions(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Verifies a transaction and adds it to the pool.
    ///
    /// Returns once it is there (`pending`), or at once with its status if it is known already. If
    /// the future is dropped, the transaction may or may not have been added.
    fn submit(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<TransactionStatus, Refusal>> + Send;

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
