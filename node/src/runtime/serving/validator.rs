//! The running node as the RPC server sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    CheckpointJson, ConsensusState, EvidenceJson, MempoolStatus, NodeStatus, PeerJson, Readiness,
    TransactionStatus, VersionInfo,
};
use quorate_engine::{Refusal, Submission};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, PROTOCOL_VERSION, PublicKey, Transaction, TransactionId};
use quorate_network::{Network, PeerStatus};
use quorate_rpc::{Node, NodeReport, SubmitRefusal};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::waiters::Waiters;
use crate::runtime::clock::Clock;
use crate::runtime::members::Members;
use crate::runtime::status::disk::Disk;
use crate::runtime::status::ordering;
use crate::runtime::status::peer_lag::PeerLag;
use crate::runtime::status::snapshot::{Snapshot, Snapshots};
use crate::runtime::validator::checking::NotChecked;
use crate::runtime::validator::inbox::{self, Work};
use crate::runtime::validator::verify::Verifier;

pub(crate) struct Service {
    pub(crate) genesis: Arc<Genesis>,
    /// Its name in the genesis; `None` for an observer.
    pub(crate) name: Option<String>,
    pub(crate) public_key: PublicKey,
    pub(crate) members: Arc<Members>,
    pub(crate) ledger: LedgerReader,
    pub(crate) network: Network,
    /// Verifies transactions of clients; `None` for an observer, which accepts none.
    pub(crate) verifier: Option<Verifier>,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) snapshots: Snapshots,
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
    pub(crate) peer_lag: Arc<PeerLag>,
    /// Messages of members that were dropped unchecked.
    pub(crate) not_checked: Arc<NotChecked>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) ledger_file: PathBuf,
    /// `None` for an observer.
    pub(crate) journal_file: Option<PathBuf>,
}

impl Service {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// The place of a transaction in the ledger. `None` also if the block cannot be read: the RPC
    /// interface distinguishes an unreadable transaction from a missing one.
    fn located(&self, id: &TransactionId) -> Option<TransactionStatus> {
        let (height, index) = self.ledger.locate(id).ok().flatten()?;
        Some(TransactionStatus::Committed { height: height.0, index })
    }

    /// Traffic over the connections of each other member, by name.
    pub(crate) fn links(&self) -> Vec<(String, PeerStatus)> {
        let named =
            |peer: PeerStatus| Some((self.members.name(self.members.index(&peer.key)?).to_owned(), peer));
        self.network.peers().into_iter().filter_map(named).collect()
    }

    /// The files that the node writes, by name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let journal = self.journal_file.as_deref().map(|path| ("journal", path));
        [("ledger", &*self.ledger_file)].into_iter().chain(journal)
    }
}

impl Node for Service {
    fn ledger(&self) -> &LedgerReader {
        &self.ledger
    }

    fn committed(&self) -> watch::Receiver<Height> {
        self.committed.clone()
    }

    fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn takes_transactions(&self) -> Result<(), SubmitRefusal> {
        if self.verifier.is_some() { Ok(()) } else { Err(SubmitRefusal::Observer) }
    }

    async fn submit(&self, transaction: Transaction) -> Result<TransactionStatus, SubmitRefusal> {
        let Some(verifier) = &self.verifier else { return Err(SubmitRefusal::Observer) };
        let outcome = verifier.submit(transaction).await;
        match outcome.await {
            Ok(Ok(Submission::Pending)) => Ok(TransactionStatus::Pending),
            Ok(Ok(Submission::Committed { height, index })) => {
                Ok(TransactionStatus::Committed { height: height.0, index })
            }
            Ok(Err(refusal)) => Err(self::refusal(refusal)),
            Err(_) => Err(SubmitRefusal::Unavailable("it is stopping")),
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
        if let Some(committed) = self.located(&id) {
            return committed;
        }
        let (reply, standing) = oneshot::channel();
        let asked = self.inbox.send(Work::StatusOf { id, reply }).await;
        let standing = if asked.is_ok() { standing.await.ok() } else { None };
        match standing {
            Some(inbox::TransactionState::Pending) => TransactionStatus::Pending,
            Some(inbox::TransactionState::Expired) => TransactionStatus::Expired,
            // The transaction may have been committed between the two reads.
            Some(inbox::TransactionState::Unknown) | None => {
                self.located(&id).unwrap_or(TransactionStatus::Unknown)
            }
        }
    }

    fn report(&self) -> NodeReport {
        self.report_of(&self.snapshot())
    }

    fn status(&self) -> NodeStatus {
        self.status_at(&self.snapshot())
    }

    fn peers(&self) -> Vec<PeerJson> {
        self.peers_at(&self.snapshot())
    }

    fn consensus(&self) -> ConsensusState {
        self.consensus_at(&self.snapshot())
    }

    fn checkpoint(&self) -> Option<CheckpointJson> {
        self.snapshot().ordering()?.checkpoint.as_deref().map(ordering::checkpoint)
    }

    fn evidence(&self) -> Vec<EvidenceJson> {
        let snapshot = self.snapshot();
        let json = |evidence| ordering::evidence(evidence, &self.genesis, &self.members);
        let known = snapshot.ordering().map(|ordering| &*ordering.evidence).unwrap_or_default();
        known.iter().map(|evidence| &**evidence).filter_map(json).collect()
    }

    fn mempool(&self) -> MempoolStatus {
        self.mempool_at(&self.snapshot())
    }

    fn readiness(&self) -> Readiness {
        self.readiness_at(&self.snapshot())
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            name: "quorate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol_version: PROTOCOL_VERSION,
            commit: option_env!("QUORATE_COMMIT").map(str::to_owned),
        }
    }
}

/// Converts a refusal of the engine for the interface.
fn refusal(refusal: Refusal) -> SubmitRefusal {
    match refusal {
        Refusal::Rejected(error) => SubmitRefusal::Transaction(error),
        Refusal::LedgerDamaged => SubmitRefusal::LedgerDamaged,
        Refusal::Expired { valid_until, now } => SubmitRefusal::Expired { valid_until, now },
        Refusal::LifetimeTooLong { valid_until, now, lifetime_ms } => {
            SubmitRefusal::LifetimeTooLong { valid_until, latest: now.plus_ms(lifetime_ms) }
        }
        Refusal::PoolFull { transactions, bytes } => SubmitRefusal::PoolFull { transactions, bytes },
        Refusal::SenderQuota { transactions, bytes } => SubmitRefusal::SenderQuota { transactions, bytes },
        Refusal::LedgerUnreadable => SubmitRefusal::Unavailable("it cannot read its ledger (see its log)"),
    }
}
