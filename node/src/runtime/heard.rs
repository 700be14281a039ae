//! What messages of other validators show about them and about this node, beside what ordering makes of them: how far their
//! clocks are from this one, and how far they are behind.
//!
//! No message carries the time as such. But a fresh proposal carries the time of its primary, and comes here some milliseconds
//! later: the difference is that of the two clocks and the way between. Of the last few the smallest counts, because a proposal
//! can come late and never early. A proposal whose time is the earliest that its parent allows shows nothing: the primary's
//! clock may be anywhere before it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorate_ledger::{BlockHash, Header, Height, ReplicaId, Timestamp};
use quorate_pbft::{Moment, Now};
use quorate_store::Head;

/// Proposals of a member that are remembered.
const KEPT: usize = 8;

/// Proposals that are remembered as parents of others, more than can be in flight in two views.
const PARENTS_KEPT: usize = 128;

/// What is older says nothing about clocks now.
const FRESH: Duration = Duration::from_secs(120);

/// What has been heard of each member.
#[derive(Debug)]
pub(crate) struct Heard {
    members: Mutex<Vec<Member>>,
    /// Times of the last proposals of all members: the parents of the next ones.
    proposals: Mutex<VecDeque<(BlockHash, Timestamp)>>,
}

#[derive(Debug, Clone, Default)]
struct Member {
    /// When a proposal of its own came, and how many milliseconds this clock was ahead of its time then.
    clock: VecDeque<(Moment, i64)>,
    /// How many blocks it was behind when it last said where it stands.
    behind: Option<u64>,
}

impl Heard {
    pub(crate) fn of(members: usize) -> Self {
        Heard { members: Mutex::new(vec![Member::default(); members]), proposals: Mutex::default() }
    }

    /// A proposal has just come from a member. `head`: the newest block here.
    pub(crate) fn proposed(&self, from: ReplicaId, header: &Header, head: Option<Head>, now: Now) {
        let parent = self.time_of(header.parent, head);
        self.remember(header.hash(), header.timestamp);
        let is_own = header.proposer == from;
        // Its clock, or the time after the parent's if that is later.
        if is_own && parent.is_some_and(|parent| header.timestamp > parent.plus_ms(1)) {
            self.compare(from, header.timestamp, now);
        }
    }

    fn time_of(&self, block: BlockHash, head: Option<Head>) -> Option<Timestamp> {
        let proposals = self.proposals.lock().unwrap_or_else(PoisonError::into_inner);
        let proposed = proposals.iter().find(|(hash, _)| *hash == block).map(|(_, time)| *time);
        proposed.or_else(|| head.filter(|head| head.hash == block).map(|head| head.timestamp))
    }

    fn remember(&self, block: BlockHash, time: Timestamp) {
        let mut proposals = self.proposals.lock().unwrap_or_else(PoisonError::into_inner);
        if proposals.len() == PARENTS_KEPT {
            proposals.pop_front();
        }
        proposals.push_back((block, time));
    }

    /// A member's clock showed this time when it sent a message that has just come.
    fn compare(&self, by: ReplicaId, time: Timestamp, now: Now) {
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

    /// A member says that it has committed so much, while this node has committed `here`. Later this node has more, and so has
    /// the member: only now the two can be compared.
    pub(crate) fn stands(&self, member: ReplicaId, committed: Height, here: Height) {
        self.change(member, |member| member.behind = Some(here.0.saturating_sub(committed.0)));
    }

    /// Milliseconds that this clock is ahead of a member's; negative if it is behind. `None` while nothing shows it.
    pub(crate) fn ahead_ms(&self, of: ReplicaId, now: Moment) -> Option<i64> {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = members.get(of.index())?.clock.iter().filter(|(at, _)| now.since(*at) <= FRESH);
        fresh.map(|(_, ahead)| *ahead).min()
    }

    /// Blocks that a member was behind this node when it last said where it stands.
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
    fn the_quickest_of_the_last_proposals_tells_the_difference() {
        let heard = Heard::of(2);
        let ahead = |member, seconds| heard.ahead_ms(ReplicaId(member), at(seconds, 0).moment);
        assert_eq!(ahead(0, 0), None);
        for (second, came) in [(1, 5_020), (2, 5_900), (3, 5_012)] {
            heard.compare(ReplicaId(0), Timestamp(5_000), at(second, came));
        }
        assert_eq!((ahead(0, 3), ahead(1, 3)), (Some(12), None));
        heard.compare(ReplicaId(0), Timestamp(5_000), at(4, 1_400));
        assert_eq!(ahead(0, 4), Some(-3_600));
        // It was set right.
        for second in 5..13 {
            heard.compare(ReplicaId(0), Timestamp(5_000), at(second, 5_030));
        }
        assert_eq!(ahead(0, 13), Some(30));
        assert_eq!(ahead(0, 12 + FRESH.as_secs() + 1), None, "that was long ago");
    }

    #[test]
    fn who_is_behind_is_compared_when_it_speaks() {
        let heard = Heard::of(2);
        heard.stands(ReplicaId(0), Height(90), Height(100));
        heard.stands(ReplicaId(1), Height(101), Height(100));
        assert_eq!((heard.behind(ReplicaId(0)), heard.behind(ReplicaId(1))), (Some(10), Some(0)));
    }

    #[test]
    fn absurd_times_and_strangers_do_no_harm() {
        let heard = Heard::of(1);
        heard.compare(ReplicaId(7), Timestamp(0), at(0, 1));
        heard.stands(ReplicaId(7), Height(1), Height(0));
        heard.compare(ReplicaId(0), Timestamp(u64::MAX), at(0, 1));
        assert_eq!(heard.ahead_ms(ReplicaId(0), at(0, 0).moment), Some(i64::MIN));
        assert_eq!((heard.behind(ReplicaId(0)), heard.behind(ReplicaId(7))), (None, None));
    }

    /// While the chain's time is ahead of all clocks, proposals have the earliest time that is allowed. It is no clock's.
    #[test]
    fn a_proposal_as_early_as_its_parent_allows_accuses_no_clock() {
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
        let heard = Heard::of(4);
        let (time, now) = (genesis.timestamp.0, at(1, genesis.timestamp.0 - 3_600_000));
        let ahead = || heard.ahead_ms(ReplicaId(1), now.moment);
        let first = propose(genesis, now.wall.0);
        let second = propose(&first, now.wall.0);
        heard.proposed(ReplicaId(1), &first, Some(head(genesis)), now);
        heard.proposed(ReplicaId(1), &second, Some(head(genesis)), now);
        assert_eq!(ahead(), None);
        let strange = propose(&propose(&second, time), time + 500);
        heard.proposed(ReplicaId(1), &strange, Some(head(genesis)), now);
        assert_eq!(ahead(), None, "its parent is not known");
        let later = propose(&second, time + 500);
        heard.proposed(ReplicaId(2), &later, Some(head(genesis)), now);
        assert_eq!(ahead(), None, "it was passed on by another member");
        heard.proposed(ReplicaId(1), &later, Some(head(genesis)), now);
        assert_eq!(ahead(), Some(-3_600_500));
    }
}
