//! Proofs that can be verified offline with only the genesis: that a block is final, and that it
//! contains a transaction.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::blocks::header::Header;
use crate::codec::bounded;
use crate::committee::Committee;
use crate::hash::{ChainId, TransactionId};
use crate::limits::{MAX_DESCENDANTS, PROTOCOL_VERSION};
use crate::merkle::MerklePath;
use crate::proofs::certificate::{CertificateError, CommitCertificate};
use crate::units::Epoch;

/// The trust anchor of a verifier: the chain and its committee, both determined by the genesis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainAnchor {
    /// Hash of the genesis.
    pub chain_id: ChainId,
    /// Committee of epoch 0.
    pub committee: Committee,
}

/// Why a proof is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// A header of another chain, version, epoch or committee.
    #[error("{field} of the header at height {height} differs from this chain's")]
    Header {
        /// The header's claimed height.
        height: crate::Height,
        /// Name of the field.
        field: &'static str,
    },
    /// Two consecutive headers are not parent and child.
    #[error("the header at height {height} is not the child of the one before it")]
    Broken {
        /// Claimed height of the child.
        height: crate::Height,
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
/// may be finalised only by the certificate of a later block.
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
    /// Checks the proof.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, anchor: &ChainAnchor) -> Result<(), ProofError> {
        if self.descendants.len() > MAX_DESCENDANTS as usize {
            return Err(ProofError::TooLong(self.descendants.len()));
        }
        anchor.check(&self.header)?;
        let mut last = &self.header;
        for header in &self.descendants {
            anchor.check(header)?;
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
        self.certificate.check(&anchor.chain_id, &anchor.committee)?;
        Ok(())
    }
}

impl ChainAnchor {
    fn check(&self, header: &Header) -> Result<(), ProofError> {
        let committee = self.committee.hash();
        let fields = [
            ("version", header.version == PROTOCOL_VERSION),
            ("chain_id", header.chain_id == self.chain_id),
            ("epoch", header.epoch == Epoch(0)),
            ("committee", header.committee == committee),
            ("next_committee", header.next_committee == committee),
        ];
        match fields.iter().find(|(_, holds)| !holds) {
            Some((field, _)) => Err(ProofError::Header { height: header.height, field }),
            None => Ok(()),
        }
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
    /// Checks the receipt, with only the data of the genesis.
    ///
    /// # Errors
    /// [`ProofError`].
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
