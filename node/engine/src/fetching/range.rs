//! Certified block ranges: validating, serving and appending them (R12).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Block, BlockError, BlockHash, Body, BodyError, CertificateError, CommitCertificate, Height, Verified,
};
use quorate_pbft::EpochContext;
use quorate_store::{Ledger, LedgerReader, StoreError, max_batch_blocks};

use crate::fatal::Fatal;
use crate::wire::{FetchResponse, RANGE_BLOCKS, RANGE_BYTES, RangeBlock};

/// A block, with its own certificate if it has one.
type Passed = (Block, Option<Verified<CommitCertificate>>);

/// Consecutive blocks, and the certificate that finalises the last one and so all of them.
pub(crate) type Group = (Vec<Block>, Verified<CommitCertificate>);

/// A validated certified block range: consecutive blocks, each with its own certificate or
/// finalised by that of a later block. Only the link to this node's own chain is still unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRange {
    blocks: Vec<Passed>,
}

/// Why an answer is no certified block range. The answering member is at fault in each case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A body does not decode.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A body does not match its header, or two headers do not follow each other.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A certificate is invalid.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate is for another block than the one that it comes with.
    #[error("the certificate at height {0} is for another block")]
    Misplaced(Height),
    /// The last block of an epoch has no certificate of its own. A committee certifies nothing beyond
    /// its epoch.
    #[error("block {0} ends its epoch, but has no certificate of its own")]
    EpochEnd(Height),
    /// There is no block, or the last one has no certificate.
    #[error("the last block of the range has no certificate")]
    Open,
    /// More blocks in a row lack a certificate of their own than the protocol permits (R12d), so
    /// certificates were removed. The ledger could store such blocks, but could not serve them in
    /// one answer.
    #[error("more than {limit} blocks up to height {height} for one certificate")]
    Stripped {
        /// The first height beyond the limit.
        height: Height,
        /// The limit: 2 W + 1 blocks.
        limit: usize,
    },
}

