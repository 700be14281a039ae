//! Byzantine members: a correct engine whose outgoing messages, and sometimes incoming ones, are
//! changed.
//!
//! A Byzantine member runs the production engine, so it always knows which messages a correct
//! member would send. Its [`Strategy`]s decide what it actually sends; each is one small file. All
//! Byzantine members of a run share a [`Collusion`]: every one of them may use what another one
//! received or signed. They have only their own keys.
//!
//! Receivers may refuse a message of a Byzantine member unread. That is counted, and is not a
//! violation.

mod collusion;
mod delivery;
mod proposals;
mod status;
mod sync;
mod view_changes;
mod votes;

use std::fmt;
use std::time::Duration;

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::Message;

pub use collusion::Collusion;

/// The behaviours of a Byzantine member. One member may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// Two machines with one key, each connected to a different part of the others: the Twins
    /// method.
    Twin,
    /// Proposes different blocks to different members.
    Equivocate,
    /// Votes for every proposal that it receives, and for blocks that do not exist.
    VoteTwice,
    /// Leaves for near and far views, with view-change payloads that differ from receiver to
    /// receiver.
    Spam,
    /// Leaves views with view-change payloads that omit certificates.
    Hide,
    /// Keeps prepared certificates that no other member has, and sends them late.
    Hoard,
    /// Sends NEW-VIEWs that do not follow from their VIEW-CHANGEs.
    Misopen,
    /// Begins one view with several valid NEW-VIEWs.
    Reopen,
    /// Does not send some kinds of messages to some members.
    Withhold,
    /// Does not propose the transactions of one client.
    Censor,
    /// Proposes as late as the timeout allows.
    Dawdle,
    /// Proposes blocks with a future time.
    PushTime,
    /// Sends wrong responses to requests.
    LieInAnswers,
    /// Sends false STATUS and SEEN messages.
    LieInStatus,
    /// Signs checkpoints of states that do not exist.
    LieInCheckpoints,
    /// Sends old messages again.
    Replay,
    /// Votes for slightly different blocks, heights or views.
    Mutate,
    /// Helps one victim to leave views alone.
    HelpOne,
    /// Sends evidence that proves nothing.
    Accuse,
    /// Proposes blocks that break a rule, and serves their bodies.
    Misfill,
    /// Proposes twice at one height to the same member.
    ProposeTwice,
    /// Proposes other blocks at the heights that its NEW-VIEW contains.
    ProposeAgain,
    /// Sends a PREPARE for its own proposals.
    VoteAsPrimary,
    /// Sends votes and proposals with invalid signatures.
    ForgeVotes,
    /// Votes for heights and views far ahead.
    VoteFar,
    /// Leaves views with invalid certificates.
    ForgeChange,
    /// Begins views without a quorum of VIEW-CHANGEs.
    ForgeView,
    /// Claims without a signature to have received votes of others.
    ForgeSeen,
    /// Sends one member a branch that the others never receive.
    HideBranch,
    /// Signs no checkpoints.
    KeepCheckpoints,
    /// Serves certified blocks with misplaced certificates.
    Strip,
}

impl Lie {
    /// Behaviours that exploit a field if it is not checked. They are drawn in a
    /// [`Scenario`](crate::occasions::scenario::Scenario) that gives them the opportunity.
    pub const FORGERIES: &[Lie] = &[
        Lie::Misfill,
        Lie::ProposeTwice,
        Lie::ProposeAgain,
        Lie::VoteAsPrimary,
        Lie::ForgeVotes,
        Lie::VoteFar,
        Lie::ForgeChange,
        Lie::ForgeView,
        Lie::ForgeSeen,
        Lie::KeepCheckpoints,
        Lie::HideBranch,
        Lie::Strip,
    ];

    /// Behaviours that are drawn in any run.
    pub const ALL: &[Lie] = &[
        Lie::Twin,
        Lie::Equivocate,
        Lie::VoteTwice,
        Lie::Spam,
        Lie::Hide,
        Lie::Hoard,
        Lie::Misopen,
        Lie::Reopen,
        Lie::Withhold,
        Lie::Censor,
        Lie::Dawdle,
        Lie::PushTime,
        Lie::LieInAnswers,
        Lie::LieInStatus,
        Lie::LieInCheckpoints,
        Lie::Replay,
        Lie::Mutate,
        Lie::HelpOne,
        Lie::Accuse,
    ];

    /// The behaviour with this name.
    pub fn named(name: &str) -> Option<Lie> {
        let mut known = Lie::ALL.iter().chain(Lie::FORGERIES);
        known.find(|lie| format!("{lie:?}") == name).copied()
    }

