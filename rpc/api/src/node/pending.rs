//! Changes of the network that are proposed or decided, and have not taken effect.

use quorate_ledger::TransactionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;

/// How far a change is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PendingStage {
    /// An open proposal: members approve it, or let it expire.
    Proposed,
    /// It is decided, and takes effect at its height.
    Scheduled,
}

/// A change that has not taken effect, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingChange {
    /// How far it is.
    pub stage: PendingStage,
    /// The proposal, if members decide it by approvals.
    #[serde(with = "hex::option")]
    #[schemars(with = "Option<Hex<32>>")]
    pub proposal: Option<TransactionId>,
    /// What changes, in words.
    pub changes: Vec<String>,
    /// Whether it starts a new epoch.
    pub starts_epoch: bool,
    /// The names of the members that approve an open proposal.
    pub approvals: Vec<String>,
    /// The names of the other members.
    pub not_approved: Vec<String>,
    /// How many more approvals decide it.
    pub approvals_missing: u32,
    /// The names of members to be whose node is not ready: until it is, the proposal cannot be
    /// decided.
    pub not_ready: Vec<String>,
    /// The last height at which an open proposal can be approved.
    pub expires: Option<u64>,
    /// The first height that a decided change judges.
    pub effective_from: Option<u64>,
    /// Blocks that must be committed before that height.
    pub blocks_missing: Option<u64>,
    /// All of this in one or two sentences.
    pub text: String,
    /// What members or operators can do; none if nothing is needed.
    pub action: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Programs compare these words, so they never change.
    #[test]
    fn words_are_stable() {
        assert_eq!(
            json!([PendingStage::Proposed, PendingStage::Scheduled]),
            json!(["proposed", "scheduled"])
        );
    }
}
