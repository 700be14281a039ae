//! The facts from which an explanation is derived.

use quorate_api::{
    ConsensusState, HeightInFlight, MemberName, Membership, MempoolStatus, NodeStatus, PeerJson,
    PendingChange, Readiness,
};
use quorate_governance::Config;
use quorate_ledger::{Timestamp, View};
use quorate_store::Damage;

/// Name of the readiness check that fails while the ordering thread does not report.
const ENGINE_CHECK: &str = "engine";

/// What a node reports about itself. All of it comes from one snapshot.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) consensus: &'a ConsensusState,
    pub(crate) status: &'a NodeStatus,
    pub(crate) peers: &'a [PeerJson],
    pub(crate) pool: &'a MempoolStatus,
    pub(crate) readiness: &'a Readiness,
    /// Damage that reads of the ledger found.
    pub(crate) damage: Option<&'a Damage>,
    /// What is proposed and decided.
    pub(crate) changes: &'a [PendingChange],
}

/// A number of members as `u32`. A committee is far too small to saturate it.
pub(super) fn count(members: usize) -> u32 {
    u32::try_from(members).unwrap_or(u32::MAX)
}

/// How many of `needed` are missing.
pub(super) fn less(needed: usize, have: usize) -> u32 {
    count(needed.saturating_sub(have))
}

impl Facts<'_> {
    /// Index of the node that explains itself; none for an observer.
    pub(super) fn me(&self) -> Option<u16> {
        self.status.index
    }

    pub(super) fn is_primary(&self) -> bool {
        self.me() == Some(self.consensus.primary)
    }

    pub(super) fn quorum(&self) -> usize {
        self.config.committee().quorum()
    }

    pub(super) fn name(&self, index: u16) -> String {
        let member = self.config.members().get(usize::from(index));
        member.map_or_else(|| format!("member {index}"), |member| member.name.to_string())
    }

    pub(super) fn member(&self, index: u16) -> MemberName {
        MemberName { index, name: self.name(index) }
    }

    pub(super) fn members(&self, indices: &[u16]) -> Vec<MemberName> {
        indices.iter().map(|index| self.member(*index)).collect()
    }

    /// All members except these, ascending.
    pub(super) fn all_but(&self, indices: &[u16]) -> Vec<u16> {
        let members = self.config.committee().replicas().map(|replica| replica.0);
        members.filter(|index| !indices.contains(index)).collect()
    }

    /// The view that follows if this one fails.
    pub(super) fn next_view(&self) -> u64 {
        self.consensus.view.saturating_add(1)
    }

    /// The primary of that view (R2).
    pub(super) fn next_primary(&self) -> MemberName {
        self.member(self.config.committee().primary(View(self.next_view())).0)
    }

    pub(super) fn is_observer(&self) -> bool {
        self.me().is_none()
    }

    /// Why a node that follows the validators has no vote.
    pub(super) fn why_no_vote(&self) -> &'static str {
        match self.status.membership {
            None => "This node is an observer: it has no vote.",
            Some(Membership::Member) => {
                "This node is a member, but follows without a vote, because too few of the validators that it knew were \
                 connected. It votes again by itself when it has the blocks of the others."
            }
            Some(Membership::NotYetMember) => {
                "This node is not yet a member: the committee does not contain its key, so it has no vote."
            }
            Some(Membership::Removed) => {
                "This node was removed: the committee no longer contains its key, so it has no vote."
            }
        }
    }

    /// How many other members this node must have heard from: with itself a quorum, which is
    /// required to order and to begin views (R15). An observer does not vote; it needs f + 1
    /// members, so that one of them is correct.
    pub(super) fn contacts_needed(&self) -> usize {
        if self.is_observer() { self.config.committee().weak_quorum() } else { self.quorum() - 1 }
    }

    pub(super) fn has_quorum_contact(&self) -> bool {
        self.consensus.recently_heard.len() >= self.contacts_needed()
    }

    /// Whether the node has recently heard from this member. It always hears from itself.
    pub(super) fn is_in_contact(&self, index: u16) -> bool {
        Some(index) == self.me() || self.consensus.recently_heard.contains(&index)
    }

    /// The other members that the node has not recently heard from, ascending.
    pub(super) fn silent(&self) -> Vec<u16> {
        self.all_but(&[]).into_iter().filter(|index| !self.is_in_contact(*index)).collect()
    }

    pub(super) fn is_connected(&self, index: u16) -> bool {
        self.peers.iter().any(|peer| peer.index == Some(index) && peer.connected)
    }

    /// The detail of the failed `engine` check while the ordering thread does not report.
    pub(super) fn engine_silence(&self) -> Option<&str> {
        let check = self.readiness.checks.iter().find(|check| check.name == ENGINE_CHECK && !check.ok)?;
        Some(&check.detail)
    }

    /// The highest block that at least one correct member reports to have. Up to f members may be
    /// faulty and report any height, so the f highest reports are ignored.
    pub(super) fn credible_head(&self) -> Option<u64> {
        let mut heads: Vec<u64> = self.peers.iter().filter_map(|peer| peer.committed_height).collect();
        heads.sort_unstable_by(|a, b| b.cmp(a));
        heads.get(self.config.committee().faults()).copied()
    }

    /// Whether other members certainly have more blocks, and this node fetches them (R12).
    pub(super) fn is_catching_up(&self) -> bool {
        let is_behind = self.credible_head().is_some_and(|head| head > self.consensus.committed_height);
        self.status.syncing || self.consensus.catching_up && is_behind
    }

    /// The earliest time at which validators whose clocks agree with this node's vote for the next
    /// block (R6); none if that time is not in the future.
    pub(super) fn possible_at(&self) -> Option<u64> {
        let newest = Timestamp(self.status.head.timestamp_ms);
        let possible_at = self.config.next_block_possible_at(newest).0;
        (possible_at > self.status.time_ms).then_some(possible_at)
    }

    /// The highest block that any member reports to have. A faulty member may report a false one.
    pub(super) fn highest_claim(&self) -> Option<u64> {
        self.peers.iter().filter_map(|peer| peer.committed_height).max()
    }

    /// The height up to which this node must fetch blocks before it votes, if no member that it
    /// hears from reports to have them. Then all ledgers are older than the journals.
    pub(super) fn unreachable_height(&self) -> Option<u64> {
        let through = self.consensus.probe?.through?;
        (self.has_quorum_contact() && self.highest_claim()? < through).then_some(through)
    }

    /// Whether there is anything to order.
    pub(super) fn has_work(&self) -> bool {
        let consensus = self.consensus;
        let is_accepted = |height: &HeightInFlight| height.obstacle.is_none();
        consensus.waiting_ms.is_some()
            || self.pool.transactions > 0
            || consensus.in_flight.iter().any(is_accepted)
    }

    /// The lowest uncommitted height.
    pub(super) fn next_height(&self) -> u64 {
        self.consensus.committed_height.saturating_add(1)
    }

    /// The last height that may be ordered before a later checkpoint is stable (R23).
    pub(super) fn highest(&self) -> u64 {
        self.consensus.stable_height.saturating_add(self.config.parameters().consensus.log_window)
    }

    pub(super) fn is_at_watermark(&self) -> bool {
        self.consensus.committed_height >= self.highest()
    }

    pub(super) fn next_checkpoint(&self) -> u64 {
        self.consensus.stable_height.saturating_add(self.config.parameters().consensus.checkpoint_interval)
    }
}
