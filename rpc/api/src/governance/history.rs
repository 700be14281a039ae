//! Past governance transactions.

use quorate_ledger::{PublicKey, TransactionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::governance::operation::OperationJson;
use crate::governance::outcome::OutcomeJson;

/// A governance transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PastOperation {
    /// Height of the block.
    pub height: u64,
    /// Position in the block, from 0.
    pub index: u32,
    /// Time of the block, milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The transaction.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub id: TransactionId,
    /// The key that signed it.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<33>")]
    pub sender: PublicKey,
    /// The member that has this governance key now; null if none has.
    pub member: Option<String>,
    /// The operation in words.
    pub text: String,
    /// The operation for programs.
    pub operation: OperationJson,
    /// What became of it.
    pub outcome: OutcomeJson,
}

/// The result of `governance_history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct History {
    /// Newest first. All governance transactions of a block are in one result.
    pub operations: Vec<PastOperation>,
    /// `below_height` of the next request; null if there are no older ones here.
    pub next_below_height: Option<u64>,
}
