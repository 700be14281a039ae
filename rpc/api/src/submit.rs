//! The life of a transaction as a client sees it.

use quorate_ledger::TransactionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hex;
use crate::hex::Hex;
use crate::proof::ReceiptJson;

/// How long `tx_submit` waits unless it is told, milliseconds.
pub const DEFAULT_WAIT_MS: u64 = 10_000;

/// How long `tx_submit` waits at most, milliseconds, whatever it is told.
pub const MAX_WAIT_MS: u64 = 60_000;

/// What `tx_submit` waits for before it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Nothing: the answer comes once the bytes were decoded, and promises nothing more.
    None,
    /// That this node verified the transaction and took it into its pool.
    #[default]
    Accepted,
    /// That the transaction came to an end; the answer carries the receipt when it was committed.
    Committed,
}

/// What a node knows about a transaction. `committed`, `rejected` and `expired` never change again.
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
    /// It can never be committed on this chain.
    Rejected {
        /// Why not.
        reason: String,
    },
    /// A committed block has a later time than its `valid_until_ms`, so no block can contain it any more.
    Expired,
}

impl TransactionStatus {
    /// Whether the status can never change again.
    pub fn is_final(&self) -> bool {
        !matches!(self, TransactionStatus::Unknown | TransactionStatus::Pending)
    }

    /// The status in one word, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            TransactionStatus::Unknown => "unknown",
            TransactionStatus::Pending => "pending",
            TransactionStatus::Committed { .. } => "committed",
            TransactionStatus::Rejected { .. } => "rejected",
            TransactionStatus::Expired => "expired",
        }
    }
}

/// What `tx_submit` answers: `{ "id", "status", "height"?, "index"?, "reason"?, "receipt"? }`.
///
/// A wait that ran out of time is no error: the status is then the one so far, and the same bytes may be
/// sent again to any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubmitResult {
    /// The transaction.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub id: TransactionId,
    /// What is known of it.
    #[serde(flatten)]
    pub status: TransactionStatus,
    /// The proof, if `committed` was waited for and reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<ReceiptJson>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_answer_is_one_flat_object() {
        let id = TransactionId::from_bytes([0xab; 32]);
        let committed =
            SubmitResult { id, status: TransactionStatus::Committed { height: 7, index: 2 }, receipt: None };
        let text = serde_json::to_string(&committed).unwrap();
        assert_eq!(text, format!(r#"{{"id":"{id}","status":"committed","height":7,"index":2}}"#));
        assert_eq!(serde_json::from_str::<SubmitResult>(&text).unwrap(), committed);
    }

    #[test]
    fn every_status_survives_json_and_says_its_name() {
        let all = [
            TransactionStatus::Unknown,
            TransactionStatus::Pending,
            TransactionStatus::Committed { height: u64::MAX, index: 0 },
            TransactionStatus::Rejected { reason: "bad signature".into() },
            TransactionStatus::Expired,
        ];
        for status in all {
            let json = serde_json::to_value(&status).unwrap();
            assert_eq!(json["status"], status.name());
            assert_eq!(serde_json::from_value::<TransactionStatus>(json).unwrap(), status);
        }
    }

    #[test]
    fn the_default_wait_is_accepted() {
        assert_eq!(Wait::default(), Wait::Accepted);
        assert_eq!(serde_json::from_str::<Wait>("\"none\"").unwrap(), Wait::None);
        assert!(serde_json::from_str::<Wait>("\"Committed\"").is_err());
    }
}
