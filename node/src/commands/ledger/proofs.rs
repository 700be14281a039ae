//! Checking the certificates of many runs: a quorum of signatures for each, on all cores.

use std::thread::available_parallelism;

use quorate_ledger::ChainAnchor;
use quorate_store::Run;

/// Runs that are checked together, and bytes of their bodies, above which they are not kept waiting for more.
const RUNS: usize = 512;
const BYTES: usize = 64 << 20;

/// Gathers runs until it is worth sharing them out.
pub(super) struct Proofs<'a> {
    anchor: &'a ChainAnchor,
    runs: Vec<Run>,
    bytes: usize,
}

impl<'a> Proofs<'a> {
    pub(super) fn new(anchor: &'a ChainAnchor) -> Self {
        Proofs { anchor, runs: Vec::new(), bytes: 0 }
    }

    /// Takes a run; answers runs that were proven, in their order, once there are enough of them.
    ///
    /// # Errors
    /// The lowest certificate that does not hold.
    pub(super) fn push(&mut self, run: Run) -> Result<Vec<Run>, String> {
        self.bytes += run.blocks.iter().map(|block| block.body().as_bytes().len()).sum::<usize>();
        self.runs.push(run);
        if self.runs.len() < RUNS && self.bytes < BYTES {
            return Ok(Vec::new());
        }
        self.finish()
    }

    /// What is left, proven.
    ///
    /// # Errors
    /// As [`Proofs::push`].
    pub(super) fn finish(&mut self) -> Result<Vec<Run>, String> {
        self.bytes = 0;
        let runs = std::mem::take(&mut self.runs);
        let cores = available_parallelism().map_or(1, usize::from);
        let share = runs.len().div_ceil(cores).max(1);
        let check = |runs: &[Run]| runs.iter().try_for_each(|run| run.verify(self.anchor));
        std::thread::scope(|scope| {
            let shares: Vec<_> = runs.chunks(share).map(|runs| scope.spawn(move || check(runs))).collect();
            let outcomes = shares.into_iter().map(|share| share.join().expect("checking does not panic"));
            outcomes.collect::<Result<(), String>>()
        })?;
        Ok(runs)
    }
}