    /// The situation that is counted when it occurred.
    pub fn situation(self) -> &'static str {
        match self {
            Lie::Twin => "Byzantine: twins",
            Lie::Equivocate => "Byzantine: several proposals",
            Lie::VoteTwice => "Byzantine: votes for everything",
            Lie::Spam => "Byzantine: view changes without end",
            Lie::Hide => "Byzantine: an incomplete view change",
            Lie::Hoard => "Byzantine: a certificate sent late",
            Lie::Misopen => "Byzantine: a wrong new view",
            Lie::Reopen => "Byzantine: several new views",
            Lie::Withhold => "Byzantine: withheld messages",
            Lie::Censor => "Byzantine: a censored client",
            Lie::Dawdle => "Byzantine: a slow primary",
            Lie::PushTime => "Byzantine: a block with a future time",
            Lie::LieInAnswers => "Byzantine: a wrong response",
            Lie::LieInStatus => "Byzantine: a wrong status",
            Lie::LieInCheckpoints => "Byzantine: a wrong checkpoint",
            Lie::Replay => "Byzantine: old messages",
            Lie::Mutate => "Byzantine: votes that are slightly wrong",
            Lie::HelpOne => "Byzantine: help to leave alone",
            Lie::Accuse => "Byzantine: false evidence",
            Lie::Misfill => "Byzantine: a block that breaks a rule",
            Lie::ProposeTwice => "Byzantine: two proposals to one member",
            Lie::ProposeAgain => "Byzantine: proposals where a view begins",
            Lie::VoteAsPrimary => "Byzantine: a primary that votes",
            Lie::ForgeVotes => "Byzantine: forged votes",
            Lie::VoteFar => "Byzantine: votes far ahead",
            Lie::ForgeChange => "Byzantine: a view change with forged certificates",
            Lie::ForgeView => "Byzantine: a forged new view",
            Lie::ForgeSeen => "Byzantine: a forged SEEN",
            Lie::KeepCheckpoints => "Byzantine: no checkpoint",
            Lie::HideBranch => "Byzantine: a branch for one member",
            Lie::Strip => "Byzantine: misplaced certificates",
        }
    }

    fn strategy(self, me: ReplicaId, collusion: &mut Collusion) -> Option<Box<dyn Strategy>> {
        Some(match self {
            Lie::Twin => return None, // a second machine, not a changed message
            Lie::Equivocate => Box::new(proposals::Equivocate),
            Lie::VoteTwice => Box::new(votes::VoteTwice),
            Lie::Spam => Box::new(view_changes::Spam),
            Lie::Hide => Box::new(view_changes::Hide::new(collusion)),
            Lie::Hoard => Box::new(view_changes::Hoard::new(me, collusion)),
            Lie::Misopen => Box::new(view_changes::Misopen),
            Lie::Reopen => Box::new(view_changes::Reopen),
            Lie::Withhold => Box::new(delivery::Withhold::new(me, collusion)),
            Lie::Censor => Box::new(delivery::Censor::new(collusion)),
            Lie::Dawdle => Box::new(proposals::Dawdle::new(collusion)),
            Lie::PushTime => Box::new(proposals::PushTime::new(collusion)),
            Lie::LieInAnswers => Box::new(sync::LieInAnswers),
            Lie::LieInStatus => Box::new(status::LieInStatus),
            Lie::LieInCheckpoints => Box::new(status::LieInCheckpoints),
            Lie::Replay => Box::new(delivery::Replay),
            Lie::Mutate => Box::new(votes::Mutate),
            Lie::HelpOne => Box::new(view_changes::HelpOne::new(me, collusion)),
            Lie::Accuse => Box::new(status::Accuse),
            Lie::Misfill => Box::new(proposals::Misfill::new()),
            Lie::ProposeTwice => Box::new(proposals::ProposeTwice),
            Lie::ProposeAgain => Box::new(proposals::ProposeAgain),
            Lie::VoteAsPrimary => Box::new(votes::VoteAsPrimary),
            Lie::ForgeVotes => Box::new(votes::ForgeVotes),
            Lie::VoteFar => Box::new(votes::VoteFar),
            Lie::ForgeChange => Box::new(view_changes::ForgeChange),
            Lie::ForgeView => Box::new(view_changes::ForgeView),
            Lie::ForgeSeen => Box::new(status::ForgeSeen),
            Lie::KeepCheckpoints => Box::new(status::KeepCheckpoints),
            Lie::HideBranch => Box::new(proposals::HideBranch::new(collusion)),
            Lie::Strip => Box::new(sync::Strip),
        })
    }
}

