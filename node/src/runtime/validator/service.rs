//! A validator as the RPC server sees it.

use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusState, EvidenceJson, MempoolStatus, NodeStatus, PeerJson, Readiness,
    TransactionStatus, VersionInfo,
};
use quorate_engine::Submission;
use quorate_genesis::Genesis;
use quorate_governance::Config;
use quorate_ledger::{Height, Refusal, Transaction, TransactionId};
use quorate_rpc::{Node, NodeReport};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::checking::NotChecked;
use super::inbox::{TransactionState, ValidatorWork};
use super::verify::Verifier;
use crate::runtime::inbox::waiting;
use crate::runtime::metrics::{Facts, ValidatorFacts};
use crate::runtime::serving::waiters::{self, Waiters};
use crate::runtime::status::node::NodeView;
use crate::runtime::status::snapshot::{Latest, Snapshot, ValidatorSnapshot};
use crate::runtime::status::validator::ValidatorStatus;

pub(crate) struct ValidatorService {
    pub(crate) node: NodeView,
    /// Verifies transactions of clients.
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) snapshots: Latest<ValidatorSnapshot>,
    /// Messages of members that were dropped unchecked.
    pub(crate) not_checked: Arc<NotChecked>,
}

impl ValidatorService {
    fn snapshot(&self) -> Arc<ValidatorSnapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The status of the validator at the moment of a snapshot.
    fn at<'a>(&'a self, snapshot: &'a ValidatorSnapshot) -> ValidatorStatus<'a> {
        ValidatorStatus { node: &self.node, snapshot }
    }

    /// What metrics show.
    pub(crate) fn facts(&self) -> Facts {
        let snapshot = self.snapshot();
        let facts = Facts::of(&self.node, &*snapshot, self.at(&snapshot).report(), waiting(&self.inbox));
        let validator = ValidatorFacts { snapshot, not_checked: self.not_checked.counts() };
        Facts { validator: Some(validator), checking: self.verifier.waiting(), ..facts }
    }
}

impl Node for ValidatorService {
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

    async fn submit(&self, transaction: Transaction) -> Result<TransactionStatus, Refusal> {
        let outcome = self.verifier.submit(transaction).await;
        match outcome.await {
            Ok(Ok(Submission::Pending)) => Ok(TransactionStatus::Pending),
            Ok(Ok(Submission::Committed { height, index })) => {
                Ok(TransactionStatus::Committed { height: height.0, index })
            }
            Ok(Err(refusal)) => Err(refusal),
            Err(_) => Err(Refusal::Stopping),
        }
    }

    async fn ended(&self, id: TransactionId, within: Duration) -> TransactionStatus {
        // Register first, then look: this misses no end in between.
        let mut waiter = self.waiters.wait_for(id);
        let standing = self.status_of(id).await;
        if standing != TransactionStatus::Pending {
            return standing;
        }
        match timeout(within, waiter.end()).await {
            Ok(Some(status)) => status,
            _ => self.status_of(id).await,
        }
    }

    async fn status_of(&self, id: TransactionId) -> TransactionStatus {
        if let Some(committed) = self.node.located(&id) {
            return committed;
        }
        let (reply, standing) = oneshot::channel();
        let asked = self.inbox.send(ValidatorWork::StatusOf { id, reply }).await;
        let standing = if asked.is_ok() { standing.await.ok() } else { None };
        match standing {
            Some(TransactionState::Pending) => TransactionStatus::Pending,
            Some(TransactionState::Ended(end)) => waiters::status_of(end),
            // The transaction may have been committed between the two reads.
            Some(TransactionState::Unknown) | None => {
                self.node.located(&id).unwrap_or(TransactionStatus::Unknown)
            }
        }
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
        self.at(&self.snapshot()).checkpoint()
    }

    fn evidence(&self) -> Vec<EvidenceJson> {
        self.at(&self.snapshot()).evidence()
    }

    fn mempool(&self) -> MempoolStatus {
        self.at(&self.snapshot()).mempool()
    }

    fn readiness(&self) -> Readiness {
        self.at(&self.snapshot()).readiness()
    }

    fn version(&self) -> VersionInfo {
        NodeView::version()
    }
}
