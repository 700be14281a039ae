//! Why a node makes progress with ordering or does not, in words and as data.

use std::fmt;

use quorate_ledger::BlockHash;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::node::consensus::{DeadlinePurpose, HeightPhase, ValidatorSigningState};
use crate::node::pending::PendingChange;

/// What a node does or waits for. If several states apply, the one that must end first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProgressState {
    /// Its ordering thread does not report, most likely because its disk does not respond.
    EngineStalled,
    /// Its journal is new, or an older copy, and it never votes with it in this epoch.
    Recovering,
    /// It has just started and asks the others which of its signed statements they have seen.
    Probing,
    /// It has recently heard from fewer members than ordering needs.
    NoQuorumContact,
    /// Other members have committed more blocks, and it fetches them.
    CatchingUp,
    /// It has left a view, and the next one has not begun.
    WaitingForNewView,
    /// Ordering has run as far ahead of the stable checkpoint as it may.
    WaitingForCheckpoint,
    /// It is an observer and follows the validators; nothing holds it up.
    Following,
    /// There is nothing to order.
    Idle,
    /// Work is in flight and has not waited long.
    Ordering,
    /// Work waits, and the proposal for the next height has not arrived.
    WaitingForProposal,
    /// The next block is proposed, and its transactions are being fetched or validated.
    ExaminingProposal,
    /// The time of the next block is, or would be, too far from this node's clock.
    WaitingForClock,
    /// The proposal for the next height breaks a rule.
    ProposalRefused,
    /// The next block is proposed and accepted, and votes are missing.
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

    /// Its name, as in JSON.
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

    /// Whether nothing holds the node up: it orders, has nothing to order, follows, or fetches
    /// blocks of others.
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

/// A member of the committee, with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberName {
    /// Its position in the committee.
    pub index: u16,
    /// Its name in the genesis.
    pub name: String,
}

/// What a height waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// The view's beginning: the node keeps the messages for the height until then.
    View,
    /// The primary's proposal, from the primary or from a backup that accepted it.
    Proposal,
    /// Acceptance of the block below.
    Parent,
    /// Its transactions.
    Body,
    /// This node's clock, or the end of the view.
    Clock,
    /// Nothing: the proposal breaks a rule, and this node takes no further part in it.
    Nothing,
    /// Votes of the first round: the primary's proposal and PREPAREs of backups.
    Prepares,
    /// The height below, for which this node must send its COMMIT first.
    HeightBelow,
    /// COMMITs.
    Commits,
}

/// The votes of one round that have arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VoteTally {
    /// Number of members that voted. A faulty member may vote for another block; that vote is
    /// counted here, but not for the block.
    pub have: u32,
    /// How many votes are a quorum.
    pub needed: u32,
    /// The members that voted, ascending.
    pub voted: Vec<MemberName>,
    /// The members whose vote has not arrived, ascending. Not all of them are needed.
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
    /// Its phase.
    pub phase: HeightPhase,
    /// What it waits for.
    pub awaits: Awaited,
    /// The votes it waits for, if it waits for votes.
    pub votes: Option<VoteTally>,
    /// All of this in a sentence.
    pub text: String,
}

/// The view change that this node makes unless a block is committed, or the view begins, before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViewTimer {
    /// The awaited event.
    pub purpose: DeadlinePurpose,
    /// Milliseconds from now; 0 when it is due.
    pub in_ms: u64,
    /// The view this node leaves for.
    pub next_view: u64,
    /// The primary of that view.
    pub next_primary: MemberName,
    /// All of this in a sentence.
    pub text: String,
}

/// The members that have left the view, and how many are needed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViewChangeTally {
    /// Members whose VIEW-CHANGE for this view or a later one this node holds, itself included,
    /// ascending. In an active view, those whose VIEW-CHANGEs began it are among them.
    pub view_changes_from: Vec<MemberName>,
    /// All others, ascending.
    pub remaining: Vec<MemberName>,
    /// How many VIEW-CHANGEs begin a view: a quorum.
    pub to_begin: u32,
    /// How many of them are missing; none in an active view.
    pub more_to_begin: Option<u32>,
    /// How many other members must have left for a later view before this node follows: one more
    /// than may be faulty.
    pub to_follow: u32,
    /// How many of them are missing. None in a view that has not begun, and in an active one if
    /// this node cannot tell members that left to begin it from those that left it since.
    pub more_to_follow: Option<u32>,
}

