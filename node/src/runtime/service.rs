//! The running node as the RPC server sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use quorate_api::{
    ChainHead, CheckpointJson, ConsensusState, EvidenceJson, FailedAddress, MempoolStatus, NodeRole,
    NodeStatus, PeerDirection, PeerJson, Readiness, ReadinessCheck, TransactionStatus, VersionInfo,
};
use quorate_engine::{Refusal, Submission};
use quorate_genesis::Genesis;
use quorate_ledger::{Height, PROTOCOL_VERSION, PublicKey, Transaction, TransactionId};
use quorate_network::{Direction, Network, PeerStatus, peer_id_text};
use quorate_pbft::{Moment, Standing};
use quorate_rpc::{Node, SubmitRefusal};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::checking::NotChecked;
use super::clock::{Clock, wall};
use super::disk::Disk;
use super::heard::Heard;
use super::members::Members;
use super::snapshot::{Ordering, Snapshot, Snapshots, Stands};
use super::verify::Verifier;
use super::waiters::Waiters;
use super::work::{self, Work};
use super::{observing, ordering};

/// The engine says where it stands every few seconds even when idle; older than this means that it is stuck,
/// most likely on its disk.
const STUCK: Duration = Duration::from_secs(10);

pub(crate) struct Service {
    pub(crate) genesis: Arc<Genesis>,
    /// Its name in the genesis, for a validator.
    pub(crate) name: Option<String>,
    pub(crate) public_key: PublicKey,
    pub(crate) members: Arc<Members>,
    pub(crate) ledger: LedgerReader,
    pub(crate) network: Network,
    /// Checks what clients submit; none for an observer, to which nothing is submitted.
    pub(crate) verifier: Option<Verifier>,
    pub(crate) inbox: mpsc::Sender<Work>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) snapshots: Snapshots,
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) clock: Clock,
    pub(crate) started: Instant,
    pub(crate) heard: Arc<Heard>,
    /// Members' messages that were not worth checking.
    pub(crate) not_checked: Arc<NotChecked>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) ledger_file: PathBuf,
    /// None for an observer.
    pub(crate) journal_file: Option<PathBuf>,
}

impl Service {
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// Where the ledger has a transaction. Nothing is claimed about one that cannot be read: the interface tells such a
    /// one from one that is not there.
    fn located(&self, id: &TransactionId) -> Option<TransactionStatus> {
        let (height, index) = self.ledger.locate(id).ok().flatten()?;
        Some(TransactionStatus::Committed { height: height.0, index })
    }

    fn now_ms_since(&self, then: Moment) -> u64 {
        u64::try_from(self.clock.now().moment.since(then).as_millis()).unwrap_or(u64::MAX)
    }

    fn head(&self) -> ChainHead {
        let genesis = self.genesis.header();
        self.ledger.head().map_or(
            ChainHead { height: 0, hash: genesis.hash(), timestamp_ms: genesis.timestamp.0 },
            |head| ChainHead { height: head.height.0, hash: head.hash, timestamp_ms: head.timestamp.0 },
        )
    }

    /// The highest block that some honest member has: f members may claim anything, so the f highest claims
    /// are not believed.
    fn credible_head(&self, snapshot: &Snapshot) -> u64 {
        let mut heads: Vec<u64> = snapshot.heads().values().map(|head| head.0).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(self.genesis.committee().faults()).copied().unwrap_or_default()
    }

    fn is_syncing(&self, snapshot: &Snapshot) -> bool {
        let behind = self.credible_head(snapshot).saturating_sub(snapshot.committed().0);
        behind > self.genesis.consensus().window
    }

    /// What a validator needs beyond what every node does.
    fn voting_checks(&self, snapshot: &Snapshot, ordering: &Ordering) -> [ReadinessCheck; 4] {
        let needed = self.genesis.committee().quorum() - 1;
        let connected = self.connected();
        let pbft = &ordering.overview.pbft;
        let (progresses, progress) = ordering.progress.check(pbft, self.clock.now().moment);
        let quorum = format!("connected to {connected} validators, ordering needs {needed}");
        let synced = format!("at height {}, others at {}", pbft.committed, self.credible_head(snapshot));
        let votes = pbft.standing == Standing::Voting;
        [
            check("quorum", connected >= needed, quorum),
            check("synced", !self.is_syncing(snapshot), synced),
            check("voting", votes, ordering::standing_text(pbft.standing)),
            check("progress", progresses, progress),
        ]
    }

    fn connected(&self) -> usize {
        self.network.peers().iter().filter(|peer| peer.connected).count()
    }

    /// What went over the connections of each other member, by name.
    pub(super) fn links(&self) -> Vec<(String, PeerStatus)> {
        let named =
            |peer: PeerStatus| Some((self.members.name(self.members.index(&peer.key)?).to_owned(), peer));
        self.network.peers().into_iter().filter_map(named).collect()
    }

