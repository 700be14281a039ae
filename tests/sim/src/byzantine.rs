//! Members that lie: a correct engine whose mouth, and sometimes whose ear, is somebody else's.
//!
//! A liar runs the production engine, so it always knows what a correct member would say. What it does say is
//! up to its [`Strategy`]s, one small file each. Liars of one run share a [`Brain`]: what one of them saw or
//! signed, all of them may use. They have their own keys and nobody else's.
//!
//! What a liar sends may be refused unread by those it is for. That is counted, and no fault.

mod accuse;
mod brain;
mod censor;
mod dawdle;
mod disguise;
mod equivocate;
mod forge_change;
mod forge_seen;
mod forge_view;
mod forge_votes;
mod help;
mod hide;
mod hide_branch;
mod hoard;
mod keep_checkpoints;
mod lie_checkpoint;
mod lie_status;
mod lie_sync;
mod misfill;
mod misopen;
mod mutate;
mod propose_again;
mod propose_twice;
mod push_time;
mod reopen;
mod replay;
mod spam;
mod strip;
mod vote_as_primary;
mod vote_far;
mod vote_twice;
mod withhold;

use std::fmt;
use std::time::Duration;

use quorate_engine::{Answer, Ask};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::Message;

pub use brain::Brain;

/// What a liar does. Several at once are one liar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lie {
    /// Two machines with one key, each with its own part of the others: the Twins method.
    Twin,
    /// Proposes different blocks to different members.
    Equivocate,
    /// Votes for everything it hears of, and for nothing at all.
    VoteTwice,
    /// Leaves for views near and far, for reasons that differ from member to member.
    Spam,
    /// Leaves views without what it knows.
    Hide,
    /// Keeps prepared certificates that no other member has, and shows them late.
    Hoard,
    /// Begins views that do not follow from the view changes.
    Misopen,
    /// Begins one view in several ways, each of them valid.
    Reopen,
    /// Says nothing of some kinds to some members.
    Withhold,
    /// Proposes nothing of one client.
    Censor,
    /// Proposes as late as it may.
    Dawdle,
    /// Proposes blocks of the future.
    PushTime,
    /// Answers questions wrongly.
    LieInAnswers,
    /// Says of itself and others what is not so.
    LieInStatus,
    /// Vouches for states that are not.
    LieInCheckpoints,
    /// Says again what was said long ago.
    Replay,
    /// Votes for what stands beside.
    Mutate,
    /// Leaves views together with one victim.
    HelpOne,
    /// Accuses others without proof.
    Accuse,
    /// Proposes blocks that break a rule, and has the bodies to go with them.
    Misfill,
    /// Proposes twice at one height to the same member.
    ProposeTwice,
    /// Proposes other blocks at the heights that its view begins with.
    ProposeAgain,
    /// Sends PREPARE for its own proposals.
    VoteAsPrimary,
    /// Sends votes and proposals with signatures that do not hold.
    ForgeVotes,
    /// Votes for heights and views far away.
    VoteFar,
    /// Leaves views with certificates that do not hold.
    ForgeChange,
    /// Begins views that no quorum asked for.
    ForgeView,
    /// Claims without a signature to have seen others vote.
    ForgeSeen,
    /// Shows one member a branch that the others never see.
    HideBranch,
    /// Vouches for no state.
    KeepCheckpoints,
    /// Answers with certified blocks whose certificates do not belong there.
    Strip,
}

impl Lie {
    /// Those that use what an unchecked field would allow. They are drawn in a [`Scenario`](crate::scenario::Scenario)
    /// that gives them the occasion.
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

    /// Those that are drawn anywhere.
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

    /// The lie with this name.
    pub fn named(name: &str) -> Option<Lie> {
        let mut known = Lie::ALL.iter().chain(Lie::FORGERIES);
        known.find(|lie| format!("{lie:?}") == name).copied()
    }