/// A message that a Byzantine member sends to one member.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The receiver.
    pub to: ReplicaId,
    /// The message.
    pub message: Message,
    /// The delay before it is sent.
    pub delay: Duration,
}

impl Outgoing {
    /// A message without delay.
    pub fn new(to: ReplicaId, message: Message) -> Self {
        Outgoing { to, message, delay: Duration::ZERO }
    }
}

/// One Byzantine behaviour. The default of every method is what a correct member does.
pub trait Strategy: fmt::Debug {
    /// Changes a message that the engine sends.
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let _ = (collusion, me);
        out.push(outgoing);
    }

    /// Sends messages in response to a message that it received.
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let _ = (collusion, me, from, message, out);
    }

    /// Sends messages at regular times, about once per status interval.
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let _ = (collusion, me, out);
    }

    /// The response to a request, instead of the engine's response.
    fn answer(
        &mut self,
        collusion: &mut Collusion,
        to: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        let _ = (collusion, to, ask);
        answer
    }

    /// Whether its engine receives a transaction.
    fn accepts_transaction(&mut self, collusion: &mut Collusion, transaction: &VerifiedTransaction) -> bool {
        let _ = (collusion, transaction);
        true
    }

    /// Whether it relays transactions to a member.
    fn relays_to(&mut self, collusion: &mut Collusion, to: ReplicaId) -> bool {
        let _ = (collusion, to);
        true
    }
}

/// The strategies of one Byzantine member.
#[derive(Debug)]
pub struct Adversary {
    me: ReplicaId,
    strategies: Vec<(Lie, Box<dyn Strategy>)>,
}

impl Adversary {
    /// A Byzantine member with these behaviours.
    pub fn new(me: ReplicaId, lies: &[Lie], collusion: &mut Collusion) -> Self {
        let strategies = lies.iter().filter_map(|lie| Some((*lie, lie.strategy(me, collusion)?))).collect();
        Adversary { me, strategies }
    }

    /// The messages that it sends instead of one message of its engine. `occurred` is called for
    /// each
    /// behaviour that changed the message.
    pub fn on_send(
        &mut self,
        collusion: &mut Collusion,
        outgoing: Outgoing,
        mut occurred: impl FnMut(Lie),
    ) -> Vec<Outgoing> {
        let mut messages = vec![outgoing];
        for (lie, strategy) in &mut self.strategies {
            let mut next = Vec::new();
            for utterance in messages {
                let (to, before) = (utterance.to, utterance.message.clone());
                let start = next.len();
                strategy.on_send(collusion, self.me, utterance, &mut next);
                let unchanged = matches!(&next[start..], [one]
                    if one.to == to && one.delay.is_zero() && one.message == before);
                if !unchanged {
                    occurred(*lie);
                }
            }
            messages = next;
        }
        messages
    }

    /// The messages that it sends in response to a received message.
    pub fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        from: ReplicaId,
        message: &Message,
        mut occurred: impl FnMut(Lie),
    ) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.on_receive(collusion, self.me, from, message, &mut out);
            if out.len() > before {
                occurred(*lie);
            }
        }
        out
    }

    /// The messages that it sends at regular times.
    pub fn tick(&mut self, collusion: &mut Collusion, mut occurred: impl FnMut(Lie)) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.tick(collusion, self.me, &mut out);
            if out.len() > before {
                occurred(*lie);
            }
        }
        out
    }

    /// The response that it sends to a request.
    pub fn answer(
        &mut self,
        collusion: &mut Collusion,
        to: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
        mut occurred: impl FnMut(Lie),
    ) -> FetchResponse {
        let mut answer = answer;
        for (lie, strategy) in &mut self.strategies {
            let before = answer.clone();
            answer = strategy.answer(collusion, to, ask, answer);
            if answer != before {
                occurred(*lie);
            }
        }
        answer
    }

    /// Whether its engine receives a transaction.
    pub fn accepts_transaction(
        &mut self,
        collusion: &mut Collusion,
        transaction: &VerifiedTransaction,
        mut occurred: impl FnMut(Lie),
    ) -> bool {
        self.strategies.iter_mut().all(|(lie, strategy)| {
            let takes = strategy.accepts_transaction(collusion, transaction);
            if !takes {
                occurred(*lie);
            }
            takes
        })
    }

    /// Whether it relays transactions to a member.
    pub fn relays_to(&mut self, collusion: &mut Collusion, to: ReplicaId) -> bool {
        self.strategies.iter_mut().all(|(_, strategy)| strategy.relays_to(collusion, to))
    }
}
