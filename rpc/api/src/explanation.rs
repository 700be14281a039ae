//! Why a node gets on with ordering or does not, in words and as data.

use std::fmt;

use quorate_ledger::BlockHash;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::consensus::{DeadlinePurpose, HeightPhase, ValidatorStanding};
use crate::hex;
use crate::hex::Hex;

/// What a node does or waits for. If several are true, the one that must end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Its ordering thread does not report, most likely because its disk does not answer.
    EngineStalled,
    /// It runs on an old journal and never votes with it.
    Recovering,
    /// It has just started and asks the others what they have seen it sign.
    Probing,
    /// It hears of fewer members than ordering needs.
    NoQuorumContact,
    /// Others have committed more, and it fetches their blocks.
    CatchingUp,
    /// It has left a view, and the next one has not begun.
    WaitingForNewView,
    /// Ordering has run as far ahead of the stable checkpoint as it may.
    WaitingForCheckpoint,
    /// It has no vote, follows the validators, and nothing holds it up.
    Following,
    /// Nothing is there to be ordered.
    Idle,
    /// Work is on its way, and nothing takes long.
    Ordering,
    /// Work waits, and the proposal for the next height is not here.
    WaitingForProposal,
    /// The next block is proposed, and its transactions are being fetched or checked.
    ExaminingProposal,
    /// The time of the next block is too far from this node's clock, or would be.
    WaitingForClock,
    /// The proposal for the next height breaks a rule.
    ProposalRefused,
    /// The next block is proposed and accepted, and lacks votes.
    WaitingForVotes,
}

impl ProgressState {
    /// All of them.
    pub const ALL: [ProgressState; 15] = [
        ProgressState::EngineStalled,
        ProgressState::Recovering,
        ProgressState::Probing,
        ProgressState::NoQuorumContact,
        ProgressState::CatchingUp,
        ProgressState::WaitingForNewView,
        ProgressState::WaitingForCheckpoint,
        ProgressState::Following,
        ProgressState::Idle,
        ProgressState::Ordering,
        ProgressState::WaitingForProposal,
        ProgressState::ExaminingProposal,
        ProgressState::WaitingForClock,
        ProgressState::ProposalRefused,
        ProgressState::WaitingForVotes,
    ];

    /// The word for it, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ProgressState::EngineStalled => "engine_stalled",
            ProgressState::Recovering => "recovering",
            ProgressState::Probing => "probing",
            ProgressState::NoQuorumContact => "no_quorum_contact",
            ProgressState::CatchingUp => "catching_up",
            ProgressState::WaitingForNewView => "waiting_for_new_view",
            ProgressState::WaitingForCheckpoint => "waiting_for_checkpoint",
            ProgressState::Following => "following",
            ProgressState::Idle => "idle",
            ProgressState::Ordering => "ordering",
            ProgressState::WaitingForProposal => "waiting_for_proposal",
            ProgressState::ExaminingProposal => "examining_proposal",
            ProgressState::WaitingForClock => "waiting_for_clock",
            ProgressState::ProposalRefused => "proposal_refused",
            ProgressState::WaitingForVotes => "waiting_for_votes",
        }
    }

    /// Whether nothing holds the node up: it orders, has nothing to order, follows, or fetches what others have.
    pub fn is_progress(self) -> bool {
        matches!(
            self,
            ProgressState::Following
                | ProgressState::Idle
                | ProgressState::Ordering
                | ProgressState::CatchingUp
        )
    }
}

impl fmt::Display for ProgressState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A member of the committee as people speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberName {
    /// Its position in the committee.
    pub index: u16,
    /// Its name in the genesis.
    pub name: String,
}

/// What a height waits for before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The view's beginning: what is here is kept until then.
    View,
    /// The primary's proposal, from it or from whoever accepted it.
    Proposal,
    /// The block below, to be accepted.
    Parent,
    /// Its transactions.
    Body,
    /// This node's clock, or the end of the view.
    Clock,
    /// Nothing that this node could still do for it: the proposal breaks a rule.
    Nothing,
    /// Votes of the first round: the primary's proposal and PREPAREs of backups.
    Prepares,
    /// The height below, which this node has to commit to first.
    HeightBelow,
    /// COMMITs.
    Commits,
}

/// The votes of one round, as far as they are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteTally {
    /// Members that voted. One vote for another block, which only a liar gives, is counted here and does not
    /// count for the block.
    pub have: u32,
    /// Votes that decide.
    pub needed: u32,
    /// Who voted, ascending.
    pub voted: Vec<MemberName>,
    /// Whose vote is not here, ascending. Not all of them are needed.
    pub missing: Vec<MemberName>,
}

/// A height in flight and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AwaitedHeight {
    /// The height.
    pub height: u64,
    /// Hash of the proposed block.
    #[serde(with = "hex::option")]
    #[schemars(with = "Option<Hex<32>>")]
    pub hash: Option<BlockHash>,
    /// Transactions in the proposed block.
    pub transactions: Option<u32>,
    /// How far it is.
    pub phase: HeightPhase,
    /// What it waits for.
    pub awaits: Awaited,
    /// The votes it waits for, if it waits for votes.
    pub votes: Option<VoteTally>,
    /// All of this in a sentence.
    pub text: String,
}

/// What happens next unless something is committed, or the view begins, before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViewTimer {
    /// What is waited for until then.
    pub purpose: DeadlinePurpose,
    /// Milliseconds from now; 0 when it is due.
    pub in_ms: u64,
    /// The view this node leaves for.
    pub next_view: u64,
    /// The member that proposes there.
    pub next_primary: MemberName,
    /// All of this in a sentence.
    pub text: String,
}

