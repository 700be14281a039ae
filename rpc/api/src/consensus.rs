//! Where ordering stands, what is stable and who lied, as a node tells it.

use quorate_ledger::{BlockHash, Hash, PublicKey, Signature};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hex;
use crate::hex::{Bytes, Hex};

/// How far a height is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HeightPhase {
    /// No acceptable proposal yet.
    Waiting,
    /// A proposal was accepted.
    PrePrepared,
    /// A quorum prepared it.
    Prepared,
    /// A quorum committed it; it waits for the heights below.
    Committed,
}

/// What keeps a proposal from being accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    /// It is not here; votes for its height are.
    NoProposal,
    /// The block below it is neither committed nor accepted here.
    Parent,
    /// Its transactions are being fetched or checked.
    Body,
    /// Its time is too far from this node's clock.
    Clock,
    /// It breaks a rule, and this node never votes for it.
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
    /// How far it is.
    pub phase: HeightPhase,
    /// What keeps its proposal from being accepted; none once it is.
    pub obstacle: Option<Obstacle>,
    /// Transactions in the accepted proposal.
    pub transactions: Option<u32>,
    /// Members whose PREPARE for it arrived, ascending.
    pub prepares: Vec<u16>,
    /// Members whose COMMIT for it arrived, ascending.
    pub commits: Vec<u16>,
}

/// What a view is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeadlinePurpose {
    /// The view is active and work is pending: a commit.
    Request,
    /// The view is not active: its NEW-VIEW.
    NewView,
}

/// When the view is left unless what it waits for comes before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusDeadline {
    /// What is waited for.
    pub purpose: DeadlinePurpose,
    /// Milliseconds from now; 0 when it is due.
    pub in_ms: u64,
}

/// Whether a node may vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValidatorStanding {
    /// It takes part.
    Voting,
    /// It has just started and asks the others what they have seen it sign. It votes once a quorum, itself
    /// included, has seen nothing that its journal does not remember.
    Probing,
    /// Others have seen it sign what its journal does not remember, so the journal is an old one. It follows
    /// the chain and signs nothing as long as it runs on this journal.
    Recovering,
    /// It is an observer: it has no vote, and tells of the view what f + 1 validators say.
    Observing,
}

/// How far a node has come with asking the others what they have seen it sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Members that have answered.
    pub answered: u32,
    /// Members that must.
    pub needed: u32,
    /// The height up to which blocks must be fetched first, if the ledger is an old copy.
    pub through: Option<u64>,
}

/// How often views were left, by cause, and entered. Counted since the start of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ViewChanges {
    /// Left because work was pending and nothing was committed in time.
    pub no_progress: u64,
    /// Left because a transaction was passed over for too long.
    pub censorship: u64,
    /// Left because their primary lied, and there is proof.
    pub evidence: u64,
    /// Left because more members than may be faulty had left them.
    pub joined: u64,
    /// Given up because their primary did not begin them in time.
    pub no_new_view: u64,
    /// Entered.
    pub entered: u64,
}