impl CheckedRange {
    /// Validates links, bodies and every certificate, which costs a quorum of signature
    /// verifications each. What needs no signature is checked first. It needs no state, so it can
    /// run on any thread.
    ///
    /// # Errors
    /// [`RangeError`].
    pub fn check(claims: Vec<RangeBlock>, context: &EpochContext) -> Result<Self, RangeError> {
        check_certificates(&claims, max_batch_blocks(context.window))?;
        let mut blocks: Vec<Passed> = Vec::with_capacity(claims.len());
        let mut claimed = Vec::with_capacity(claims.len());
        for RangeBlock { header, body, certificate } in claims {
            if let Some((before, _)) = blocks.last() {
                header.check_follows(before.header())?;
            }
            blocks.push((Block::new(header, Body::decode(body)?)?, None));
            claimed.push(certificate);
        }
        for ((_, proven), certificate) in blocks.iter_mut().zip(claimed) {
            let verify = |claim: CommitCertificate| claim.verify(&context.chain, context);
            let verify = |claim| Verified::unless(Mutant::CertificateUnchecked, claim, verify);
            *proven = certificate.map(verify).transpose()?;
        }
        Ok(CheckedRange { blocks })
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Always false: a checked range contains a certified block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether it is about as large as answers are: it has as many blocks, or half as many bytes.
    /// The next block may have been too large for it.
    pub(crate) fn is_full(&self) -> bool {
        let bytes: usize = self.blocks.iter().map(|(block, _)| block.body().as_bytes().len()).sum();
        self.blocks.len() >= RANGE_BLOCKS as usize || bytes >= RANGE_BYTES / 2
    }

    /// Its blocks in groups, to be appended.
    pub(crate) fn into_groups(self) -> Groups {
        Groups { rest: self.blocks.into_iter() }
    }
}

/// Checks which blocks have a certificate, and that each certificate is for the block that it comes
/// with.
fn check_certificates(claims: &[RangeBlock], limit: usize) -> Result<(), RangeError> {
    let mut uncertified = 0;
    for RangeBlock { header, certificate, .. } in claims {
        let Some(certificate) = certificate else {
            if header.ends_epoch() {
                return Err(RangeError::EpochEnd(header.height));
            }
            uncertified += 1;
            if uncertified >= limit {
                return Err(RangeError::Stripped { height: header.height, limit });
            }
            continue;
        };
        uncertified = 0;
        let ballot = certificate.ballot();
        let beside =
            (ballot.epoch, ballot.height, ballot.block) == (header.epoch, header.height, header.hash());
        if !beside && !is(Mutant::CertificateMisplaced) {
            return Err(RangeError::Misplaced(header.height));
        }
    }
    let ends_certified = claims.last().is_some_and(|last| last.certificate.is_some());
    if ends_certified { Ok(()) } else { Err(RangeError::Open) }
}

/// Appends a group of a range to the ledger. If the ledger refuses the group, the ledger stays
/// unchanged, and the answering member is at fault: the caller asks another member. Only a fork, a
/// final block that contradicts the governance state, and a failing disk stop the node.
///
/// # Errors
/// [`Fatal::Storage`], [`Fatal::Contradiction`] and [`Fatal::Fork`]; the inner error is the ledger's refusal.
pub(crate) fn append(ledger: &mut Ledger, group: &Group) -> Result<Result<(), StoreError>, Fatal> {
    let (blocks, certificate) = group;
    match ledger.append(blocks, certificate) {
        Err(StoreError::Fork { height, .. }) => Err(Fatal::Fork { height }),
        // The certificate was verified, so the block is final and this node's own state is wrong.
        Err(contradicts @ StoreError::Contradicts { .. }) => Err(contradicts.into()),
        Err(refused) if refused.is_refusal() => Ok(Err(refused)),
        Err(failed) => Err(Fatal::Storage(failed)),
        Ok(()) => Ok(Ok(())),
    }
}

/// The rest of a range while it is appended, one group at a time: blocks with the certificate that
/// finalises them.
pub(crate) struct Groups {
    rest: std::vec::IntoIter<Passed>,
}

impl Groups {
    /// Takes the next group that extends a chain with this end. Skips blocks that the chain already
    /// has. `None` if there is no such group.
    ///
    /// # Errors
    /// [`Fatal::Fork`]: a certified block has another parent than this chain's last block.
    pub(crate) fn next_above(&mut self, tip: Height, hash: BlockHash) -> Result<Option<Group>, Fatal> {
        let mut group: Vec<Block> = Vec::new();
        for (block, certificate) in self.rest.by_ref() {
            if block.height() <= tip {
                continue;
            }
            if block.height() != tip.plus(group.len() as u64 + 1) {
                return Ok(None); // the range leaves a gap above the chain
            }
            group.push(block);
            let Some(certificate) = certificate else { continue };
            let first = group.first().expect("a block was just pushed").header();
            if first.parent != hash {
                return Err(Fatal::Fork { height: first.height });
            }
            return Ok(Some((group, certificate)));
        }
        Ok(None)
    }
}

/// The answer to [`crate::FetchRequest::Blocks`] from the ledger alone: certified blocks from a
/// height on, as many as fit into an answer. The last one has a certificate. Only reads, so it can
/// run on any thread.
///
/// # Errors
/// Those of the ledger.
pub fn serve_range(ledger: &LedgerReader, from: Height) -> Result<FetchResponse, StoreError> {
    if from == Height(0) || from > ledger.head()?.height {
        return Ok(FetchResponse::Nothing);
    }
    let (mut range, mut bytes) = (Vec::new(), 0);
    // How many of its blocks may be sent: a range must end in a block with a certificate.
    let mut certified = 0;
    let mut next = from;
    while range.len() < RANGE_BLOCKS as usize {
        let stored = match ledger.blocks(next, 1, usize::MAX) {
            Ok(blocks) => blocks.into_iter().next(),
            // The blocks below the damage are intact. Serve them up to the last one with a
            // certificate.
            Err(StoreError::Damaged { .. }) if certified > 0 => None,
            Err(error) => return Err(error),
        };
        let Some(stored) = stored else { break };
        let body = stored.block.body().as_bytes().to_vec();
        bytes += body.len();
        // Without a certificate yet, continue beyond the limit: the range must end in one.
        if bytes > RANGE_BYTES && certified > 0 {
            break;
        }
        let header = stored.block.header().clone();
        let ends_epoch = header.ends_epoch();
        range.push(RangeBlock { header, body, certificate: stored.certificate });
        if range.last().is_some_and(|last| last.certificate.is_some()) {
            certified = range.len();
        }
        // The answer is checked against the committee of one epoch.
        if ends_epoch {
            break;
        }
        next = next.next();
    }
    range.truncate(certified);
    Ok(if range.is_empty() { FetchResponse::Nothing } else { FetchResponse::Blocks(range) })
}