/// Who has left the view, and how many it takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Departures {
    /// Members whose VIEW-CHANGE for this view or a later one is here, this node included, ascending. In an
    /// active view those by which it began are among them.
    pub departed: Vec<MemberName>,
    /// All others, ascending.
    pub remaining: Vec<MemberName>,
    /// VIEW-CHANGEs that begin a view: a quorum.
    pub to_begin: u32,
    /// How many of them are missing; none in an active view.
    pub more_to_begin: Option<u32>,
    /// Other members that must have left for a later view for this node to follow: one more than may be
    /// faulty.
    pub to_follow: u32,
    /// How many of them are missing. None in a view that has not begun, and in an active one where it cannot be
    /// told who departed to begin it and who left it since.
    pub more_to_follow: Option<u32>,
}

/// Another member this node has not heard of lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilentMember {
    /// Its position in the committee.
    pub index: u16,
    /// Its name in the genesis.
    pub name: String,
    /// Whether a connection is open all the same: then its process stands still, or the network between.
    pub connected: bool,
}

/// Whom this node hears of. Without a quorum, itself included, it can order nothing and change no view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuorumContact {
    /// Other members that were heard of within the last three status intervals, ascending.
    pub contacts: Vec<MemberName>,
    /// All others, ascending.
    pub silent: Vec<SilentMember>,
    /// Other members it takes: a quorum less this node.
    pub needed: u32,
    /// How many of them are missing.
    pub more_needed: u32,
}

/// How far ordering may run ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderingBounds {
    /// Height of the stable checkpoint; 0 before the first.
    pub stable_height: u64,
    /// L: how far above it anything is accepted.
    pub log_window: u64,
    /// The last height that may be ordered before a later checkpoint is stable.
    pub highest: u64,
    /// The height whose checkpoint would be stable next.
    pub next_checkpoint: u64,
    /// W: heights the primary proposes above the last committed one.
    pub window: u64,
    /// Heights above the committed one that have an accepted proposal here. As many as the window: the
    /// primary waits for a commit before it proposes more.
    pub in_flight: u64,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TroubleKind {
    /// There is hardly room to write, or the file system does not answer.
    Disk,
    /// Reads of this node's ledger met damage.
    StorageDamaged,
    /// This node's clock, or another one, is wrong.
    Clock,
    /// The newest block's time is further ahead of this node's clock than validators tolerate.
    ChainAhead,
    /// A member is connected and does not follow.
    MemberBehind,
    /// No validator was reached at addresses of the configuration, and validators are missing.
    Address,
}

/// Something an operator should know and see to, although ordering may go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trouble {
    /// What it is, in a word.
    pub kind: TroubleKind,
    /// Other members it is about, ascending.
    pub members: Vec<MemberName>,
    /// What it is, in a sentence or two.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// Why a node gets on, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The node that explains itself; none for one without a vote.
    pub node: Option<MemberName>,
    /// What it does or waits for, in a word.
    pub state: ProgressState,
    /// Whether nothing holds it up: `idle`, `ordering` or `catching_up`.
    pub making_progress: bool,
    /// What it does or waits for, in a line or two.
    pub headline: String,
    /// The view.
    pub view: u64,
    /// Whether the view has begun.
    pub active: bool,
    /// The member that proposes in it.
    pub primary: MemberName,
    /// Whether this node may vote.
    pub standing: ValidatorStanding,
    /// The last committed height.
    pub committed_height: u64,
    /// How long there has been something to wait for without a commit, milliseconds; none while there is not.
    pub waiting_ms: Option<u64>,
    /// How long ago the ordering thread reported what all this follows from, milliseconds, as in `node_status`.
    pub snapshot_age_ms: u64,
    /// Transactions in this node's pool.
    pub pool_transactions: u64,
    /// Heights in flight, ascending.
    pub heights: Vec<AwaitedHeight>,
    /// What happens next by itself, if a timer runs.
    pub timer: Option<ViewTimer>,
    /// Who has left the view.
    pub departures: Departures,
    /// Whom this node hears of.
    pub contact: QuorumContact,
    /// How far ordering may run ahead.
    pub bounds: OrderingBounds,
    /// What an operator can do or look at, the most useful first. Empty while nothing is to be done.
    pub remedies: Vec<String>,
    /// What is wrong beside that, whether it holds anything up or not, the most pressing first.
    pub troubles: Vec<Trouble>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Programs compare these words, so they never change.
    #[test]
    fn words_are_stable() {
        for state in ProgressState::ALL {
            assert_eq!(json!(state), json!(state.name()));
        }
        let progress: Vec<&str> = ProgressState::ALL
            .into_iter()
            .filter(|state| state.is_progress())
            .map(ProgressState::name)
            .collect();
        assert_eq!(progress, ["catching_up", "following", "idle", "ordering"]);
        use Awaited::{Body, Clock, Commits, HeightBelow, Nothing, Parent, Prepares, Proposal, View};
        let awaited = [View, Proposal, Parent, Body, Clock, Nothing, Prepares, HeightBelow, Commits];
        let words =
            ["view", "proposal", "parent", "body", "clock", "nothing", "prepares", "height_below", "commits"];
        assert_eq!(json!(awaited), json!(words));
        let troubles = [
            TroubleKind::Disk,
            TroubleKind::StorageDamaged,
            TroubleKind::Clock,
            TroubleKind::MemberBehind,
            TroubleKind::Address,
        ];
        assert_eq!(json!(troubles), json!(["disk", "storage_damaged", "clock", "member_behind", "address"]));
    }
}
