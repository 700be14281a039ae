//! What became of a governance transaction.

use quorate_governance::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a governance transaction that a block contains.
///
/// It is a function of the chain up to the block, so all correct nodes report the same. No header
/// commits to it, so from one node it is a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Outcome")]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum OutcomeJson {
    /// The operation changed the state, or its effect held already.
    Executed,
    /// The operation changed nothing.
    Failed {
        /// The code of the reason, for programs. Later versions may add codes.
        reason: String,
        /// What is wrong and what to do, for people.
        message: String,
    },
}

impl OutcomeJson {
    /// Whether the operation was executed.
    pub fn is_executed(&self) -> bool {
        *self == OutcomeJson::Executed
    }
}

impl From<&Outcome> for OutcomeJson {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Executed => OutcomeJson::Executed,
            Outcome::Failed(reason) => {
                OutcomeJson::Failed { reason: reason.code().to_owned(), message: reason.to_string() }
            }
        }
    }
}

/// The outcome of a governance transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BlockOutcome {
    /// Position of the transaction in the block, from 0.
    pub index: u32,
    /// Its outcome.
    pub outcome: OutcomeJson,
}

impl BlockOutcome {
    /// The outcomes of a block, as a ledger has them.
    pub fn list(outcomes: &[(u32, Outcome)]) -> Vec<Self> {
        outcomes
            .iter()
            .map(|(index, outcome)| BlockOutcome { index: *index, outcome: outcome.into() })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_governance::Reason;

    use super::*;

    #[test]
    fn outcomes_have_a_result_and_failures_a_reason() {
        let json = |outcome: Outcome| serde_json::to_value(OutcomeJson::from(&outcome)).unwrap();
        assert_eq!(json(Outcome::Executed), serde_json::json!({ "result": "executed" }));
        let failed = json(Outcome::Failed(Reason::NotReady));
        assert_eq!((&failed["result"], &failed["reason"]), (&"failed".into(), &"not_ready".into()));
        assert_eq!(failed["message"], Reason::NotReady.to_string());
    }
}
