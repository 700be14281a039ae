//! Checks the certificates of many certified block ranges on all cores: a quorum of signatures for
//! each.

use std::thread::available_parallelism;

use quorate_governance::State;
use quorate_ledger::ChainAnchor;
use quorate_store::{CertifiedRange, max_batch_blocks};

/// Number of ranges that are checked together, and bytes of their bodies that trigger a check
/// earlier.
const RUNS: usize = 512;
const BYTES: usize = 64 << 20;

/// Collects ranges until there are enough to share between the cores.
pub(super) struct Proofs {
    anchor: ChainAnchor,
    /// Upper limit of blocks that one certificate may finalise.
    limit: usize,
    ranges: Vec<CertifiedRange>,
    bytes: usize,
}

/// Most blocks of a range after this state.
fn limit_of(state: &State) -> usize {
    max_batch_blocks(state.next_config().parameters().consensus.window)
}

impl Proofs {
    /// `anchor` has the committee of the first range, and `state` is the governance state before it.
    pub(super) fn new(anchor: ChainAnchor, state: &State) -> Self {
        Proofs { anchor, limit: limit_of(state), ranges: Vec::new(), bytes: 0 }
    }

    /// Takes an anchor with the committee of a new epoch, and the state after the last range. Ranges of
    /// the epochs before were checked when the last of them was added. W changes only with the epoch.
    pub(super) fn advance(&mut self, anchor: &ChainAnchor, state: &State) {
        if anchor.newest().epoch() != self.anchor.newest().epoch() {
            self.anchor = anchor.clone();
            self.limit = limit_of(state);
        }
    }

    /// Adds a range. Returns the proven ranges in their order when enough were collected, or when the
    /// range ends an epoch; otherwise none.
    ///
    /// # Errors
    /// The lowest invalid certificate, or a range that is too long because certificates were
    /// removed from it: a node that stored it could not serve it to others in one response.
    pub(super) fn push(&mut self, range: CertifiedRange) -> Result<Vec<CertifiedRange>, String> {
        let (count, limit) = (range.blocks.len(), self.limit);
        if count > limit {
            let height = range.certificate.ballot().height;
            return Err(format!(
                "the certificate at height {height} covers {count} blocks, but at most {limit} are allowed"
            ));
        }
        self.bytes += range.blocks.iter().map(|block| block.body().as_bytes().len()).sum::<usize>();
        let ends_epoch = range.blocks.last().is_some_and(|last| last.header().ends_epoch());
        self.ranges.push(range);
        if !ends_epoch && self.ranges.len() < RUNS && self.bytes < BYTES {
            return Ok(Vec::new());
        }
        self.finish()
    }

    /// Checks and returns the remaining ranges.
    ///
    /// # Errors
    /// As [`Proofs::push`].
    pub(super) fn finish(&mut self) -> Result<Vec<CertifiedRange>, String> {
        self.bytes = 0;
        let ranges = std::mem::take(&mut self.ranges);
        let cores = available_parallelism().map_or(1, usize::from);
        let share = ranges.len().div_ceil(cores).max(1);
        let check =
            |ranges: &[CertifiedRange]| ranges.iter().try_for_each(|range| range.verify(&self.anchor));
        std::thread::scope(|scope| {
            let shares: Vec<_> =
                ranges.chunks(share).map(|ranges| scope.spawn(move || check(ranges))).collect();
            let outcomes = shares.into_iter().map(|share| share.join().expect("checking does not panic"));
            outcomes.collect::<Result<(), String>>()
        })?;
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{
        Ballot, Block, Body, Commit, CommitCertificate, Header, ReplicaId, Signed, Timestamp, View,
    };

    use super::*;

    /// This many blocks on the genesis, and one certificate.
    fn range_of(network: &TestNetwork, blocks: usize) -> CertifiedRange {
        let genesis = network.genesis();
        let mut chain: Vec<Block> = Vec::new();
        for _ in 0..blocks {
            let parent = chain.last().map_or(genesis.header(), Block::header);
            let body = Body::of(&[]);
            let header = Header::after(parent, &body, Timestamp(0), ReplicaId(0));
            chain.push(Block::new(header, body).unwrap());
        }
        let last = chain.last().unwrap();
        let ballot =
            Ballot { epoch: last.header().epoch, view: View(0), height: last.height(), block: last.hash() };
        let sign = |(index, key)| Signed::sign(&genesis.chain_id(), key, ReplicaId(index), Commit(ballot));
        let votes: Vec<_> = (0..).zip(network.keys()).map(sign).collect();
        let certificate = CommitCertificate::assemble(genesis.committee(), ballot, &votes).unwrap();
        CertifiedRange { blocks: chain, certificate: certificate.into_inner() }
    }

    /// An export from which certificates were removed is not imported: its ranges would not fit
    /// into a response to another node.
    #[test]
    fn a_run_is_no_longer_than_what_can_be_served() {
        for window in [1, 3] {
            let network = TestNetwork::seeded(4, 1);
            let network = network.with_parameters(|parameters| parameters.consensus.window = window).unwrap();
            let most = usize::try_from(2 * window + 1).unwrap();
            for (blocks, good) in [(1, true), (most, true), (most + 1, false), (65, false)] {
                let genesis = network.genesis();
                let mut proofs = Proofs::new(genesis.anchor().clone(), &genesis.governance_state());
                let proven = proofs.push(range_of(&network, blocks)).and_then(|_| proofs.finish());
                assert_eq!(proven.is_ok(), good, "{blocks} blocks with W = {window}");
            }
        }
    }
}
