//! Following a chain from block 1 upwards with the genesis alone.

use std::collections::BTreeMap;

use quorate_governance::State;
use quorate_governance::limits::MAX_READY_AGE;
use quorate_ledger::{BlockHash, ChainAnchor, EpochProof, FinalityProof, Height, PublicKey};

use super::range::CertifiedRange;
use crate::ledger::execution::{Effects, ExecutionError, execute_all};

/// Executes the governance transactions of certified block ranges, so that an anchor has the
/// committees of all epochs.
///
/// The ranges must follow each other from block 1 on. Nothing about them is trusted: a block that
/// contradicts the state is refused, and the last certificate of each epoch is verified. Verify the
/// other certificates with [`CertifiedRange::verify`] and [`RangeVerifier::anchor`].
#[derive(Debug, Clone)]
pub struct RangeVerifier {
    anchor: ChainAnchor,
    state: State,
    /// The hashes of the last blocks, which operations may name.
    hashes: BTreeMap<Height, BlockHash>,
}

impl RangeVerifier {
    /// Begins with the governance state before block 1, and an anchor of this chain.
    pub fn new(initial: &State, anchor: &ChainAnchor) -> Self {
        let head = initial.head();
        RangeVerifier {
            anchor: anchor.clone(),
            state: initial.clone(),
            hashes: BTreeMap::from([(head.height, head.block)]),
        }
    }

    /// The anchor with the committees of all epochs up to that of the next block.
    pub fn anchor(&self) -> &ChainAnchor {
        &self.anchor
    }

    /// The governance state after the last block.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Executes the blocks of the next range. If the last one ends its epoch, also verifies its
    /// certificate and adds the next epoch to the anchor.
    ///
    /// # Errors
    /// A sentence that names the error and the height. The verifier is unchanged then.
    pub fn execute(&mut self, range: &CertifiedRange) -> Result<(), String> {
        let at = |(height, error): (Height, ExecutionError)| format!("block {height}: {error}");
        let mut state = self.state.clone();
        let effects = execute_all(&mut state, &range.blocks, |height| self.hashes.get(&height).copied());
        for Effects { height, ended, .. } in effects.map_err(at)? {
            if let Some((_, next)) = ended {
                self.extend(range, next).map_err(|error| format!("block {height}: {error}"))?;
            }
        }
        self.state = state;
        self.hashes.extend(range.blocks.iter().map(|block| (block.height(), block.hash())));
        while self.hashes.len() as u64 > MAX_READY_AGE {
            self.hashes.pop_first();
        }
        Ok(())
    }

    fn extend(&mut self, range: &CertifiedRange, next: Vec<PublicKey>) -> Result<(), String> {
        let ballot = range.certificate.ballot();
        // The caller's anchor may know the next epoch already.
        if self.anchor.newest().epoch() != ballot.epoch {
            return Ok(());
        }
        let header = range.blocks.last().filter(|last| last.hash() == ballot.block).map(|last| last.header());
        let header = header.ok_or("the certificate is for another block")?.clone();
        let certificate = range.certificate.clone();
        let last = FinalityProof { header, descendants: Vec::new(), certificate };
        self.anchor.extend(&EpochProof { last, next }).map_err(|error| error.to_string())
    }
}
