//! What the fake node answers.

use std::time::Duration;

use quorate_api::{
    ChainHead, CheckpointJson, ConsensusDeadline, ConsensusState, DeadlinePurpose, EvidenceJson,
    HeightInFlight, HeightPhase, Membership, MempoolStatus, NodeRole, NodeStatus, Obstacle, PeerJson,
    Readiness, ReadinessCheck, TransactionStatus, ValidatorSigningState, VersionInfo, ViewChangeCounts,
};
use quorate_genesis::Genesis;
use quorate_governance::Config;
use quorate_ledger::{Height, PROTOCOL_VERSION, Refusal, Transaction, TransactionId};
use quorate_rpc::{Node, NodeReport};
use quorate_store::LedgerReader;
use tokio::sync::watch;

use super::FakeNode;

impl Node for FakeNode {
    fn ledger(&self) -> &LedgerReader {
        &self.reader
    }

    fn committed(&self) -> watch::Receiver<Height> {
        self.committed.subscribe()
    }

    fn genesis(&self) -> &Genesis {
        self.network.genesis()
    }

    fn config(&self) -> Config {
        self.genesis().governance_state().next_config().clone()
    }

    async fn submit(&self, transaction: Transaction) -> Result<TransactionStatus, Refusal> {
        let known = self.current_status(&transaction.id());
        if known != TransactionStatus::Unknown {
            return Ok(known);
        }
        let now = self.next_time();
        if transaction.valid_until < now {
            return Err(Refusal::Expired { valid_until: transaction.valid_until, now });
        }
        let latest = now.plus_ms(self.genesis().block_limits().transaction.max_lifetime_ms);
        if transaction.valid_until > latest {
            return Err(Refusal::LifetimeTooLong { valid_until: transaction.valid_until, latest });
        }
        let verified = transaction.verify(&self.genesis().chain_id())?;
        self.change(|state| match state.refusal.clone() {
            Some(refusal) => Err(refusal),
            None => {
                state.pool.insert(verified.id(), verified);
                Ok(TransactionStatus::Pending)
            }
        })
    }

    async fn ended(&self, id: TransactionId, within: Duration) -> TransactionStatus {
        let mut changes = self.changes.subscribe();
        let ended = changes.wait_for(|_| self.current_status(&id) != TransactionStatus::Pending);
        let _ = tokio::time::timeout(within, ended).await;
        self.current_status(&id)
    }

    async fn status_of(&self, id: TransactionId) -> TransactionStatus {
        self.current_status(&id)
    }

    fn report(&self) -> NodeReport {
        NodeReport {
            config: self.config(),
            status: self.status(),
            peers: self.peers(),
            consensus: self.consensus(),
            mempool: self.mempool(),
            readiness: self.readiness(),
            damage: self.ledger().damage(),
            changes: quorate_rpc::pending_changes(&self.reader.governance().unwrap()).into(),
        }
    }

    fn status(&self) -> NodeStatus {
        let head = self.reader.head().unwrap();
        NodeStatus {
            network: self.genesis().name().to_owned(),
            chain_id: self.genesis().chain_id(),
            epoch: 0,
            name: Some("validator-0".to_owned()),
            index: Some(0),
            role: NodeRole::Validator,
            membership: Some(Membership::Member),
            candidacy: None,
            signing_state: Some(ValidatorSigningState::Voting),
            public_key: self.network.keys()[0].public(),
            version: "0.0.0".to_owned(),
            head: ChainHead { height: head.height.0, hash: head.hash, timestamp_ms: head.timestamp.0 },
            earliest_height: 0,
            syncing: false,
            peers_connected: 3,
            mempool_transactions: self.pending() as u64,
            uptime_ms: 1,
            time_ms: head.timestamp.0,
            snapshot_age_ms: 3,
        }
    }

    fn peers(&self) -> Vec<PeerJson> {
        self.state.lock().unwrap().peers.clone()
    }

    fn consensus(&self) -> ConsensusState {
        let panicking = self.state.lock().unwrap().panicking;
        assert!(!panicking, "requested by the test");
        ConsensusState {
            epoch: 0,
            view: 0,
            active: true,
            signing_state: ValidatorSigningState::Voting,
            probe: None,
            primary: 0,
            primary_name: "validator-0".to_owned(),
            committee_size: 4,
            quorum: 3,
            committed_height: self.reader.head().unwrap().height.0,
            stable_height: self.checkpoint().map_or(0, |stable| stable.height),
            in_flight: vec![HeightInFlight {
                height: 1,
                hash: None,
                phase: HeightPhase::Waiting,
                obstacle: Some(Obstacle::NoProposal),
                transactions: None,
                prepares: vec![2],
                commits: Vec::new(),
            }],
            request_timeout_ms: 2000,
            deadline: Some(ConsensusDeadline { purpose: DeadlinePurpose::Request, in_ms: 7 }),
            waiting_ms: Some(1993),
            catching_up: false,
            view_changes_from: Vec::new(),
            recently_heard: vec![1, 2, 3],
            view_change_counts: ViewChangeCounts::default(),
            evidence_count: self.evidence().len() as u64,
            snapshot_age_ms: 3,
        }
    }

    fn checkpoint(&self) -> Option<CheckpointJson> {
        self.state.lock().unwrap().checkpoint.clone()
    }

    fn evidence(&self) -> Vec<EvidenceJson> {
        self.state.lock().unwrap().evidence.clone()
    }

    fn mempool(&self) -> MempoolStatus {
        MempoolStatus {
            transactions: self.pending() as u64,
            bytes: 0,
            in_flight: 0,
            senders: 0,
            max_transactions: 10,
            max_bytes: 10,
            oldest_waiting_ms: None,
        }
    }

    fn readiness(&self) -> Readiness {
        let ok = self.state.lock().unwrap().ready;
        let detail = if ok { "up to date" } else { "3 blocks behind" };
        Readiness {
            checks: vec![ReadinessCheck { name: "synced".to_owned(), ok, detail: detail.to_owned() }],
        }
    }

    fn version(&self) -> VersionInfo {
        VersionInfo {
            name: "quorate".to_owned(),
            version: "0.0.0".to_owned(),
            protocol_version: PROTOCOL_VERSION,
            commit: None,
        }
    }
}
