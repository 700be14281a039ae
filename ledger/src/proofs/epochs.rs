//! Proofs of the end of an epoch, which lead a verifier from one committee to the next.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::bounded;
use crate::committee::{Committee, CommitteeError};
use crate::keys::PublicKey;
use crate::limits::MAX_SIGNATURES;
use crate::proofs::anchor::ChainAnchor;
use crate::proofs::proof::{FinalityProof, ProofError};
use crate::units::{Epoch, Height};

/// Proof of the committee of an epoch: the last block of the epoch before, and the members whom this
/// block names by their hash.
///
/// A chain of these proofs leads from the genesis to the committee of any epoch, because each
/// committee certifies the block that names the next one.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EpochProof {
    /// Proof that the last block of an epoch is final. It has no descendants, because no block of
    /// this epoch follows.
    pub last: FinalityProof,
    /// The members of the next epoch, in ascending order of their keys.
    #[borsh(deserialize_with = "bounded::<MAX_SIGNATURES, _, _>")]
    pub next: Vec<PublicKey>,
}

/// Why an epoch proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EpochProofError {
    /// The proof of another epoch than the newest known one. Proofs are given in the order of their
    /// epochs, each once.
    #[error(
        "the proof is about the end of epoch {got}, but the next one in order is about the end of epoch {wanted}"
    )]
    Epoch {
        /// The newest epoch of the anchor.
        wanted: Epoch,
        /// The epoch of the proven block.
        got: Epoch,
    },
    /// The block is not the last of its epoch.
    #[error("the block at height {height} does not end its epoch")]
    NotLast {
        /// Height of the block.
        height: Height,
    },
    /// The members cannot form a committee.
    #[error("the members of epoch {epoch}: {error}")]
    Committee {
        /// The epoch of these members.
        epoch: Epoch,
        /// Why they form no committee.
        error: CommitteeError,
    },
    /// The members are not those that the block names.
    #[error("the members are not those that the last block of the epoch before names for epoch {epoch}")]
    Members {
        /// The epoch of these members.
        epoch: Epoch,
    },
    /// The block is not proven final.
    #[error("the last block of epoch {epoch} is not proven final: {error}")]
    Proof {
        /// The epoch of the block.
        epoch: Epoch,
        /// Why it is not.
        error: ProofError,
    },
}

impl EpochProof {
    /// Checks the proof against an anchor whose newest epoch the proven block ends. Returns the
    /// committee of the next epoch.
    pub(super) fn verify(&self, anchor: &ChainAnchor) -> Result<Committee, EpochProofError> {
        let header = &self.last.header;
        let (wanted, got) = (anchor.newest().epoch(), header.epoch);
        if got != wanted {
            return Err(EpochProofError::Epoch { wanted, got });
        }
        if !header.ends_epoch() {
            return Err(EpochProofError::NotLast { height: header.height });
        }
        // What needs no signature is checked first.
        let epoch = got.next();
        let next = Committee::new(epoch, self.next.clone())
            .map_err(|error| EpochProofError::Committee { epoch, error })?;
        if next.hash() != header.next_committee {
            return Err(EpochProofError::Members { epoch });
        }
        self.last.verify(anchor).map_err(|error| EpochProofError::Proof { epoch: got, error })?;
        Ok(next)
    }
}

#[cfg(test)]
#[path = "epochs_tests.rs"]
mod tests;