    /// What is counted when it lied.
    pub fn situation(self) -> &'static str {
        match self {
            Lie::Twin => "a lie: twins",
            Lie::Equivocate => "a lie: several proposals",
            Lie::VoteTwice => "a lie: votes for everything",
            Lie::Spam => "a lie: view changes without end",
            Lie::Hide => "a lie: a view change that hides",
            Lie::Hoard => "a lie: a certificate shown late",
            Lie::Misopen => "a lie: a wrong new view",
            Lie::Reopen => "a lie: several new views",
            Lie::Withhold => "a lie: silence to some",
            Lie::Censor => "a lie: a client left out",
            Lie::Dawdle => "a lie: a slow primary",
            Lie::PushTime => "a lie: a block of the future",
            Lie::LieInAnswers => "a lie: a wrong answer",
            Lie::LieInStatus => "a lie: a wrong status",
            Lie::LieInCheckpoints => "a lie: a wrong checkpoint",
            Lie::Replay => "a lie: old messages",
            Lie::Mutate => "a lie: votes that are off",
            Lie::HelpOne => "a lie: help for one",
            Lie::Accuse => "a lie: a false accusation",
            Lie::Misfill => "a lie: a block that breaks a rule",
            Lie::ProposeTwice => "a lie: two proposals to one member",
            Lie::ProposeAgain => "a lie: proposals where a view begins",
            Lie::VoteAsPrimary => "a lie: a primary that votes",
            Lie::ForgeVotes => "a lie: forged votes",
            Lie::VoteFar => "a lie: votes far ahead",
            Lie::ForgeChange => "a lie: a view change with forged certificates",
            Lie::ForgeView => "a lie: a forged new view",
            Lie::ForgeSeen => "a lie: a forged reminder",
            Lie::KeepCheckpoints => "a lie: no checkpoint",
            Lie::HideBranch => "a lie: a branch for one",
            Lie::Strip => "a lie: misplaced certificates",
        }
    }

    fn strategy(self, me: ReplicaId, brain: &mut Brain) -> Option<Box<dyn Strategy>> {
        Some(match self {
            Lie::Twin => return None, // a second machine, not another mouth
            Lie::Equivocate => Box::new(equivocate::Equivocate),
            Lie::VoteTwice => Box::new(vote_twice::VoteTwice),
            Lie::Spam => Box::new(spam::Spam),
            Lie::Hide => Box::new(hide::Hide::new(brain)),
            Lie::Hoard => Box::new(hoard::Hoard::new(me, brain)),
            Lie::Misopen => Box::new(misopen::Misopen),
            Lie::Reopen => Box::new(reopen::Reopen),
            Lie::Withhold => Box::new(withhold::Withhold::new(me, brain)),
            Lie::Censor => Box::new(censor::Censor::new(brain)),
            Lie::Dawdle => Box::new(dawdle::Dawdle::new(brain)),
            Lie::PushTime => Box::new(push_time::PushTime::new(brain)),
            Lie::LieInAnswers => Box::new(lie_sync::LieInAnswers),
            Lie::LieInStatus => Box::new(lie_status::LieInStatus),
            Lie::LieInCheckpoints => Box::new(lie_checkpoint::LieInCheckpoints),
            Lie::Replay => Box::new(replay::Replay),
            Lie::Mutate => Box::new(mutate::Mutate),
            Lie::HelpOne => Box::new(help::HelpOne::new(me, brain)),
            Lie::Accuse => Box::new(accuse::Accuse),
            Lie::Misfill => Box::new(misfill::Misfill::new()),
            Lie::ProposeTwice => Box::new(propose_twice::ProposeTwice),
            Lie::ProposeAgain => Box::new(propose_again::ProposeAgain),
            Lie::VoteAsPrimary => Box::new(vote_as_primary::VoteAsPrimary),
            Lie::ForgeVotes => Box::new(forge_votes::ForgeVotes),
            Lie::VoteFar => Box::new(vote_far::VoteFar),
            Lie::ForgeChange => Box::new(forge_change::ForgeChange),
            Lie::ForgeView => Box::new(forge_view::ForgeView),
            Lie::ForgeSeen => Box::new(forge_seen::ForgeSeen),
            Lie::KeepCheckpoints => Box::new(keep_checkpoints::KeepCheckpoints),
            Lie::HideBranch => Box::new(hide_branch::HideBranch::new(brain)),
            Lie::Strip => Box::new(strip::Strip),
        })
    }
}

/// Something a liar says to one member.
#[derive(Debug, Clone)]
pub struct Utterance {
    /// To whom.
    pub to: ReplicaId,
    /// What.
    pub message: Message,
    /// How long it waits before it says it.
    pub delay: Duration,
}

