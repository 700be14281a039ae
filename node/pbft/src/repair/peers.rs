//! What a replica knows of its channels to the other members (R12, R14, R15d).

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::{Height, ReplicaId};

use crate::time::Moment;

/// STATUS of one member is answered at most this many times in a status interval (R14c). More
/// answers would hardly show anything new.
pub(crate) const ANSWERS_PER_INTERVAL: u32 = 4;

/// The last messages and claims of each member, and the answers sent to it.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    status_sent: Option<Moment>,
    answered: BTreeMap<ReplicaId, Answered>,
    last_heard: BTreeMap<ReplicaId, Moment>,
    /// The last committed height of each connected member, as claimed by its last STATUS.
    heads: BTreeMap<ReplicaId, Height>,
}

/// What was sent to one member in answer to its STATUS and its connections, whatever the channel
/// (R14c).
#[derive(Debug, Default)]
struct Answered {
    /// When its STATUS was last answered.
    last: Option<Moment>,
    /// When the first STATUS on a new channel last got an additional answer: early, or with
    /// messages that may still be in flight on an open channel.
    out_of_turn: Option<Moment>,
    /// Whether the first STATUS on the present channel was answered.
    knows_channel: bool,
    /// When this replica last sent its VIEW-CHANGE because the member connected.
    greeted: Option<Moment>,
}

/// How the replica may answer a STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It is the first STATUS on a new channel. Messages on the old channel are lost, so recent
    /// ones are resent too.
    pub(crate) fresh_channel: bool,
    /// It comes earlier than STATUS of this member is answered otherwise.
    pub(crate) early: bool,
}

impl Peers {
    /// A message of a member arrived.
    pub(crate) fn heard(&mut self, member: ReplicaId, now: Moment) {
        self.last_heard.insert(member, now);
    }

    /// A member claims that its last committed block has this height.
    pub(crate) fn claims(&mut self, member: ReplicaId, committed: Height) {
        self.heads.insert(member, committed);
    }

    /// The channel to a member is closed. Its claims and messages do not count until it is back
    /// (R15d).
    pub(crate) fn lost(&mut self, member: ReplicaId) {
        self.last_heard.remove(&member);
        self.heads.remove(&member);
    }

    /// The members of which a message arrived within this time, on a channel that still exists.
    pub(crate) fn heard_within(&self, now: Moment, limit: Duration) -> impl Iterator<Item = ReplicaId> {
        self.last_heard.iter().filter(move |(_, last)| now.since(**last) <= limit).map(|(member, _)| *member)
    }

    /// How many members claim to have committed more than this height.
    pub(crate) fn ahead_of(&self, height: Height) -> usize {
        self.heads.values().filter(|head| **head > height).count()
    }

    /// When STATUS was last sent to all.
    pub(crate) fn status_sent(&self) -> Option<Moment> {
        self.status_sent
    }

    pub(crate) fn set_status_sent(&mut self, now: Moment) {
        self.status_sent = Some(now);
    }

    /// Makes STATUS due at once (R14d).
    pub(crate) fn hurry_status(&mut self) {
        self.status_sent = None;
    }

    /// A member connected. `true` if it may be sent this replica's VIEW-CHANGE: once in a status
    /// interval, so a member that connects more often receives no more (R14c).
    pub(crate) fn connected(&mut self, member: ReplicaId, now: Moment, interval: Duration) -> bool {
        let answered = self.answered.entry(member).or_default();
        answered.knows_channel = false;
        answered.greeted.is_none_or(|last| now.since(last) >= interval)
    }

    /// Notes that the member was sent this replica's VIEW-CHANGE because it connected.
    pub(crate) fn greeted(&mut self, member: ReplicaId, now: Moment) {
        self.answered.entry(member).or_default().greeted = Some(now);
    }

    /// Upon STATUS of a member: how to answer it. `None` if it was answered less than a quarter of
    /// a status interval ago (R14c).
    ///
    /// The first STATUS on a new channel is answered at once, but only once in an interval.
    pub(crate) fn answer(&mut self, member: ReplicaId, now: Moment, interval: Duration) -> Option<Answer> {
        let answered = self.answered.entry(member).or_default();
        let fresh_channel =
            !answered.knows_channel && answered.out_of_turn.is_none_or(|last| now.since(last) >= interval);
        let pause = interval / ANSWERS_PER_INTERVAL;
        let early = answered.last.is_some_and(|last| now.since(last) < pause);
        if early && !fresh_channel {
            return None;
        }
        answered.last = Some(now);
        answered.knows_channel |= fresh_channel;
        Some(Answer { fresh_channel, early })
    }

    /// Notes that the answer was additional. The next additional one must wait for an interval.
    pub(crate) fn answered_out_of_turn(&mut self, member: ReplicaId, now: Moment) {
        self.answered.entry(member).or_default().out_of_turn = Some(now);
    }
}
