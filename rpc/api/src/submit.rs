//! Submission and status of a transaction, as a client sees them.

use quorate_ledger::{NotPermitted, TransactionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::proof::ReceiptJson;
use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::governance::outcome::OutcomeJson;
use crate::transaction_refusal::kind_of;

/// How long `tx_submit` waits by default, milliseconds.
pub const DEFAULT_WAIT_MS: u64 = 10_000;

/// How long `tx_submit` waits at most, milliseconds, whatever `timeout_ms` is.
pub const MAX_WAIT_MS: u64 = 60_000;

/// What `tx_submit` waits for before it returns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Nothing: it returns once the bytes are decoded, and guarantees nothing more.
    None,
    /// Until this node has verified the transaction and holds it in its pool.
    #[default]
    Accepted,
    /// Until the transaction is committed, expired or rejected; the result has the receipt if it is
    /// committed.
    Committed,
}

/// What a node knows about a transaction. `committed`, `expired` and `rejected` are final: this node
/// does not wait for another status. Only `committed` is permanent at all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum TransactionStatus {
    /// This node neither holds it nor knows a block that contains it.
    Unknown,
    /// In this node's pool, or in a block that is being ordered.
    Pending,
    /// In a final block; `tx_receipt` proves it.
    Committed {
        /// Height of the block.
        height: u64,
        /// Position in the block, from 0.
        index: u32,
    },
    /// A committed block has a later time than its `valid_until_ms`, so no block can contain it.
    Expired,
    /// The node dropped it from its pool, because a change of the configuration excludes its sender.
    Rejected {
        /// The kind of error that a new submission gets, for programs.
        reason: String,
        /// What is wrong and what to do, for people.
        message: String,
    },
}

impl TransactionStatus {
    /// The status of a transaction that the configuration does not permit any more.
    pub fn rejected(reason: NotPermitted) -> Self {
        let kind = kind_of(reason);
        TransactionStatus::Rejected { reason: kind.name().to_owned(), message: reason.to_string() }
    }

    /// Whether the status is `committed`, `expired` or `rejected`.
    pub fn is_final(&self) -> bool {
        !matches!(self, TransactionStatus::Unknown | TransactionStatus::Pending)
    }

    /// The status in one word, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            TransactionStatus::Unknown => "unknown",
            TransactionStatus::Pending => "pending",
            TransactionStatus::Committed { .. } => "committed",
            TransactionStatus::Expired => "expired",
            TransactionStatus::Rejected { .. } => "rejected",
        }
    }
}

/// The result of `tx_status`: the status, and the outcome of a committed governance transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StatusResult {
    /// The status.
    #[serde(flatten)]
    pub status: TransactionStatus,
    /// What became of a committed governance transaction; absent for data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeJson>,
}

/// The result of `tx_submit`: `{ "id", "status", "height"?, "index"?, "outcome"?, "receipt"? }`.
///
/// A wait that times out is no error: the result has the status so far, and the client may submit
/// the same bytes again to any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitResult {
    /// The transaction.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub id: TransactionId,
    /// Its status.
    #[serde(flatten)]
    pub status: TransactionStatus,
    /// What became of a committed governance transaction; absent for data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeJson>,
    /// The receipt, if the wait was `committed` and so is the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptJson>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_result_is_one_flat_object() {
        let id = TransactionId::from_bytes([0xab; 32]);
        let committed = SubmitResult {
            id,
            status: TransactionStatus::Committed { height: 7, index: 2 },
            outcome: None,
            receipt: None,
        };
        let text = serde_json::to_string(&committed).unwrap();
        assert_eq!(text, format!(r#"{{"id":"{id}","status":"committed","height":7,"index":2}}"#));
        assert_eq!(serde_json::from_str::<SubmitResult>(&text).unwrap(), committed);
    }

    #[test]
    fn every_status_survives_json_with_its_name() {
        let all = [
            TransactionStatus::Unknown,
            TransactionStatus::Pending,
            TransactionStatus::Committed { height: u64::MAX, index: 0 },
            TransactionStatus::Expired,
            TransactionStatus::rejected(NotPermitted::SenderRevoked),
        ];
        for status in all {
            let json = serde_json::to_value(&status).unwrap();
            assert_eq!(json["status"], status.name());
            assert_eq!(serde_json::from_value::<TransactionStatus>(json).unwrap(), status);
        }
    }

    #[test]
    fn a_rejection_has_the_kind_of_a_refusal() {
        let rejected = TransactionStatus::rejected(NotPermitted::AboveQuota);
        let json = serde_json::to_value(&rejected).unwrap();
        assert_eq!((&json["status"], &json["reason"]), (&"rejected".into(), &"quota".into()));
        assert!(rejected.is_final() && json["message"].as_str().unwrap().contains("make it smaller"));
    }

    #[test]
    fn the_default_wait_is_accepted() {
        assert_eq!(Wait::default(), Wait::Accepted);
        assert_eq!(serde_json::from_str::<Wait>("\"none\"").unwrap(), Wait::None);
        assert!(serde_json::from_str::<Wait>("\"Committed\"").is_err());
    }
}
