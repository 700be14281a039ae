//! The state of ordering, the stable checkpoint and evidence, as a node reports them.

use quorate_ledger::{BlockHash, Hash, PublicKey, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::{Bytes, Hex};

/// The phase of a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeightPhase {
    /// No acceptable proposal yet.
    Waiting,
    /// A proposal was accepted.
    PrePrepared,
    /// A quorum prepared it.
    Prepared,
    /// A quorum committed it; it waits for the heights below to be committed.
    Committed,
}

/// What keeps a proposal from being accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// The proposal has not arrived, but votes for its height have.
    NoProposal,
    /// The block below is neither committed nor accepted here.
    Parent,
    /// Its transactions are being fetched or validated.
    Body,
    /// Its time is too far from this node's clock.
    Clock,
    /// It breaks a rule, so this node never votes for it.
    Refused,
}

/// A height between the committed one and the end of the window, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeightInFlight {
    /// The height.
    pub height: u64,
    /// Hash of the accepted proposal.
    #[serde(with = "hex::option")]
    #[schemars(with = "Option<Hex<32>>")]
    pub hash: Option<BlockHash>,
    /// Its phase.
    pub phase: HeightPhase,
    /// What keeps its proposal from being accepted; none once it is accepted.
    pub obstacle: Option<Obstacle>,
    /// Transactions in the accepted proposal.
    pub transactions: Option<u32>,
    /// Members whose PREPARE for it has arrived, ascending.
    pub prepares: Vec<u16>,
    /// Members whose COMMIT for it has arrived, ascending.
    pub commits: Vec<u16>,
}

/// The event that a view waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadlinePurpose {
    /// The view is active and work is pending: it waits for a commit.
    Request,
    /// The view is not active: it waits for its NEW-VIEW.
    NewView,
}

/// When the node leaves the view unless the awaited event comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusDeadline {
    /// The awaited event.
    pub purpose: DeadlinePurpose,
    /// Milliseconds from now; 0 when it is due.
    pub in_ms: u64,
}

/// Whether a node may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidatorSigningState {
    /// It takes part.
    Voting,
    /// It has just started and asks the other members which of its signed statements they have
    /// seen. It votes once a quorum, itself included, has seen none that its journal does not
    /// contain.
    Probing,
    /// Other members hold statements that it signed and that its journal does not contain, so the
    /// journal is an old one. The node follows the chain and signs nothing with this journal.
    Recovering,
    /// It is an observer: it has no vote, and reports of the view what f + 1 validators report.
    Observing,
}

/// Progress of a starting node that asks the others which of its signed statements they have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Members that have answered.
    pub answered: u32,
    /// Members that must answer.
    pub needed: u32,
    /// The height up to which the node must fetch blocks first, if its ledger is older than its journal.
    pub through: Option<u64>,
}

/// How often the node left views, by cause, and entered them, since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViewChangeCounts {
    /// Left because work was pending and no block was committed in time.
    pub no_progress: u64,
    /// Left because a transaction was passed over for too long.
    pub censorship: u64,
    /// Left because evidence proves that the primary is faulty.
    pub evidence: u64,
    /// Left because more members than may be faulty had left.
    pub joined: u64,
    /// Left because the primary did not begin the view in time.
    pub no_new_view: u64,
    /// Entered.
    pub entered: u64,
}

/// The state of ordering, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusState {
    /// Number of the committee.
    pub epoch: u64,
    /// The current view.
    pub view: u64,
    /// Whether the view has begun. If not, the node has left the view before and waits for a
    /// NEW-VIEW.
    pub active: bool,
    /// Whether this node may vote.
    pub signing_state: ValidatorSigningState,
    /// Progress of probing, while it is probing.
    pub probe: Option<Probe>,
    /// Index of the primary of this view.
    pub primary: u16,
    /// Its name.
    pub primary_name: String,
    /// Number of members.
    pub committee_size: u32,
    /// How many votes are a quorum.
    pub quorum: u32,
    /// Highest committed height.
    pub committed_height: u64,
    /// Height of the stable checkpoint; 0 before the first.
    pub stable_height: u64,
    /// Heights above the committed one that have begun in this view, ascending; at most the
    /// pipeline's window.
    pub in_flight: Vec<HeightInFlight>,
    /// How long pending work may go without a commit at present, milliseconds: the genesis's
    /// `request_timeout_ms`, doubled for each failed view.
    pub request_timeout_ms: u64,
    /// When this node leaves the view unless the awaited event comes first. None while no work is
    /// pending, while too few members wait for a NEW-VIEW, and for a node that does not vote.
    pub deadline: Option<ConsensusDeadline>,
    /// How long work has been pending here without a commit, or the view without its beginning,
    /// across views, milliseconds. None while neither waits.
    pub waiting_ms: Option<u64>,
    /// Whether the node fetches blocks from a member that claims to be ahead.
    pub catching_up: bool,
    /// Members whose VIEW-CHANGE for this view or a later one this node holds, itself included,
    /// ascending. In an active view, those whose VIEW-CHANGEs began it stay in the list.
    pub view_changes_from: Vec<u16>,
    /// Other members that this node has recently heard from, ascending.
    pub recently_heard: Vec<u16>,
    /// Views left and entered.
    pub view_change_counts: ViewChangeCounts,
    /// Number of entries that `consensus_evidence` returns.
    pub evidence_count: u64,
    /// How long ago the ordering thread reported all this, milliseconds, as in `node_status`.
    pub snapshot_age_ms: u64,
}

