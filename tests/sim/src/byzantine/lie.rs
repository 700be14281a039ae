//! The behaviours of Byzantine members, their names and their strategies.

use quorate_ledger::ReplicaId;

use crate::byzantine::{Collusion, Strategy, delivery, proposals, status, sync, view_changes, votes};

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
    /// Signs with the keys that members had in earlier epochs.
    UseOldKeys,
    /// Proposes blocks that break a rule, and serves their bodies.
    Misfill,
    /// Proposes twice at one height to the same member.
    ProposeTwice,
    /// Proposes other blocks at the heights that its NEW-VIEW contains.
    ProposeAgain,
    /// Sends a PREPARE for its own proposals.
    VoteAsPrimary,
    /// Sends COMMITs for other blocks than it accepted or proposed.
    CrossVotes,
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
    /// [`Scenario`](crate::occasions::Scenario) that gives them the opportunity.
    pub const FORGERIES: &[Lie] = &[
        Lie::Misfill,
        Lie::ProposeTwice,
        Lie::ProposeAgain,
        Lie::VoteAsPrimary,
        Lie::CrossVotes,
        Lie::ForgeVotes,
        Lie::VoteFar,
        Lie::ForgeChange,
        Lie::ForgeView,
        Lie::ForgeSeen,
        Lie::KeepCheckpoints,
        Lie::HideBranch,
        Lie::Strip,
        Lie::UseOldKeys,
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
            Lie::UseOldKeys => "Byzantine: forged votes",
            Lie::Misfill => "Byzantine: a block that breaks a rule",
            Lie::ProposeTwice => "Byzantine: two proposals to one member",
            Lie::ProposeAgain => "Byzantine: proposals where a view begins",
            Lie::VoteAsPrimary => "Byzantine: a primary that votes",
            Lie::CrossVotes => "Byzantine: crossed votes",
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

    /// The strategy of a member with this behaviour; `None` for twins.
    pub(super) fn strategy(self, me: ReplicaId, collusion: &mut Collusion) -> Option<Box<dyn Strategy>> {
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
            Lie::UseOldKeys => Box::new(votes::UseOldKeys),
            Lie::Misfill => Box::new(proposals::Misfill::new()),
            Lie::ProposeTwice => Box::new(proposals::ProposeTwice),
            Lie::ProposeAgain => Box::new(proposals::ProposeAgain),
            Lie::VoteAsPrimary => Box::new(votes::VoteAsPrimary),
            Lie::CrossVotes => Box::new(votes::CrossVotes),
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