/// Another member that this node has not recently heard from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SilentMember {
    /// Its position in the committee.
    pub index: u16,
    /// Its name in the genesis.
    pub name: String,
    /// Whether a connection is open nevertheless: then its process hangs, or the network loses
    /// messages.
    pub connected: bool,
}

/// The members that this node hears from. Without a quorum, itself included, it can order nothing
/// and change no view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuorumContact {
    /// Other members that this node has heard from within the last three status intervals,
    /// ascending.
    pub recently_heard: Vec<MemberName>,
    /// All others, ascending.
    pub silent: Vec<SilentMember>,
    /// How many other members this node needs: a quorum less itself.
    pub needed: u32,
    /// How many of them are missing.
    pub more_needed: u32,
}

/// How far ordering may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OrderingBounds {
    /// Height of the stable checkpoint; 0 before the first.
    pub stable_height: u64,
    /// L: how far above it proposals are accepted.
    pub log_window: u64,
    /// The last height that may be ordered until a later checkpoint is stable.
    pub highest: u64,
    /// The height of the next stable checkpoint.
    pub next_checkpoint: u64,
    /// W: how many heights above the last committed one the primary proposes.
    pub window: u64,
    /// Heights above the committed one that have an accepted proposal here. If they are as many as
    /// the window, the primary waits for a commit before it proposes more.
    pub in_flight: u64,
}

/// The kind of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WarningKind {
    /// Hardly any disk space is left, or the file system does not respond.
    Disk,
    /// Reads of this node's ledger found damage.
    StorageDamaged,
    /// This node's clock, or that of another member, is wrong.
    Clock,
    /// The newest block's time is further ahead of this node's clock than validators tolerate.
    ChainAhead,
    /// A member is connected and far behind.
    MemberBehind,
    /// No validator was reached at addresses of the configuration, and validators are missing.
    Address,
}

/// A problem that an operator should fix, although ordering may continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Its kind.
    pub kind: WarningKind,
    /// The other members that it is about, ascending.
    pub members: Vec<MemberName>,
    /// The problem, in one or two sentences.
    pub text: String,
    /// What to do.
    pub action: String,
}

/// Why a node makes progress, or does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The node that explains itself; none for an observer.
    pub node: Option<MemberName>,
    /// What it does or waits for, as one word.
    pub state: ProgressState,
    /// Whether nothing holds it up: `following`, `idle`, `ordering` or `catching_up`.
    pub making_progress: bool,
    /// What it does or waits for, in one or two sentences.
    pub summary: String,
    /// The view.
    pub view: u64,
    /// Whether the view has begun.
    pub active: bool,
    /// The primary of the view.
    pub primary: MemberName,
    /// Whether this node may vote.
    pub signing_state: ValidatorSigningState,
    /// The last committed height.
    pub committed_height: u64,
    /// How long work has waited without a commit, or the view without its beginning, milliseconds;
    /// none while neither waits.
    pub waiting_ms: Option<u64>,
    /// How long ago the ordering thread made the report that this explanation is derived from,
    /// milliseconds, as in `node_status`.
    pub snapshot_age_ms: u64,
    /// Transactions in this node's pool.
    pub pool_transactions: u64,
    /// Heights in flight, ascending.
    pub heights: Vec<AwaitedHeight>,
    /// The view change that follows without any action, if a timer runs.
    pub timer: Option<ViewTimer>,
    /// The members that have left the view.
    pub view_changes: ViewChangeTally,
    /// The members that this node hears from.
    pub contact: QuorumContact,
    /// How far ordering may run.
    pub bounds: OrderingBounds,
    /// Changes of members, keys, clients and parameters that have not taken effect: open proposals,
    /// oldest first, then decided changes in the order in which they take effect.
    pub changes: Vec<PendingChange>,
    /// What an operator can do or check, the most useful first. Empty if there is nothing to do.
    pub actions: Vec<String>,
    /// Other problems, which may or may not hold anything up, the most urgent first.
    pub warnings: Vec<Warning>,
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
        let warnings = [
            WarningKind::Disk,
            WarningKind::StorageDamaged,
            WarningKind::Clock,
            WarningKind::MemberBehind,
            WarningKind::Address,
        ];
        assert_eq!(json!(warnings), json!(["disk", "storage_damaged", "clock", "member_behind", "address"]));
    }
}
