//! What messages of other validators show about them and about this node, beside what ordering makes of them: how far their
//! clocks are from this one, and how far they are behind.
//!
//! Nobody tells the time as such. But a fresh proposal carries the time of its primary, and comes here some milliseconds later:
//! the difference is that of the two clocks and the way between. Of the last few the smallest counts, because a proposal can
//! come late and never early.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use quorate_ledger::{Height, ReplicaId, Timestamp};
use quorate_pbft::{Moment, Now};

/// Proposals of a member that are remembered.
const KEPT: usize = 8;

/// What is older says nothing about clocks now.
const FRESH: Duration = Duration::from_secs(120);

/// What has been heard of each member.
#[derive(Debug)]
pub(crate) struct Heard {
    members: Mutex<Vec<Member>>,
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
        Heard { members: Mutex::new(vec![Member::default(); members]) }
    }

    /// A member's own proposal of this time has just come from it.
    pub(crate) fn proposed(&self, by: ReplicaId, time: Timestamp, now: Now) {
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
            heard.proposed(ReplicaId(0), Timestamp(5_000), at(second, came));
        }
        assert_eq!((ahead(0, 3), ahead(1, 3)), (Some(12), None));
        heard.proposed(ReplicaId(0), Timestamp(5_000), at(4, 1_400));
        assert_eq!(ahead(0, 4), Some(-3_600));
        // It was set right.
        for second in 5..13 {
            heard.proposed(ReplicaId(0), Timestamp(5_000), at(second, 5_030));
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
        heard.proposed(ReplicaId(7), Timestamp(0), at(0, 1));
        heard.stands(ReplicaId(7), Height(1), Height(0));
        heard.proposed(ReplicaId(0), Timestamp(u64::MAX), at(0, 1));
        assert_eq!(heard.ahead_ms(ReplicaId(0), at(0, 0).moment), Some(i64::MIN));
        assert_eq!((heard.behind(ReplicaId(0)), heard.behind(ReplicaId(7))), (None, None));
    }
}
