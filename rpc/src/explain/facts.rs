//! What an explanation follows from.

use quorate_api::{
    ConsensusState, HeightInFlight, MemberName, MempoolStatus, NodeStatus, PeerJson, Readiness,
};
use quorate_genesis::Genesis;
use quorate_ledger::{Epoch, ReplicaId, Timestamp, View};
use quorate_store::Damage;

/// The readiness check that fails while the ordering thread does not report.
const ENGINE_CHECK: &str = "engine";

/// What a node says about itself, all of it from one snapshot.
pub(crate) struct Facts<'a> {
    pub(crate) genesis: &'a Genesis,
    pub(crate) consensus: &'a ConsensusState,
    pub(crate) status: &'a NodeStatus,
    pub(crate) peers: &'a [PeerJson],
    pub(crate) pool: &'a MempoolStatus,
    pub(crate) readiness: &'a Readiness,
    /// What reads of the ledger have met.
    pub(crate) damage: Option<&'a Damage>,
}

/// A number of members. Committees are small.
pub(super) fn count(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}

/// How many are missing.
pub(super) fn less(needed: usize, have: usize) -> u32 {
    count(needed.saturating_sub(have))
}

impl Facts<'_> {
    /// Index of the node that explains itself; none without a vote.
    pub(super) fn me(&self) -> Option<u16> {
        self.status.index
    }

    pub(super) fn is_primary(&self) -> bool {
        self.me() == Some(self.consensus.primary)
    }

    pub(super) fn quorum(&self) -> usize {
        self.genesis.committee().quorum()
    }

    pub(super) fn name(&self, index: u16) -> String {
        let validator = self.genesis.validator(ReplicaId(index));
        validator.map_or_else(|| format!("member {index}"), |validator| validator.name.clone())
    }

    pub(super) fn member(&self, index: u16) -> MemberName {
        MemberName { index, name: self.name(index) }
    }

    pub(super) fn members(&self, indices: &[u16]) -> Vec<MemberName> {
        indices.iter().map(|index| self.member(*index)).collect()
    }

    /// All members that are not among these, ascending.
    pub(super) fn all_but(&self, indices: &[u16]) -> Vec<u16> {
        let members = self.genesis.committee().replicas().map(|replica| replica.0);
        members.filter(|index| !indices.contains(index)).collect()
    }

    /// The view that follows when this one fails.
    pub(super) fn next_view(&self) -> u64 {
        self.consensus.view.saturating_add(1)
    }

    /// The member that proposes in it (R2).
    pub(super) fn next_primary(&self) -> MemberName {
        let (epoch, view) = (Epoch(self.consensus.epoch), View(self.next_view()));
        self.member(self.genesis.committee().primary(epoch, view).0)
    }

    pub(super) fn is_observer(&self) -> bool {
        self.me().is_none()
    }

    /// Other members this node must hear of: a quorum, itself included, begins views and decides (R15). An observer
    /// decides nothing, and needs to hear of one that is honest.
    pub(super) fn contacts_needed(&self) -> usize {
        if self.is_observer() { self.genesis.committee().one_honest() } else { self.quorum() - 1 }
    }

    pub(super) fn hears_enough(&self) -> bool {
        self.consensus.contacts.len() >= self.contacts_needed()
    }

    /// Whether a member was heard of lately; this node hears itself.
    pub(super) fn hears_of(&self, index: u16) -> bool {
        Some(index) == self.me() || self.consensus.contacts.contains(&index)
    }

    /// The others that were not heard of lately, ascending.
    pub(super) fn silent(&self) -> Vec<u16> {
        self.all_but(&[]).into_iter().filter(|index| !self.hears_of(*index)).collect()
    }

    pub(super) fn is_connected(&self, index: u16) -> bool {
        self.peers.iter().any(|peer| peer.index == Some(index) && peer.connected)
    }

    /// What the ordering thread's silence is told with, while it is silent.
    pub(super) fn engine_silence(&self) -> Option<&str> {
        let check = self.readiness.checks.iter().find(|check| check.name == ENGINE_CHECK && !check.ok)?;
        Some(&check.detail)
    }

    /// The highest block that some honest member says it has: f members may claim anything, so as many of the
    /// highest claims are not believed.
    pub(super) fn credible_head(&self) -> Option<u64> {
        let mut heads: Vec<u64> = self.peers.iter().filter_map(|peer| peer.committed_height).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(self.genesis.committee().faults()).copied()
    }

    /// Whether others certainly have more, and their blocks are being fetched (R12).
    pub(super) fn is_catching_up(&self) -> bool {
        let is_behind = self.credible_head().is_some_and(|head| head > self.consensus.committed_height);
        self.status.syncing || self.consensus.catching_up && is_behind
    }

    /// When a block can be ordered that validators with this node's clock vote for (R6); none if that is not in the future.
    pub(super) fn possible_at(&self) -> Option<u64> {
        let newest = Timestamp(self.status.head.timestamp_ms);
        let possible_at = self.genesis.next_block_possible_at(newest).0;
        (possible_at > self.status.time_ms).then_some(possible_at)
    }

    /// The highest block that any member says it has, true or not.
    pub(super) fn highest_claim(&self) -> Option<u64> {
        self.peers.iter().filter_map(|peer| peer.committed_height).max()
    }

    /// The height up to which this node must fetch blocks before it votes, if no member that it hears of says that it has
    /// them: all ledgers are older than what the journals remember.
    pub(super) fn unreachable_height(&self) -> Option<u64> {
        let through = self.consensus.probe?.through?;
        (self.hears_enough() && self.highest_claim()? < through).then_some(through)
    }

    /// Whether something is there to be ordered.
    pub(super) fn has_work(&self) -> bool {
        let consensus = self.consensus;
        let is_accepted = |height: &HeightInFlight| height.obstacle.is_none();
        consensus.waiting_ms.is_some()
            || self.pool.transactions > 0
            || consensus.in_flight.iter().any(is_accepted)
    }

    /// The lowest height that is not committed.
    pub(super) fn next_height(&self) -> u64 {
        self.consensus.committed_height.saturating_add(1)
    }

    /// The last height that may be ordered before a later checkpoint is stable (R23).
    pub(super) fn highest(&self) -> u64 {
        self.consensus.stable_height.saturating_add(self.genesis.consensus().log_window)
    }

    pub(super) fn is_at_watermark(&self) -> bool {
        self.consensus.committed_height >= self.highest()
    }

    pub(super) fn next_checkpoint(&self) -> u64 {
        self.consensus.stable_height.saturating_add(self.genesis.consensus().checkpoint_interval)
    }
}