/// The stable checkpoint: the state after one block, signed by a quorum.
///
/// The members sign the ledger's checkpoint statement: epoch, height, block hash, state root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Checkpoint")]
#[serde(deny_unknown_fields)]
pub struct CheckpointJson {
    /// Committee that signed.
    pub epoch: u64,
    /// The height, a multiple of the genesis's `checkpoint_interval`.
    pub height: u64,
    /// Hash of the block at that height.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub hash: BlockHash,
    /// Hash of the replicated state after that block.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub state_root: Hash,
    /// Indices of the members that signed, ascending.
    pub signers: Vec<u16>,
    /// One signature for each signer, in the same order.
    #[serde(with = "hex::signatures")]
    #[schemars(with = "Vec<Hex<64>>")]
    pub signatures: Vec<Signature>,
}

/// The kind of the contradiction that evidence proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// Two blocks proposed at one height in one view.
    PrePrepare,
    /// Two blocks accepted at one height in one view.
    Prepare,
    /// Two blocks committed to at one height in one view.
    Commit,
    /// Two VIEW-CHANGEs for one view.
    ViewChange,
    /// Two NEW-VIEWs for one view.
    NewView,
    /// Two states at one height.
    Checkpoint,
    /// A COMMIT for a block, and a later VIEW-CHANGE without the prepared certificate of that
    /// block.
    HiddenCertificate,
    /// A PREPARE for one block and a COMMIT for another one, at one height in one view.
    PrepareCommit,
    /// A PRE-PREPARE for one block and a COMMIT for another one, at one height in one view.
    PrePrepareCommit,
}

/// Proof that a member is faulty: two signed statements that a correct member never makes both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Evidence")]
pub struct EvidenceJson {
    /// The epoch of the statements.
    pub epoch: u64,
    /// Index of the faulty member in the committee of this epoch.
    pub validator: u16,
    /// Its name in this epoch.
    pub name: String,
    /// Its key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub public_key: PublicKey,
    /// The kind of the contradiction.
    pub kind: EvidenceKind,
    /// The view of the statements; 0 for `checkpoint`, which belongs to no view. For
    /// `hidden_certificate` the view of the VIEW-CHANGE.
    pub view: u64,
    /// The height of the statements; 0 for `view_change` and `new_view`, which belong to no height.
    /// For `hidden_certificate` the height of the block.
    pub height: u64,
    /// Both signed statements, as encoded: the proof.
    #[serde(with = "hex")]
    #[schemars(with = "Bytes")]
    pub proof: Vec<u8>,
}

/// The result of `consensus_evidence`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusEvidence {
    /// All evidence that this node keeps: at most 16 entries against one validator in one epoch. That
    /// of the epoch in force is kept across restarts, and follows the last 64 entries of earlier
    /// epochs.
    pub evidence: Vec<EvidenceJson>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// Programs compare these words, so they never change.
    #[test]
    fn words_are_stable() {
        use EvidenceKind::{Checkpoint, Commit, HiddenCertificate, NewView, PrePrepare, PrePrepareCommit};
        use EvidenceKind::{Prepare, PrepareCommit, ViewChange};
        let pairs = [PrePrepare, Prepare, Commit, ViewChange, NewView, Checkpoint];
        let others = [HiddenCertificate, PrepareCommit, PrePrepareCommit];
        let kinds = [&pairs[..], &others].concat();
        let words = [
            "pre_prepare",
            "prepare",
            "commit",
            "view_change",
            "new_view",
            "checkpoint",
            "hidden_certificate",
            "prepare_commit",
            "pre_prepare_commit",
        ];
        assert_eq!(json!(kinds), json!(words));
        use ValidatorSigningState::{Observing, Probing, Recovering, Voting};
        let states = [Voting, Probing, Recovering, Observing];
        assert_eq!(json!(states), json!(["voting", "probing", "recovering", "observing"]));
        use Obstacle::{Body, Clock, NoProposal, Parent, Refused};
        let obstacles = ["no_proposal", "parent", "body", "clock", "refused"];
        assert_eq!(json!([NoProposal, Parent, Body, Clock, Refused]), json!(obstacles));
        let purposes = [DeadlinePurpose::Request, DeadlinePurpose::NewView];
        assert_eq!(json!(purposes), json!(["request", "new_view"]));
    }

    #[test]
    fn a_checkpoint_refuses_unknown_fields() {
        let mut json = json!({
            "epoch": 0, "height": 128, "hash": BlockHash::from_bytes([1; 32]).to_string(),
            "state_root": Hash::ZERO.to_string(), "signers": [0], "signatures": [quorate_ledger::to_hex(&[1; 64])],
        });
        let checkpoint: CheckpointJson = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&checkpoint).unwrap(), json);
        json["view"] = json!(0);
        assert!(serde_json::from_value::<CheckpointJson>(json).is_err());
    }
}