/// Where ordering stands, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusState {
    /// Number of the committee.
    pub epoch: u64,
    /// Current term.
    pub view: u64,
    /// Whether the view has begun. If not, the one before was left and a NEW-VIEW is awaited.
    pub active: bool,
    /// Whether this node may vote.
    pub standing: ValidatorStanding,
    /// How far it has come on the way there, while it is probing.
    pub probe: Option<Probe>,
    /// Index of the member that proposes in this view.
    pub primary: u16,
    /// Its name.
    pub primary_name: String,
    /// Number of members.
    pub committee_size: u32,
    /// Votes that decide.
    pub quorum: u32,
    /// Highest committed height.
    pub committed_height: u64,
    /// Height of the stable checkpoint; 0 before the first.
    pub stable_height: u64,
    /// Heights above the committed one that have begun in this view, ascending; no more than the pipeline's
    /// window.
    pub in_flight: Vec<HeightInFlight>,
    /// How long pending work may go without a commit at present, milliseconds: the genesis's
    /// `request_timeout_ms`, doubled for views that failed.
    pub request_timeout_ms: u64,
    /// When this node leaves the view unless what it waits for comes before; none while no work is pending,
    /// while too few wait for a NEW-VIEW, and for a node that does not vote.
    pub deadline: Option<ConsensusDeadline>,
    /// How long there has been something to wait for without a commit, across views, milliseconds: work that
    /// is pending here, or the beginning of the view. None while there is neither.
    pub waiting_ms: Option<u64>,
    /// Whether blocks are being fetched from a member that says it is ahead.
    pub catching_up: bool,
    /// Members whose VIEW-CHANGE for this view or a later one is here, this node included, ascending. Those
    /// by which this view began stay until they leave it for a later one.
    pub departed: Vec<u16>,
    /// Other members that were heard of lately, ascending.
    pub contacts: Vec<u16>,
    /// Views left and entered.
    pub view_changes: ViewChanges,
    /// Proofs that `consensus_evidence` answers with.
    pub evidence_count: u64,
    /// How long ago the ordering thread reported all this, milliseconds, as in `node_status`.
    pub snapshot_age_ms: u64,
}

/// The stable checkpoint: what a quorum says about the state after one block.
///
/// Signed is the ledger's checkpoint statement: epoch, height, block hash, state root.
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

/// What a member lied about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// Two blocks proposed at one height in one view.
    PrePrepare,
    /// Two blocks accepted at one height in one view.
    Prepare,
    /// Two blocks committed to at one height in one view.
    Commit,
    /// Two accounts of one departure.
    ViewChange,
    /// Two beginnings of one view.
    NewView,
    /// Two states at one height.
    Checkpoint,
    /// A block committed to whose prepared certificate is missing in the account of a later departure.
    HiddenCertificate,
}

/// Proof that a member made two signed statements that a correct member never makes both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Evidence")]
pub struct EvidenceJson {
    /// Index of the member that lied.
    pub validator: u16,
    /// Its name in the genesis.
    pub name: String,
    /// Its key.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub public_key: PublicKey,
    /// What was lied about.
    pub kind: EvidenceKind,
    /// The view they are about; 0 for `checkpoint`, which belongs to no view. For `hidden_certificate` the view that was
    /// left for.
    pub view: u64,
    /// The height they are about; 0 for `view_change` and `new_view`, which belong to no height. For
    /// `hidden_certificate` that of the block.
    pub height: u64,
    /// Both signed statements, as encoded: the proof.
    #[serde(with = "hex")]
    #[schemars(with = "Bytes")]
    pub proof: Vec<u8>,
}

/// What `consensus_evidence` answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConsensusEvidence {
    /// Every proof this node keeps: at most 16 against one validator, kept across restarts.
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
        use EvidenceKind::{Checkpoint, Commit, HiddenCertificate, NewView, PrePrepare, Prepare, ViewChange};
        let kinds = [PrePrepare, Prepare, Commit, ViewChange, NewView, Checkpoint, HiddenCertificate];
        let words = [
            "pre_prepare",
            "prepare",
            "commit",
            "view_change",
            "new_view",
            "checkpoint",
            "hidden_certificate",
        ];
        assert_eq!(json!(kinds), json!(words));
        use ValidatorStanding::{Observing, Probing, Recovering, Voting};
        let standings = [Voting, Probing, Recovering, Observing];
        assert_eq!(json!(standings), json!(["voting", "probing", "recovering", "observing"]));
        use Obstacle::{Body, Clock, NoProposal, Parent, Refused};
        let obstacles = ["no_proposal", "parent", "body", "clock", "refused"];
        assert_eq!(json!([NoProposal, Parent, Body, Clock, Refused]), json!(obstacles));
        let purposes = [DeadlinePurpose::Request, DeadlinePurpose::NewView];
        assert_eq!(json!(purposes), json!(["request", "new_view"]));
    }

    #[test]
    fn a_checkpoint_refuses_what_it_does_not_know() {
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
