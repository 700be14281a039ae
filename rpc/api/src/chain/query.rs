//! How requests name blocks and transactions, and the results that contain them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use quorate_ledger::{BlockHash, HexError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::chain::block::{BlockJson, TransactionJson};
use crate::encoding::hex::Hex;
use crate::excerpt;
use crate::governance::outcome::OutcomeJson;

/// The largest `limit` of `chain_blocks`.
pub const MAX_BLOCKS: u32 = 100;

/// The default `limit` of `chain_blocks`.
pub const DEFAULT_BLOCKS: u32 = 20;

/// Stands for a `limit` of `chain_blocks` in schemas.
pub(crate) enum BlockLimit {}

impl JsonSchema for BlockLimit {
    fn schema_name() -> Cow<'static, str> {
        "BlockLimit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX_BLOCKS })
    }
}

/// Which block: a height as a JSON number, a hash as hex, or `"latest"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockAt {
    /// The block at this height.
    Height(u64),
    /// The block with this hash.
    Hash(BlockHash),
    /// The newest committed block.
    Latest,
}

const LATEST: &str = "latest";

impl fmt::Display for BlockAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockAt::Height(height) => fmt::Display::fmt(height, f),
            BlockAt::Hash(hash) => fmt::Display::fmt(hash, f),
            BlockAt::Latest => f.write_str(LATEST),
        }
    }
}

/// Parses what people type: digits, hex after `0x`, or `latest`.
impl FromStr for BlockAt {
    type Err = BlockAtError;

    fn from_str(text: &str) -> Result<Self, BlockAtError> {
        if text == LATEST {
            return Ok(BlockAt::Latest);
        }
        if text.starts_with("0x") {
            return Ok(BlockAt::Hash(text.parse()?));
        }
        text.parse().map(BlockAt::Height).map_err(|_| BlockAtError::Other(excerpt(text)))
    }
}

/// The text does not name a block.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockAtError {
    /// It starts like a hash, but is not a hash.
    #[error("not a block hash: {0}")]
    Hash(#[from] HexError),
    /// Any other text; this is its beginning.
    #[error("name a block by its height, its hash or \"latest\", not by {0:?}")]
    Other(String),
}

impl Serialize for BlockAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            BlockAt::Height(height) => serializer.serialize_u64(*height),
            BlockAt::Hash(_) | BlockAt::Latest => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for BlockAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AtVisitor;

        impl Visitor<'_> for AtVisitor {
            type Value = BlockAt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a height as a number, a block hash or \"latest\"")
            }

            fn visit_u64<E: de::Error>(self, height: u64) -> Result<BlockAt, E> {
                Ok(BlockAt::Height(height))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<BlockAt, E> {
                match text.parse() {
                    // A height must be a JSON number, so that each value has one form.
                    Ok(BlockAt::Height(_)) => Err(E::invalid_type(de::Unexpected::Str(text), &self)),
                    Ok(at) => Ok(at),
                    Err(error) => Err(E::custom(error)),
                }
            }
        }

        deserializer.deserialize_any(AtVisitor)
    }
}

impl JsonSchema for BlockAt {
    fn schema_name() -> Cow<'static, str> {
        "BlockAt".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Which block: a height as a number, a hash as hex, or \"latest\".",
            "anyOf": [
                generator.subschema_for::<u64>(),
                generator.subschema_for::<Hex<32>>(),
                { "const": LATEST },
            ],
        })
    }
}

/// The result of `chain_blocks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Blocks {
    /// Ascending from the requested height; at least one if it exists, possibly fewer than
    /// requested.
    pub blocks: Vec<BlockJson>,
}

/// The result of `tx_get`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocatedTransaction {
    /// The transaction.
    pub transaction: TransactionJson,
    /// Height of the block that contains it.
    pub height: u64,
    /// Position in that block, from 0.
    pub index: u32,
    /// What became of a governance transaction; absent for data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeJson>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_block_has_three_kinds_of_names() {
        let hash = BlockHash::from_bytes([0xcd; 32]);
        for at in [BlockAt::Height(0), BlockAt::Height(u64::MAX), BlockAt::Hash(hash), BlockAt::Latest] {
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<BlockAt>(&json).unwrap(), at);
            assert_eq!(at.to_string().parse::<BlockAt>().unwrap(), at);
        }
        for refused in ["-1", "1.5", "\"1\"", "\"earliest\"", "\"0x12\"", "null", "[1]", "true"] {
            assert!(serde_json::from_str::<BlockAt>(refused).is_err(), "{refused}");
        }
        assert!("one".parse::<BlockAt>().is_err());
    }
}
