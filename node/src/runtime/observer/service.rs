//! An observer as the RPC server sees it.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusState, EvidenceJson, MempoolStatus, NodeStatus, PeerJson, Readiness,
    TransactionStatus, VersionInfo,
};
use quorate_genesis::Genesis;
use quorate_governance::Config;
use quorate_ledger::{Height, Refusal, Transaction, TransactionId};
use quorate_rpc::{Node, NodeReport};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, watch};

use super::inbox::ObserverWork;
use crate::runtime::inbox::waiting;
use crate::runtime::metrics::Facts;
use crate::runtime::status::node::NodeView;
use crate::runtime::status::observer::{MEMPOOL, ObserverStatus};
use crate::runtime::status::snapshot::{Latest, ObserverSnapshot, Snapshot};

pub(crate) struct ObserverService {
    pub(crate) node: NodeView,
    /// For metrics.
    pub(crate) inbox: mpsc::Sender<ObserverWork>,
    pub(crate) snapshots: Latest<ObserverSnapshot>,
}

impl ObserverService {
    fn snapshot(&self) -> Arc<ObserverSnapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The status of the observer at the moment of a snapshot.
    fn at<'a>(&'a self, snapshot: &'a ObserverSnapshot) -> ObserverStatus<'a> {
        ObserverStatus { node: &self.node, snapshot }
    }

    /// What metrics show.
    pub(crate) fn facts(&self) -> Facts {
        let snapshot = self.snapshot();
        Facts::of(&self.node, &*snapshot, self.at(&snapshot).report(), waiting(&self.inbox))
    }
}

impl Node for ObserverService {
    fn ledger(&self) -> &LedgerReader {
        &self.node.ledger
    }

    fn committed(&self) -> watch::Receiver<Height> {
        self.node.committed.clone()
    }

    fn genesis(&self) -> &Genesis {
        &self.node.genesis
    }

    fn config(&self) -> Config {
        self.snapshot().config().clone()
    }

    fn takes_transactions(&self) -> Result<(), Refusal> {
        Err(Refusal::Observer)
    }

    async fn submit(&self, _: Transaction) -> Result<TransactionStatus, Refusal> {
        Err(Refusal::Observer)
    }

    async fn ended(&self, id: TransactionId, _: Duration) -> TransactionStatus {
        // No transaction is pending at an observer, so there is nothing to wait for.
        self.status_of(id).await
    }

    async fn status_of(&self, id: TransactionId) -> TransactionStatus {
        // An observer has no pool: it does not know a transaction that is in no block.
        self.node.located(&id).unwrap_or(TransactionStatus::Unknown)
    }

    fn report(&self) -> NodeReport {
        self.at(&self.snapshot()).report()
    }

    fn status(&self) -> NodeStatus {
        self.at(&self.snapshot()).status()
    }

    fn peers(&self) -> Vec<PeerJson> {
        self.node.peers(&*self.snapshot())
    }

    fn consensus(&self) -> ConsensusState {
        self.at(&self.snapshot()).consensus()
    }

    fn checkpoint(&self) -> Option<CheckpointJson> {
        None
    }

    fn evidence(&self) -> Vec<EvidenceJson> {
        Vec::new()
    }

    fn mempool(&self) -> MempoolStatus {
        MEMPOOL
    }

    fn readiness(&self) -> Readiness {
        self.at(&self.snapshot()).readiness()
    }

    fn version(&self) -> VersionInfo {
        NodeView::version()
    }
}
