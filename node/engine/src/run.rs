//! Certified blocks as they are passed on from member to member (R12).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{
    Block, BlockError, BlockHash, Body, BodyError, CertificateError, ChainId, CommitCertificate, Committee,
    Height, Verified,
};
use quorate_store::{LedgerReader, StoreError};

use crate::engine::Fatal;
use crate::wire::{Answer, RUN_BLOCKS, RUN_BYTES, RunBlock};

/// A block, with its certificate if it has its own.
type Passed = (Block, Option<Verified<CommitCertificate>>);

/// Blocks without a gap, and the certificate that finalises the last of them and so all.
pub(crate) type Group = (Vec<Block>, Verified<CommitCertificate>);

/// Blocks without a gap, each with its own certificate or finalised by a later one's; all checked but for the
/// link to our own tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRun {
    blocks: Vec<Passed>,
}

/// Why an answer proves nothing. Always the answering member's doing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A body does not decode.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// A body is another header's, or headers do not follow each other.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// A certificate does not hold.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A certificate is for another block than it lies beside.
    #[error("the certificate at height {0} is for another block")]
    Misplaced(Height),
    /// No block at all, or the last one is not certified.
    #[error("the run does not end in a certified block")]
    Open,
}

impl CheckedRun {
    /// Checks bodies, links and every certificate: a quorum of verifications for each. Needs no state, so it
    /// can run on any thread.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn check(claims: Vec<RunBlock>, chain: &ChainId, committee: &Committee) -> Result<Self, RunError> {
        let mut blocks: Vec<Passed> = Vec::with_capacity(claims.len());
        for claim in claims {
            let block = Block::new(claim.header, Body::decode(claim.body)?)?;
            if let Some((before, _)) = blocks.last() {
                block.header().check_follows(before.header())?;
            }
            let certificate = match claim.certificate {
                Some(certificate) => {
                    let ballot = certificate.ballot();
                    let beside = (ballot.height, ballot.block) == (block.height(), block.hash());
                    if !beside && !is(Mutant::CertificateMisplaced) {
                        return Err(RunError::Misplaced(block.height()));
                    }
                    Some(match is(Mutant::CertificateUnchecked) {
                        true => Verified::from_own_storage(certificate),
                        false => certificate.verify(chain, committee)?,
                    })
                }
                None => None,
            };
            blocks.push((block, certificate));
        }
        match blocks.last() {
            Some((_, Some(_))) => Ok(CheckedRun { blocks }),
            _ => Err(RunError::Open),
        }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Never true: a checked run holds a certified block.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Its blocks, to be appended.
    pub(crate) fn into_groups(self) -> Groups {
        Groups { rest: self.blocks.into_iter() }
    }
}

/// What is left of a run while it is appended: a group of blocks with the certificate that finalises them at a time.
pub(crate) struct Groups {
    rest: std::vec::IntoIter<Passed>,
}

impl Groups {
    /// Takes the next group that follows on a chain that ends here; what that chain has already is passed over. `None`
    /// when there is none.
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
                return Ok(None); // it does not start where the chain ends
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

/// The answer to [`crate::Ask::Blocks`], from the ledger alone: certified blocks from a height on, as many as fit
/// into an answer, ending in one with a certificate. Reads only, so it can run on any thread.
///
/// # Errors
/// Those of the ledger.
pub fn serve_run(ledger: &LedgerReader, from: Height) -> Result<Answer, StoreError> {
    if from == Height(0) || from > ledger.head()?.height {
        return Ok(Answer::Nothing);
    }
    let (mut run, mut bytes) = (Vec::new(), 0);
    // A run must end in a certified block: how many of its blocks may be sent.
    let mut certified = 0;
    let mut next = from;
    while run.len() < RUN_BLOCKS as usize {
        let Some(stored) = ledger.blocks(next, 1, usize::MAX)?.into_iter().next() else { break };
        let body = stored.block.body().as_bytes().to_vec();
        bytes += body.len();
        if bytes > RUN_BYTES && certified > 0 {
            break;
        }
        let header = stored.block.header().clone();
        run.push(RunBlock { header, body, certificate: stored.certificate });
        if run.last().is_some_and(|last| last.certificate.is_some()) {
            certified = run.len();
        }
        next = next.next();
    }
    run.truncate(certified);
    Ok(if run.is_empty() { Answer::Nothing } else { Answer::Blocks(run) })
}
