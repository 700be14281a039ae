//! Proofs that can be verified offline with only the genesis and the epoch proofs: that a block is
//! final, and that it contains a transaction.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::blocks::header::Header;
use crate::codec::bounded;
use crate::hash::TransactionId;
use crate::limits::MAX_DESCENDANTS;
use crate::merkle::MerklePath;
use crate::proofs::anchor::{ChainAnchor, EpochHeights};
use crate::proofs::certificate::{CertificateError, CommitCertificate};
use crate::units::{Epoch, Height};

/// Why a proof is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The committee of this epoch is not proven, so the verifier cannot judge what it signed. This
    /// is neither valid nor invalid.
    #[error(
        "unproven: the block belongs to epoch {epoch}, but the committees are proven only up to epoch {newest}; give the epoch proofs up to epoch {epoch}"
    )]
    Unproven {
        /// The epoch that is not proven.
        epoch: Epoch,
        /// The newest proven epoch.
        newest: Epoch,
    },
    /// A header of another chain, version or committee.
    #[error("{field} of the header at height {height} differs from this chain's")]
    Header {
        /// The header's claimed height.
        height: Height,
        /// Name of the field.
        field: &'static str,
    },
    /// The epoch of the header has other heights.
    #[error("the header claims height {height} in epoch {epoch}, which has {heights}")]
    Height {
        /// The header's claimed height.
        height: Height,
        /// The header's epoch.
        epoch: Epoch,
        /// The heights of this epoch.
        heights: EpochHeights,
    },
    /// The first or last block of the epoch is another one by the epoch proofs.
    #[error("the header at height {height} contradicts the epoch proofs")]
    Contradicts {
        /// The header's claimed height.
        height: Height,
    },
    /// A header of another epoch than the one before it, or above the last block of the epoch.
    #[error("the header at height {height} is beyond the end of the epoch of the proven block")]
    BeyondEpoch {
        /// Claimed height of the child.
        height: Height,
    },
    /// Two consecutive headers are not parent and child.
    #[error("the header at height {height} is not the child of the one before it")]
    Broken {
        /// Claimed height of the child.
        height: Height,
    },
    /// The certificate is for another block than the last header.
    #[error("the certificate is for another block than the last header")]
    Uncertified,
    /// More headers than a pipeline can leave without their own certificate.
    #[error(
        "the proof has {0} headers between the block and the certificate, but at most {MAX_DESCENDANTS} are allowed"
    )]
    TooLong(usize),
    /// The certificate is invalid.
    #[error("the certificate is invalid: {0}")]
    Certificate(#[from] CertificateError),
    /// The transaction is not at the position that the receipt claims.
    #[error("the block does not contain transaction {0} at the claimed position")]
    NotIncluded(TransactionId),
}

/// Proof that a block is final: its header, the headers up to the certified one, and the
/// certificate.
///
/// `descendants` is empty for a block that has its own certificate. After a view change, a block
/// may be finalised only by the certificate of a later block of the same epoch. The last block of an
/// epoch always has its own certificate.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct FinalityProof {
    /// The block that is proven final.
    pub header: Header,
    /// The headers above it, in ascending order, up to the certified one.
    #[borsh(deserialize_with = "bounded::<MAX_DESCENDANTS, _, _>")]
    pub descendants: Vec<Header>,
    /// The certificate of the last of these headers.
    pub certificate: CommitCertificate,
}

impl FinalityProof {
    /// Checks the proof with the committee of the block's epoch.
    ///
    /// # Errors
    /// [`ProofError`]; [`ProofError::Unproven`] if the anchor does not have this committee.
    pub fn verify(&self, anchor: &ChainAnchor) -> Result<(), ProofError> {
        if self.descendants.len() > MAX_DESCENDANTS as usize {
            return Err(ProofError::TooLong(self.descendants.len()));
        }
        let committee = anchor.check_header(&self.header)?;
        let mut last = &self.header;
        for header in &self.descendants {
            // A committee certifies nothing beyond its epoch.
            if header.epoch != last.epoch || last.ends_epoch() {
                return Err(ProofError::BeyondEpoch { height: header.height });
            }
            anchor.check_header(header)?;
            let follows = header.height.follows(last.height)
                && header.parent == last.hash()
                && header.timestamp > last.timestamp;
            if !follows {
                return Err(ProofError::Broken { height: header.height });
            }
            last = header;
        }
        let ballot = self.certificate.ballot();
        if (ballot.epoch, ballot.height, ballot.block) != (last.epoch, last.height, last.hash()) {
            return Err(ProofError::Uncertified);
        }
        self.certificate.check(&anchor.chain_id(), committee)?;
        Ok(())
    }
}

/// Proof that a transaction was ordered: its position in a final block.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Receipt {
    /// The transaction.
    pub transaction: TransactionId,
    /// Its position in the block, from 0.
    pub index: u32,
    /// The Merkle path from the transaction to the header's root.
    pub path: MerklePath,
    /// Proof that the block is final.
    pub proof: FinalityProof,
}

impl Receipt {
    /// Checks the receipt, with only the data of the genesis and the epoch proofs.
    ///
    /// # Errors
    /// [`ProofError`]; [`ProofError::Unproven`] if the anchor does not have the committee of the
    /// block's epoch.
    pub fn verify(&self, anchor: &ChainAnchor) -> Result<(), ProofError> {
        let header = &self.proof.header;
        let included = self.path.leads_to(
            &header.transactions_root,
            &self.transaction,
            self.index,
            header.transaction_count,
        );
        if !included {
            return Err(ProofError::NotIncluded(self.transaction));
        }
        self.proof.verify(anchor)
    }
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
