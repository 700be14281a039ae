//! What messages of other validators show, apart from ordering: how far their clocks differ from
//! this node's clock, and how many blocks they are behind.
//!
//! No message contains the time as such. But a fresh proposal contains the time of its primary and
//! arrives some milliseconds later, so the measured difference is the clock difference plus the
//! transport delay. The smallest difference of the last few proposals is used, because a proposal
//! can arrive late and never early. A proposal with the earliest time that its parent allows shows
//! nothing: the primary's clock may be anywhere before it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorate_ledger::{BlockHash, Header, Height, ReplicaId, Timestamp};
use quorate_pbft::{Moment, Now};
use quorate_store::Head;

/// Proposals per member that are kept.
const KEPT: usize = 8;

/// Times of proposals that are kept as possible parents; more than can be in flight in two views.
const PARENTS_KEPT: usize = 128;

/// Older measurements say nothing about the current clocks.
const FRESH: Duration = Duration::from_secs(120);

/// Measurements of all members.
#[derive(Debug)]
pub(crate) struct PeerLag {
    members: Mutex<Vec<Member>>,
    /// Times of the last proposals of all members, as the parents of later ones.
    proposals: Mutex<VecDeque<(BlockHash, Timestamp)>>,
}

#[derive(Debug, Clone, Default)]
struct Member {
    /// When a proposal of its own arrived, and by how many milliseconds this node's clock was then
    /// ahead of the proposal's time.
    clock: VecDeque<(Moment, i64)>,
    /// How many blocks it was behind at its last report.
    behind: Option<u64>,
}

impl PeerLag {
    pub(crate) fn of(members: usize) -> Self {
        PeerLag { members: Mutex::new(vec![Member::default(); members]), proposals: Mutex::default() }
    }

    /// Records a proposal that has just arrived. `head`: the newest block of this node.
    pub(crate) fn record_proposal(&self, from: ReplicaId, header: &Header, head: Option<Head>, now: Now) {
        let parent = self.time_of(header.parent, head);
        self.record_time(header.hash(), header.timestamp);
        let is_own = header.proposer == from;
        // A primary uses the time of its clock, or the earliest time after the parent if that is
        // later.
        if is_own && parent.is_some_and(|parent| header.timestamp > parent.plus_ms(1)) {
            self.record_clock(from, header.timestamp, now);
        }
    }

    fn time_of(&self, block: BlockHash, head: Option<Head>) -> Option<Timestamp> {
        let proposals = self.proposals.lock().unwrap_or_else(PoisonError::into_inner);
        let proposed = proposals.iter().find(|(hash, _)| *hash == block).map(|(_, time)| *time);
        proposed.or_else(|| head.filter(|head| head.hash == block).map(|head| head.timestamp))
    }

    fn record_time(&self, block: BlockHash, time: Timestamp) {
        let mut proposals = self.proposals.lock().unwrap_or_else(PoisonError::into_inner);
        if proposals.len() == PARENTS_KEPT {
            proposals.pop_front();
        }
        proposals.push_back((block, time));
    }

    /// Records the time on a member's clock when it sent a message that has just arrived.
    fn record_clock(&self, by: ReplicaId, time: Timestamp, now: Now) {
        let ahead = i128::from(now.wall.0) - i128::from(time.0);
        let bounded = ahead.clamp(i64::MIN.into(), i64::MAX.into());
        let ahead = i64::try_from(bounded).expect("it was clamped");
        self.change(by, |member| {
            if member.clock.len() == KEPT {
                member.clock.pop_front();
            }
            member.clock.push_back((now.moment, ahead));
        });
    }

    /// Records that a member reports this committed height, while this node has committed `here`.
    /// Both heights must be compared at this moment, because both grow later.
    pub(crate) fn record_committed(&self, member: ReplicaId, committed: Height, here: Height) {
        self.change(member, |member| member.behind = Some(here.0.saturating_sub(committed.0)));
    }

