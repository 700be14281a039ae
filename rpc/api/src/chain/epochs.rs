//! Epoch proofs, which lead an offline verifier from the genesis to the committees of later epochs.

use quorate_ledger::{ChainId, EpochProof, MAX_MEMBERS, PublicKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chain::proof::{FinalityProofJson, at_most, parse};
use crate::encoding::hex;
use crate::encoding::hex::Hex;
use crate::encoding::invalid::InvalidJson;
use crate::encoding::object::objects_only;

objects_only!(EpochProofJson, EpochProofsJson);

/// Most epoch proofs of one text, by WIRE.md.
pub const MAX_EPOCH_PROOFS: usize = 4096;

/// Most bytes of the JSON of epoch proofs, by WIRE.md. As many proofs as are allowed, each with the
/// largest committees, have fewer bytes without spaces.
pub const MAX_EPOCH_PROOFS_JSON_BYTES: usize = 32 << 20;

/// Proof of the committee of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EpochProof")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct EpochProofJson {
    /// Proof that the last block of the epoch before is final.
    pub last: FinalityProofJson,
    /// Public keys of the members of the epoch, ascending. The header of the block names their hash.
    #[serde(with = "hex::list")]
    #[schemars(with = "Vec<Hex<33>>")]
    pub next: Vec<PublicKey>,
}

impl From<&EpochProof> for EpochProofJson {
    fn from(proof: &EpochProof) -> Self {
        EpochProofJson { last: (&proof.last).into(), next: proof.next.clone() }
    }
}

/// The result is unverified: extend an anchor by it.
impl TryFrom<&EpochProofJson> for EpochProof {
    type Error = InvalidJson;

    fn try_from(json: &EpochProofJson) -> Result<Self, InvalidJson> {
        at_most("members", json.next.len(), MAX_MEMBERS)?;
        Ok(EpochProof { last: (&json.last).try_into()?, next: json.next.clone() })
    }
}

/// Proofs of the committees of the epochs 1, 2 and so on of one chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EpochProofs")]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct EpochProofsJson {
    /// The chain, for the reader. The headers name it too.
    #[serde(with = "hex::text")]
    #[schemars(with = "Hex<32>")]
    pub chain_id: ChainId,
    /// The proofs, in the order of their epochs, without a gap.
    pub proofs: Vec<EpochProofJson>,
}

impl EpochProofsJson {
    /// The JSON of these proofs.
    pub fn of(chain_id: ChainId, proofs: &[EpochProof]) -> Self {
        EpochProofsJson { chain_id, proofs: proofs.iter().map(EpochProofJson::from).collect() }
    }

    /// The proofs, unverified and in the given order.
    ///
    /// # Errors
    /// [`InvalidJson::TooMany`] and [`InvalidJson::Signers`].
    pub fn to_proofs(&self) -> Result<Vec<EpochProof>, InvalidJson> {
        at_most("epoch proofs", self.proofs.len(), MAX_EPOCH_PROOFS)?;
        self.proofs.iter().map(EpochProof::try_from).collect()
    }
}

/// Reads the text of epoch proofs. The result is unverified: extend an anchor of the same chain by
/// each of them.
///
/// # Errors
/// As [`parse_receipt`](crate::parse_receipt).
pub fn parse_epoch_proofs(text: &str) -> Result<(ChainId, Vec<EpochProof>), InvalidJson> {
    let json: EpochProofsJson = parse("a list of epoch proofs", text, MAX_EPOCH_PROOFS_JSON_BYTES)?;
    Ok((json.chain_id, json.to_proofs()?))
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