    /// The files that it writes to, by name.
    pub(super) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let journal = self.journal_file.as_deref().map(|path| ("journal", path));
        [("ledger", &*self.ledger_file)].into_iter().chain(journal)
    }

    fn peer(
        &self,
        peer: &PeerStatus,
        failed: &[quorate_network::FailedAddress],
        snapshot: &Snapshot,
    ) -> Option<PeerJson> {
        let replica = self.members.index(&peer.key);
        let milliseconds = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Some(PeerJson {
            name: replica.map(|replica| self.members.name(replica).to_owned()),
            index: replica.map(|replica| replica.0),
            public_key: PublicKey::from_bytes(peer.key.0).ok()?,
            peer_id: peer_id_text(&peer.key).ok()?,
            connected: peer.connected,
            direction: peer.direction.map(|direction| match direction {
                Direction::Incoming => PeerDirection::Inbound,
                Direction::Outgoing => PeerDirection::Outbound,
            }),
            connected_ms: peer.since.and_then(|since| since.elapsed().ok()).map(milliseconds),
            round_trip_us: peer.round_trip.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX)),
            committed_height: replica.and_then(|replica| snapshot.heads().get(&replica)).map(|head| head.0),
            addresses: peer.address.iter().cloned().collect(),
            clock_ahead_ms: replica.and_then(|it| self.heard.ahead_ms(it, self.clock.now().moment)),
            blocks_behind: replica.and_then(|it| self.heard.behind(it)),
            program: peer.program.clone(),
            last_error: peer.last_error.clone(),
            failed_addresses: failed
                .iter()
                .filter(|failed| match failed.member {
                    Some(member) => member == peer.key,
                    None => replica.is_some() && !peer.connected,
                })
                .map(|failed| FailedAddress {
                    address: failed.address.clone(),
                    reason: failed.reason.clone(),
                })
                .collect(),
        })
    }
}

fn check(name: &str, ok: bool, detail: String) -> ReadinessCheck {
    ReadinessCheck { name: name.to_owned(), ok, detail }
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
        // First listen, then look: what ends in between is not missed.
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
            Some(work::Standing::Pending) => TransactionStatus::Pending,
            Some(work::Standing::Expired) => TransactionStatus::Expired,
            // It may have been committed between the two questions.
            Some(work::Standing::Unknown) | None => self.located(&id).unwrap_or(TransactionStatus::Unknown),
        }
    }

    fn status(&self) -> NodeStatus {
        let snapshot = self.snapshot();
        let ordering = snapshot.ordering();
        NodeStatus {
            network: self.genesis.name().to_owned(),
            chain_id: self.genesis.chain_id(),
            name: self.name.clone(),
            index: ordering.map(|ordering| ordering.overview.replica.0),
            role: if ordering.is_some() { NodeRole::Validator } else { NodeRole::Observer },
            standing: ordering.map(|ordering| ordering::standing(ordering.overview.pbft.standing)),
            public_key: self.public_key,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            head: self.head(),
            earliest_height: self.ledger.earliest().map_or(0, |height| height.0),
            syncing: self.is_syncing(&snapshot),
            peers_connected: u32::try_from(self.connected()).unwrap_or(u32::MAX),
            mempool_transactions: ordering.map_or(0, |ordering| ordering.overview.mempool.transactions),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn peers(&self) -> Vec<PeerJson> {
        let snapshot = self.snapshot();
        let all = self.network.peers().into_iter().chain(self.network.observers());
        let failed = self.network.failed_addresses();
        all.filter_map(|peer| self.peer(&peer, &failed, &snapshot)).collect()
    }

    fn consensus(&self) -> ConsensusState {
        let snapshot = self.snapshot();
        match &snapshot.stands {
            Stands::Validator(stands) => {
                ordering::state(stands, &self.genesis, &self.members, self.clock.now().moment)
            }
            Stands::Observer(overview) => observing::state(overview, &self.genesis, &self.members),
        }
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
        let snapshot = self.snapshot();
        let overview = snapshot.ordering().map(|ordering| &ordering.overview);
        // An observer has none, so nothing is in it.
        let pool = overview.map(|overview| overview.mempool).unwrap_or_default();
        let oldest = overview.and_then(|overview| overview.oldest_waiting);
        let limits = self.genesis.mempool();
        MempoolStatus {
            transactions: pool.transactions,
            bytes: pool.bytes,
            in_flight: pool.in_flight,
            senders: pool.senders,
            max_transactions: overview.map_or(0, |_| limits.max_transactions),
            max_bytes: overview.map_or(0, |_| limits.max_bytes),
            oldest_waiting_ms: oldest.map(|since| wall().0.saturating_sub(since.0)),
        }
    }

    fn readiness(&self) -> Readiness {
        let snapshot = self.snapshot();
        let age_ms = self.now_ms_since(snapshot.at.moment);
        let running = Duration::from_millis(age_ms) < STUCK;
        let (roomy, room) = self.disk.room().check();
        let mut checks = vec![
            check("engine", running, format!("the ordering thread reported {age_ms} ms ago")),
            check("disk", roomy, room),
        ];
        match &snapshot.stands {
            Stands::Validator(ordering) => checks.extend(self.voting_checks(&snapshot, ordering)),
            Stands::Observer(overview) => {
                checks.extend(observing::checks(overview, &self.genesis, &self.public_key));
            }
        }
        Readiness { checks }
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

/// A refusal of the engine in the words of the interface.
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
        Refusal::LedgerUnreadable => SubmitRefusal::Unavailable("it cannot read its ledger"),
    }
}
