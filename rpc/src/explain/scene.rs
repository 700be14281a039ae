//! A simulated node of a network of four, which tests put into a situation.

use quorate_api::{
    ChainHead, ConsensusDeadline, ConsensusState, DeadlinePurpose, Explanation, HeightInFlight, HeightPhase,
    Membership, MempoolStatus, NodeRole, NodeStatus, Obstacle, PeerJson, PendingChange, Readiness,
    ReadinessCheck, ValidatorSigningState, ViewChangeCounts,
};
use quorate_genesis::TestNetwork;
use quorate_governance::Config;
use quorate_ledger::BlockHash;
use quorate_store::Damage;

use super::{Facts, explain};

/// The report of validator-1 of four. In view 0 validator-0 is the primary; a quorum is three.
pub(super) struct Scene {
    pub(super) config: Config,
    pub(super) consensus: ConsensusState,
    pub(super) status: NodeStatus,
    pub(super) peers: Vec<PeerJson>,
    pub(super) pool: MempoolStatus,
    pub(super) readiness: Readiness,
    pub(super) damage: Option<Damage>,
    pub(super) changes: Vec<PendingChange>,
}

/// T in these tests.
pub(super) const TIMEOUT_MS: u64 = 2_000;

/// No height is in flight, and all other members were heard from.
fn idle_consensus() -> ConsensusState {
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
        committed_height: 140,
        stable_height: 128,
        in_flight: Vec::new(),
        request_timeout_ms: TIMEOUT_MS,
        deadline: None,
        waiting_ms: None,
        catching_up: false,
        view_changes_from: Vec::new(),
        recently_heard: vec![0, 2, 3],
        view_change_counts: ViewChangeCounts::default(),
        evidence_count: 0,
        snapshot_age_ms: 3,
    }
}

fn idle_status(network: &TestNetwork) -> NodeStatus {
    let genesis = network.genesis();
    NodeStatus {
        network: genesis.name().to_owned(),
        chain_id: genesis.chain_id(),
        epoch: 0,
        name: Some("validator-1".to_owned()),
        index: Some(1),
        role: NodeRole::Validator,
        membership: Some(Membership::Member),
        candidacy: None,
        signing_state: Some(ValidatorSigningState::Voting),
        public_key: network.keys()[1].public(),
        version: "0.0.0".to_owned(),
        head: ChainHead { height: 140, hash: genesis.header().hash(), timestamp_ms: 0 },
        earliest_height: 0,
        syncing: false,
        peers_connected: 3,
        mempool_transactions: 0,
        uptime_ms: 1,
        time_ms: 0,
        snapshot_age_ms: 3,
    }
}

/// A member that is connected and has all blocks.
fn connected_peer(network: &TestNetwork, index: u16) -> PeerJson {
    PeerJson {
        name: Some(format!("validator-{index}")),
        index: Some(index),
        public_key: network.keys()[usize::from(index)].public(),
        peer_id: String::new(),
        connected: true,
        direction: None,
        connected_ms: None,
        round_trip_us: None,
        committed_height: Some(140),
        addresses: Vec::new(),
        clock_ahead_ms: None,
        blocks_behind: Some(0),
        program: None,
        last_error: None,
        failed_addresses: Vec::new(),
    }
}

impl Scene {
    /// No work, all validators heard from, 140 blocks committed.
    pub(super) fn idle() -> Scene {
        let network = TestNetwork::seeded(4, 1);
        Scene {
            consensus: idle_consensus(),
            status: idle_status(&network),
            peers: [0, 2, 3].map(|index| connected_peer(&network, index)).to_vec(),
            pool: MempoolStatus {
                transactions: 0,
                bytes: 0,
                in_flight: 0,
                senders: 0,
                max_transactions: 10,
                max_bytes: 10,
                oldest_waiting_ms: None,
            },
            readiness: Readiness::default(),
            damage: None,
            changes: Vec::new(),
            config: network.genesis().governance_state().next_config().clone(),
        }
    }

    /// Work that has waited for this time, and the timer that runs then.
    pub(super) fn with_work(waiting_ms: u64) -> Scene {
        let mut scene = Scene::idle();
        scene.pool.transactions = 12;
        scene.consensus.waiting_ms = Some(waiting_ms);
        let in_ms = TIMEOUT_MS.saturating_sub(waiting_ms);
        scene.consensus.deadline = Some(ConsensusDeadline { purpose: DeadlinePurpose::Request, in_ms });
        scene
    }

    /// Work that has waited for longer than normal, and the next height in this phase.
    pub(super) fn held_up(phase: HeightPhase, obstacle: Option<Obstacle>) -> Scene {
        let mut scene = Scene::with_work(1_000);
        scene.consensus.in_flight.push(height(141, phase, obstacle));
        scene
    }

    /// These members, this node among them, have sent a VIEW-CHANGE for view 1, which has not
    /// begun.
    pub(super) fn changing(senders: &[u16]) -> Scene {
        let mut scene = Scene::with_work(2_100);
        let consensus = &mut scene.consensus;
        (consensus.view, consensus.active) = (1, false);
        (consensus.primary, consensus.primary_name) = (1, "validator-1".to_owned());
        consensus.view_changes_from = senders.to_vec();
        let timer = ConsensusDeadline { purpose: DeadlinePurpose::NewView, in_ms: 1_500 };
        consensus.deadline = (senders.len() >= 3).then_some(timer);
        scene
    }

    /// The same as reported by another member.
    pub(super) fn told_by(mut self, index: u16) -> Scene {
        self.status.index = Some(index);
        self.consensus.recently_heard = (0..4).filter(|other| *other != index).collect();
        self
    }

    /// These members are silent, and their connections are closed.
    pub(super) fn without(mut self, gone: &[u16]) -> Scene {
        self.consensus.recently_heard.retain(|index| !gone.contains(index));
        for peer in &mut self.peers {
            peer.connected &= !peer.index.is_some_and(|index| gone.contains(&index));
        }
        self
    }

    /// These members are silent, and their connections are open.
    pub(super) fn with_frozen(mut self, frozen: &[u16]) -> Scene {
        self.consensus.recently_heard.retain(|index| !frozen.contains(index));
        self
    }

    /// The ordering thread no longer reports.
    pub(super) fn stalled(mut self) -> Scene {
        let detail = "the ordering thread reported 12000 ms ago".to_owned();
        self.readiness.checks.push(ReadinessCheck { name: "engine".to_owned(), ok: false, detail });
        self
    }

    /// Any other change.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Scene)) -> Scene {
        change(&mut self);
        self
    }

    pub(super) fn explained(&self) -> Explanation {
        explain(&Facts {
            config: &self.config,
            consensus: &self.consensus,
            status: &self.status,
            peers: &self.peers,
            pool: &self.pool,
            readiness: &self.readiness,
            damage: self.damage.as_ref(),
            changes: &self.changes,
        })
    }

    /// How many heights ordering may run ahead of the stable checkpoint.
    pub(super) fn log_window(&self) -> u64 {
        self.config.parameters().consensus.log_window
    }
}

/// A height in flight without votes.
pub(super) fn height(height: u64, phase: HeightPhase, obstacle: Option<Obstacle>) -> HeightInFlight {
    let is_proposed = obstacle != Some(Obstacle::NoProposal);
    HeightInFlight {
        height,
        hash: is_proposed.then(|| BlockHash::from_bytes([7; 32])),
        phase,
        obstacle,
        transactions: is_proposed.then_some(12),
        prepares: Vec::new(),
        commits: Vec::new(),
    }
}