    /// By how many milliseconds this node's clock is ahead of a member's clock; negative if it is
    /// behind. `None` without a fresh measurement.
    pub(crate) fn ahead_ms(&self, of: ReplicaId, now: Moment) -> Option<i64> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = members.get(of.index())?.clock.iter().filter(|(at, _)| now.since(*at) <= FRESH);
        fresh.map(|(_, ahead)| *ahead).min()
    }

    /// Number of blocks that a member was behind this node at its last report.
    pub(crate) fn behind(&self, member: ReplicaId) -> Option<u64> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner).get(member.index())?.behind
    }

    fn change(&self, member: ReplicaId, change: impl FnOnce(&mut Member)) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get_mut(member.index()) {
            change(member);
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_genesis::TestNetwork;
    use quorate_ledger::Body;

    use super::*;

    fn at(seconds: u64, wall_ms: u64) -> Now {
        Now { moment: Moment(Duration::from_secs(seconds)), wall: Timestamp(wall_ms) }
    }

    #[test]
    fn the_fastest_of_the_last_proposals_measures_the_difference() {
        let peer_lag = PeerLag::of(2);
        let ahead = |member, seconds| peer_lag.ahead_ms(ReplicaId(member), at(seconds, 0).moment);
        assert_eq!(ahead(0, 0), None);
        for (second, came) in [(1, 5_020), (2, 5_900), (3, 5_012)] {
            peer_lag.record_clock(ReplicaId(0), Timestamp(5_000), at(second, came));
        }
        assert_eq!((ahead(0, 3), ahead(1, 3)), (Some(12), None));
        peer_lag.record_clock(ReplicaId(0), Timestamp(5_000), at(4, 1_400));
        assert_eq!(ahead(0, 4), Some(-3_600));
        // The clock was corrected.
        for second in 5..13 {
            peer_lag.record_clock(ReplicaId(0), Timestamp(5_000), at(second, 5_030));
        }
        assert_eq!(ahead(0, 13), Some(30));
        assert_eq!(ahead(0, 12 + FRESH.as_secs() + 1), None, "the measurements are too old");
    }

    #[test]
    fn the_lag_is_measured_when_a_member_reports() {
        let peer_lag = PeerLag::of(2);
        peer_lag.record_committed(ReplicaId(0), Height(90), Height(100));
        peer_lag.record_committed(ReplicaId(1), Height(101), Height(100));
        assert_eq!((peer_lag.behind(ReplicaId(0)), peer_lag.behind(ReplicaId(1))), (Some(10), Some(0)));
    }

    #[test]
    fn extreme_times_and_unknown_members_are_ignored() {
        let peer_lag = PeerLag::of(1);
        peer_lag.record_clock(ReplicaId(7), Timestamp(0), at(0, 1));
        peer_lag.record_committed(ReplicaId(7), Height(1), Height(0));
        peer_lag.record_clock(ReplicaId(0), Timestamp(u64::MAX), at(0, 1));
        assert_eq!(peer_lag.ahead_ms(ReplicaId(0), at(0, 0).moment), Some(i64::MIN));
        assert_eq!((peer_lag.behind(ReplicaId(0)), peer_lag.behind(ReplicaId(7))), (None, None));
    }

    /// While the chain's time is ahead of all clocks, proposals have the earliest allowed time,
    /// which is not the time of any clock.
    #[test]
    fn a_proposal_with_the_earliest_time_measures_no_clock() {
        let network = TestNetwork::seeded(4, 1);
        let genesis = network.genesis().header();
        let head = |header: &Header| Head {
            height: header.height,
            hash: header.hash(),
            timestamp: header.timestamp,
        };
        let propose = |parent: &Header, clock: u64| {
            Header::after(parent, &Body::of(&[]), Timestamp(clock), ReplicaId(1))
        };
        let peer_lag = PeerLag::of(4);
        let (time, now) = (genesis.timestamp.0, at(1, genesis.timestamp.0 - 3_600_000));
        let ahead = || peer_lag.ahead_ms(ReplicaId(1), now.moment);
        let first = propose(genesis, now.wall.0);
        let second = propose(&first, now.wall.0);
        peer_lag.record_proposal(ReplicaId(1), &first, Some(head(genesis)), now);
        peer_lag.record_proposal(ReplicaId(1), &second, Some(head(genesis)), now);
        assert_eq!(ahead(), None);
        let strange = propose(&propose(&second, time), time + 500);
        peer_lag.record_proposal(ReplicaId(1), &strange, Some(head(genesis)), now);
        assert_eq!(ahead(), None, "the parent is unknown");
        let later = propose(&second, time + 500);
        peer_lag.record_proposal(ReplicaId(2), &later, Some(head(genesis)), now);
        assert_eq!(ahead(), None, "another member forwarded it");
        peer_lag.record_proposal(ReplicaId(1), &later, Some(head(genesis)), now);
        assert_eq!(ahead(), Some(-3_600_500));
    }
}
