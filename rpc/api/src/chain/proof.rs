//! Finality proofs and receipts, which are verified offline.

use quorate_ledger::{
    FinalityProof, Hash, Header, MAX_DESCENDANTS, MAX_PATH_SIBLINGS, MerklePath, Receipt, TransactionId,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::chain::block::{CertificateJson, HeaderJson};
use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::encoding::invalid::InvalidJson;
use crate::encoding::object::objects_only;

objects_only!(FinalityProofJson, ReceiptJson);

/// Most bytes of the JSON of a proof or receipt, by WIRE.md. The longest possible one, with every
/// descendant and every member's signature, has about half as many bytes without spaces.
pub const MAX_PROOF_JSON_BYTES: usize = 128 << 10;

/// Proof that a block is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "FinalityProof")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct FinalityProofJson {
    /// The block that is proven final.
    pub header: HeaderJson,
    /// The headers above it, ascending, up to the certified one; usually empty.
    pub descendants: Vec<HeaderJson>,
    /// The certificate of the last of these headers, or of the block if there are none.
    pub certificate: CertificateJson,
}

impl From<&FinalityProof> for FinalityProofJson {
    fn from(proof: &FinalityProof) -> Self {
        FinalityProofJson {
            header: (&proof.header).into(),
            descendants: proof.descendants.iter().map(HeaderJson::from).collect(),
            certificate: (&proof.certificate).into(),
        }
    }
}

/// The result is unverified: call its `verify`.
impl TryFrom<&FinalityProofJson> for FinalityProof {
    type Error = InvalidJson;

    fn try_from(json: &FinalityProofJson) -> Result<Self, InvalidJson> {
        at_most("descendants", json.descendants.len(), MAX_DESCENDANTS as usize)?;
        Ok(FinalityProof {
            header: (&json.header).into(),
            descendants: json.descendants.iter().map(Header::from).collect(),
            certificate: (&json.certificate).try_into()?,
        })
    }
}

/// Proof that a transaction was ordered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Receipt")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ReceiptJson {
    /// The transaction.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub transaction: TransactionId,
    /// Its position in the block, from 0.
    pub index: u32,
    /// Siblings from the transaction up to the header's root, leaf level first.
    #[serde(with = "hex::list")]
    #[schemars(with = "Vec<Hex<32>>")]
    pub path: Vec<Hash>,
    /// Proof that the block is final.
    pub proof: FinalityProofJson,
}

impl From<&Receipt> for ReceiptJson {
    fn from(receipt: &Receipt) -> Self {
        ReceiptJson {
            transaction: receipt.transaction,
            index: receipt.index,
            path: receipt.path.siblings().to_vec(),
            proof: (&receipt.proof).into(),
        }
    }
}

/// The result is unverified: call its `verify`.
impl TryFrom<&ReceiptJson> for Receipt {
    type Error = InvalidJson;

    fn try_from(json: &ReceiptJson) -> Result<Self, InvalidJson> {
        at_most("siblings", json.path.len(), MAX_PATH_SIBLINGS as usize)?;
        Ok(Receipt {
            transaction: json.transaction,
            index: json.index,
            path: MerklePath::from_siblings(json.path.clone()),
            proof: (&json.proof).try_into()?,
        })
    }
}

/// Reads the text of a receipt. The result is unverified: call its `verify`.
///
/// # Errors
/// [`InvalidJson`]: surplus, missing and repeated fields, fractions, other forms of hex, trailing
/// text.
pub fn parse_receipt(text: &str) -> Result<Receipt, InvalidJson> {
    (&parse::<ReceiptJson>("a receipt", text, MAX_PROOF_JSON_BYTES)?).try_into()
}

/// Reads the text of a finality proof. The result is unverified: call its `verify`.
///
/// # Errors
/// As [`parse_receipt`].
pub fn parse_finality_proof(text: &str) -> Result<FinalityProof, InvalidJson> {
    (&parse::<FinalityProofJson>("a finality proof", text, MAX_PROOF_JSON_BYTES)?).try_into()
}

pub(super) fn parse<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
    limit: usize,
) -> Result<T, InvalidJson> {
    if text.len() > limit {
        return Err(InvalidJson::TooLong { what, bytes: text.len(), limit });
    }
    serde_json::from_str(text).map_err(|error| InvalidJson::Shape { what, error })
}

pub(super) fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), InvalidJson> {
    if count > limit {
        return Err(InvalidJson::TooMany { what, count, limit });
    }
    Ok(())
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
