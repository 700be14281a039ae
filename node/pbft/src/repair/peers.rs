//! What a replica knows of its connections to the other members.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_ledger::{Height, ReplicaId};

use crate::time::Moment;

/// A member's STATUS is answered at most this many times per status interval: asking more often shows no more that is
/// lacking.
pub(crate) const ANSWERS_PER_INTERVAL: u32 = 4;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    status_sent: Option<Moment>,
    answered: BTreeMap<ReplicaId, Answered>,
    last_heard: BTreeMap<ReplicaId, Moment>,
    /// The last committed height of each connected member, as its last STATUS says.
    heads: BTreeMap<ReplicaId, Height>,
}

/// What a member was sent in answer to its STATUS and its connections, whatever the channel.
#[derive(Debug, Default)]
struct Answered {
    /// When its STATUS was last answered.
    last: Option<Moment>,
    /// When the first STATUS on a new channel was last answered before its time, or with young messages.
    out_of_turn: Option<Moment>,
    /// Whether the first STATUS on the present channel was answered as such.
    knows_channel: bool,
    /// When this replica's VIEW-CHANGE was last sent because the member connected.
    greeted: Option<Moment>,
}

/// How a STATUS may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The first STATUS on a new channel: all messages sent before are lost, however young.
    pub(crate) fresh_channel: bool,
    /// It comes earlier than STATUS of this member would be answered otherwise.
    pub(crate) early: bool,
}

impl Peers {
    /// A message of a member arrived.
    pub(crate) fn heard(&mut self, member: ReplicaId, now: Moment) {
        self.last_heard.insert(member, now);
    }

    /// A member claims to have committed this height.
    pub(crate) fn claims(&mut self, member: ReplicaId, committed: Height) {
        self.heads.insert(member, committed);
    }

    /// The channel to a member is gone: its claims do not count until it is back.
    pub(crate) fn lost(&mut self, member: ReplicaId) {
        self.last_heard.remove(&member);
        self.heads.remove(&member);
    }

    /// The members of which a message arrived within this time.
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

    /// STATUS is due at once: others must see something of it while they remember what it is about.
    pub(crate) fn hurry_status(&mut self) {
        self.status_sent = None;
    }

    /// A member connected. Whether it is sent this replica's VIEW-CHANGE: once in a status interval, so that connecting
    /// again gains nothing.
    pub(crate) fn connected(&mut self, member: ReplicaId, now: Moment, interval: Duration) -> bool {
        let answered = self.answered.entry(member).or_default();
        answered.knows_channel = false;
        answered.greeted.is_none_or(|last| now.since(last) >= interval)
    }

    /// The member was sent this replica's VIEW-CHANGE because it connected.
    pub(crate) fn greeted(&mut self, member: ReplicaId, now: Moment) {
        self.answered.entry(member).or_default().greeted = Some(now);
    }

    /// A STATUS of a member arrived. How it may be answered; `None`: not, since this member was answered a moment ago.
    ///
    /// The first STATUS on a new channel is answered at once, but once in an interval only.
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

    /// The answer came early, or had messages that are young: the next such answer must wait.
    pub(crate) fn answered_out_of_turn(&mut self, member: ReplicaId, now: Moment) {
        self.answered.entry(member).or_default().out_of_turn = Some(now);
    }
}