impl Utterance {
    /// Said at once.
    pub fn new(to: ReplicaId, message: Message) -> Self {
        Utterance { to, message, delay: Duration::ZERO }
    }
}

/// One way to lie. Everything a method does not override is what a correct member does.
pub trait Strategy: fmt::Debug {
    /// What becomes of something that the engine wants to say.
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let _ = (brain, me);
        out.push(said);
    }

    /// What it says because of something it heard.
    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        from: ReplicaId,
        message: &Message,
        out: &mut Vec<Utterance>,
    ) {
        let _ = (brain, me, from, message, out);
    }

    /// What it says because time has passed: about once a status interval.
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let _ = (brain, me, out);
    }

    /// What it answers to a question, instead of what its engine answers.
    fn answer(&mut self, brain: &mut Brain, to: ReplicaId, ask: &Ask, answer: Answer) -> Answer {
        let _ = (brain, to, ask);
        answer
    }

    /// Whether its engine hears of a transaction.
    fn takes(&mut self, brain: &mut Brain, transaction: &VerifiedTransaction) -> bool {
        let _ = (brain, transaction);
        true
    }

    /// Whether it passes transactions on to a member.
    fn shares(&mut self, brain: &mut Brain, to: ReplicaId) -> bool {
        let _ = (brain, to);
        true
    }
}

/// The mouth and the ears of one liar.
#[derive(Debug)]
pub struct Liar {
    me: ReplicaId,
    strategies: Vec<(Lie, Box<dyn Strategy>)>,
}

impl Liar {
    /// A liar of these strategies.
    pub fn new(me: ReplicaId, lies: &[Lie], brain: &mut Brain) -> Self {
        let strategies = lies.iter().filter_map(|lie| Some((*lie, lie.strategy(me, brain)?))).collect();
        Liar { me, strategies }
    }

    /// What it says when its engine wants to say something to one member. `told` is called for each lie that
    /// changed it.
    pub fn utter(&mut self, brain: &mut Brain, said: Utterance, mut told: impl FnMut(Lie)) -> Vec<Utterance> {
        let mut saying = vec![said];
        for (lie, strategy) in &mut self.strategies {
            let mut next = Vec::new();
            for utterance in saying {
                let (to, before) = (utterance.to, utterance.message.clone());
                let start = next.len();
                strategy.utter(brain, self.me, utterance, &mut next);
                let unchanged = matches!(&next[start..], [one]
                    if one.to == to && one.delay.is_zero() && one.message == before);
                if !unchanged {
                    told(*lie);
                }
            }
            saying = next;
        }
        saying
    }

    /// What it says because of something it heard.
    pub fn hear(
        &mut self,
        brain: &mut Brain,
        from: ReplicaId,
        message: &Message,
        mut told: impl FnMut(Lie),
    ) -> Vec<Utterance> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.hear(brain, self.me, from, message, &mut out);
            if out.len() > before {
                told(*lie);
            }
        }
        out
    }

    /// What it says because time has passed.
    pub fn tick(&mut self, brain: &mut Brain, mut told: impl FnMut(Lie)) -> Vec<Utterance> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.tick(brain, self.me, &mut out);
            if out.len() > before {
                told(*lie);
            }
        }
        out
    }

    /// What it answers.
    pub fn answer(
        &mut self,
        brain: &mut Brain,
        to: ReplicaId,
        ask: &Ask,
        answer: Answer,
        mut told: impl FnMut(Lie),
    ) -> Answer {
        let mut answer = answer;
        for (lie, strategy) in &mut self.strategies {
            let before = answer.clone();
            answer = strategy.answer(brain, to, ask, answer);
            if answer != before {
                told(*lie);
            }
        }
        answer
    }

    /// Whether its engine hears of a transaction.
    pub fn takes(
        &mut self,
        brain: &mut Brain,
        transaction: &VerifiedTransaction,
        mut told: impl FnMut(Lie),
    ) -> bool {
        self.strategies.iter_mut().all(|(lie, strategy)| {
            let takes = strategy.takes(brain, transaction);
            if !takes {
                told(*lie);
            }
            takes
        })
    }

    /// Whether it passes transactions on to a member.
    pub fn shares(&mut self, brain: &mut Brain, to: ReplicaId) -> bool {
        self.strategies.iter_mut().all(|(_, strategy)| strategy.shares(brain, to))
    }
}
