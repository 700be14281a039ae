//! The trust anchor of a verifier: a chain, and the committees of its epochs as far as they are
//! proven.

use std::fmt;

use crate::blocks::header::Header;
use crate::committee::Committee;
use crate::hash::{BlockHash, ChainId};
use crate::limits::PROTOCOL_VERSION;
use crate::proofs::certificate::CommitCertificate;
use crate::proofs::epochs::{EpochProof, EpochProofError};
use crate::proofs::proof::ProofError;
use crate::units::{Epoch, Height};

/// What a verifier trusts: the chain, and the committees of epochs 0 to n without a gap.
///
/// It begins with the committee of epoch 0, which the genesis determines. Each [`EpochProof`] adds
/// the committee of the next epoch. The anchor says nothing about later epochs: what their
/// committees signed is [`ProofError::Unproven`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainAnchor {
    chain_id: ChainId,
    /// By their numbers; never empty. Only the newest one has no end.
    epochs: Vec<ProvenEpoch>,
}

/// An epoch with a proven committee.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ProvenEpoch {
    committee: Committee,
    /// Its first height. Epoch 0 includes the genesis header.
    first: Height,
    /// The last block of the epoch before; none for epoch 0.
    parent: Option<BlockHash>,
    /// Its last block; none if that is not known.
    end: Option<EpochEnd>,
}

/// The last block of an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EpochEnd {
    height: Height,
    block: BlockHash,
}

/// The heights of the blocks of one epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochHeights {
    /// The first one; 0, the genesis header, in epoch 0.
    pub first: Height,
    /// The last one. `None` for the newest proven epoch, whose end is not known.
    pub last: Option<Height>,
}

impl EpochHeights {
    /// Whether a height is among them.
    pub fn contains(&self, height: Height) -> bool {
        height >= self.first && self.last.is_none_or(|last| height <= last)
    }
}

impl fmt::Display for EpochHeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.last {
            Some(last) => write!(f, "heights {} to {last}", self.first),
            None => write!(f, "heights from {}", self.first),
        }
    }
}

impl ChainAnchor {
    /// The anchor of a chain that begins with this committee. Both follow from the genesis.
    ///
    /// # Panics
    /// If the committee is not that of epoch 0.
    pub fn new(chain_id: ChainId, committee: Committee) -> Self {
        assert_eq!(committee.epoch(), Epoch(0), "an anchor begins with the committee of epoch 0");
        let first = ProvenEpoch { committee, first: Height(0), parent: None, end: None };
        ChainAnchor { chain_id, epochs: vec![first] }
    }

    /// The chain.
    pub fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The committee of the newest proven epoch.
    pub fn newest(&self) -> &Committee {
        &self.epochs.last().expect("an anchor has epoch 0").committee
    }

    /// The committee of an epoch; `None` if it is not proven.
    pub fn committee(&self, epoch: Epoch) -> Option<&Committee> {
        Some(&self.proven(epoch).ok()?.committee)
    }

    /// The heights of the blocks of an epoch; `None` if its committee is not proven.
    pub fn heights(&self, epoch: Epoch) -> Option<EpochHeights> {
        Some(self.proven(epoch).ok()?.heights())
    }

    /// Adds the epoch after the newest one. Costs a quorum of signature verifications. If the proof
    /// is refused, the anchor stays as it is.
    ///
    /// # Errors
    /// [`EpochProofError`].
    pub fn extend(&mut self, proof: &EpochProof) -> Result<(), EpochProofError> {
        let committee = proof.verify(self)?;
        let header = &proof.last.header;
        let end = EpochEnd { height: header.height, block: header.hash() };
        self.epochs.last_mut().expect("an anchor has epoch 0").end = Some(end);
        let first = end.height.next();
        self.epochs.push(ProvenEpoch { committee, first, parent: Some(end.block), end: None });
        Ok(())
    }

    /// Checks that a header can be one of this chain: its version, chain, epoch, committees and
    /// height. Returns the committee that certifies it.
    ///
    /// # Errors
    /// [`ProofError::Unproven`] if the epoch of the header is not proven; [`ProofError::Header`],
    /// [`ProofError::Height`] and [`ProofError::Contradicts`].
    pub fn check_header(&self, header: &Header) -> Result<&Committee, ProofError> {
        let height = header.height;
        let wrong = |field| Err(ProofError::Header { height, field });
        if header.version != PROTOCOL_VERSION {
            return wrong("version");
        }
        if header.chain_id != self.chain_id {
            return wrong("chain_id");
        }
        let epoch = self.proven(header.epoch)?;
        if header.committee != epoch.committee.hash() {
            return wrong("committee");
        }
        let heights = epoch.heights();
        if !heights.contains(height) {
            return Err(ProofError::Height { height, epoch: header.epoch, heights });
        }
        if heights.last.is_some_and(|last| height < last) && header.ends_epoch() {
            return wrong("next_committee");
        }
        epoch.check_ends(header)?;
        Ok(&epoch.committee)
    }

    /// Checks the signatures of a certificate: a quorum of the committee of its epoch.
    ///
    /// It does not check which block the certificate is for.
    ///
    /// # Errors
    /// [`ProofError::Unproven`] and [`ProofError::Certificate`].
    pub fn check_certificate(&self, certificate: &CommitCertificate) -> Result<(), ProofError> {
        let epoch = self.proven(certificate.ballot().epoch)?;
        Ok(certificate.check(&self.chain_id, &epoch.committee)?)
    }

    fn proven(&self, epoch: Epoch) -> Result<&ProvenEpoch, ProofError> {
        let proven = usize::try_from(epoch.0).ok().and_then(|index| self.epochs.get(index));
        proven.ok_or(ProofError::Unproven { epoch, newest: self.newest().epoch() })
    }
}

impl ProvenEpoch {
    fn heights(&self) -> EpochHeights {
        EpochHeights { first: self.first, last: self.end.map(|end| end.height) }
    }

    /// Two final blocks at one height would mean that more than f members are faulty. The verifier
    /// keeps to the block that it proved first.
    fn check_ends(&self, header: &Header) -> Result<(), ProofError> {
        let height = header.height;
        let is_first = self.parent.is_none_or(|parent| height > self.first || header.parent == parent);
        let is_last = self.end.is_none_or(|end| height < end.height || header.hash() == end.block);
        if is_first && is_last { Ok(()) } else { Err(ProofError::Contradicts { height }) }
    }
}
