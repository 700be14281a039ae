//! Certified block ranges: the unit of an export.

use quorate_ledger::{Block, ChainAnchor, CommitCertificate, Header, Height, ProofError};

use crate::error::{StoreError, refused_certificate};
use crate::ledger::{MAX_BATCH_BLOCKS, follows, one_epoch};

/// A certified block range: the blocks that one certificate finalises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedRange {
    /// Consecutive blocks, lowest first; never empty.
    pub blocks: Vec<Block>,
    /// The certificate of the last of them.
    pub certificate: CommitCertificate,
}

impl CertifiedRange {
    /// Verifies that the headers can be those of their epoch, and every signature of the
    /// certificate: a quorum of verifications.
    ///
    /// # Errors
    /// A sentence that names the error and the height.
    pub fn verify(&self, anchor: &ChainAnchor) -> Result<(), String> {
        self.check_proof(anchor).map_err(|(height, error)| match error {
            ProofError::Unproven { .. } => format!("block {height}: {error}"),
            _ => refused_certificate(height, &error),
        })
    }

    /// Like [`CertifiedRange::verify`], with the height and the error.
    pub(super) fn check_proof(&self, anchor: &ChainAnchor) -> Result<(), (Height, ProofError)> {
        for block in &self.blocks {
            anchor.check_header(block.header()).map_err(|error| (block.height(), error))?;
        }
        let height = self.certificate.ballot().height;
        anchor.check_certificate(&self.certificate).map_err(|error| (height, error))
    }

    /// Checks that the blocks follow a header and each other, and that the certificate is for the
    /// last of them.
    pub(super) fn check_follows(&self, head: &Header) -> Result<(), StoreError> {
        let (count, limit) = (self.blocks.len(), MAX_BATCH_BLOCKS);
        let Some(last) = self.blocks.last().filter(|_| count <= limit) else {
            return Err(StoreError::Batch { count, limit });
        };
        let mut parent = head;
        for block in &self.blocks {
            follows(block, parent)?;
            parent = block.header();
        }
        one_epoch(&self.blocks)?;
        let ballot = self.certificate.ballot();
        if (ballot.epoch, ballot.height, ballot.block) != (last.header().epoch, last.height(), last.hash()) {
            return Err(StoreError::Uncertified { certified: ballot.block, last: last.hash() });
        }
        Ok(())
    }
}

/// Groups blocks into ranges: blocks of a ledger or of a node's answers are added one by one, each
/// with its certificate if it has one.
#[derive(Debug, Default)]
pub struct RangeBuilder {
    open: Vec<Block>,
}

impl RangeBuilder {
    /// Adds the next block. Returns the range that it completes, if it is certified.
    pub fn push(&mut self, block: Block, certificate: Option<CommitCertificate>) -> Option<CertifiedRange> {
        self.open.push(block);
        let certificate = certificate?;
        Some(CertifiedRange { blocks: std::mem::take(&mut self.open), certificate })
    }

    /// Number of blocks that wait for a certificate. A correct node never sends more than
    /// [`MAX_BATCH_BLOCKS`].
    pub fn waiting(&self) -> usize {
        self.open.len()
    }
}
