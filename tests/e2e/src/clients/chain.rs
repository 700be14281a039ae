//! The whole chain of a node, verified independently of the node's own code.

use std::collections::HashMap;

use quorate_api::{BlockJson, EpochProofsJson, FinalityProofJson};
use quorate_genesis::Genesis;
use quorate_ledger::{ChainAnchor, FinalityProof, TransactionId};
use serde_json::json;

use crate::clients::load::Committed;
use crate::clients::rpc::Rpc;

/// The anchor of a genesis, extended by all epoch proofs that a node has.
///
/// # Panics
/// If an epoch proof is invalid.
pub fn proven_anchor(rpc: &Rpc, genesis: &Genesis) -> ChainAnchor {
    let mut anchor = genesis.anchor().clone();
    loop {
        let from = anchor.newest().epoch().0;
        let json: EpochProofsJson = rpc
            .call("network_epochs", &json!({ "from_epoch": from, "limit": 100 }))
            .unwrap_or_else(|error| panic!("no epoch proofs: {error}"));
        let proofs = json.to_proofs().expect("epoch proofs are well formed");
        if proofs.is_empty() {
            return anchor;
        }
        for proof in &proofs {
            anchor.extend(proof).expect("epoch proofs of a node are valid");
        }
    }
}

fn check_certified(block: &BlockJson, rpc: &Rpc, anchor: &ChainAnchor) {
    let height = block.header.height;
    let proof = match &block.certificate {
        Some(certificate) => FinalityProofJson {
            header: block.header.clone(),
            descendants: Vec::new(),
            certificate: certificate.clone(),
        },
        None => {
            let proof: Option<FinalityProofJson> = rpc
                .call("chain_proof", &json!({ "height": height }))
                .unwrap_or_else(|error| panic!("no proof of block {height}: {error}"));
            proof.unwrap_or_else(|| panic!("block {height} is committed but not proven"))
        }
    };
    assert_eq!(proof.header, block.header, "the proof of block {height} is for another block");
    let proven = FinalityProof::try_from(&proof).map(|proof| proof.verify(anchor));
    assert!(matches!(proven, Ok(Ok(()))), "block {height} is not certified: {proven:?}");
}

/// The blocks of a node from the genesis to its head.
#[derive(Debug)]
pub struct Chain {
    blocks: Vec<BlockJson>,
}

impl Chain {
    /// Reads the chain up to a height that the node has.
    ///
    /// # Panics
    /// Unless the chain begins with the genesis, every block follows the previous one and contains
    /// the transactions that its header commits to, and every block is certified by its own
    /// certificate or a later one.
    pub fn read(rpc: &Rpc, genesis: &Genesis, height: u64) -> Chain {
        let mut blocks: Vec<BlockJson> = Vec::new();
        while blocks.len() as u64 <= height {
            let from = blocks.len() as u64;
            let more = rpc.blocks(from).blocks;
            assert!(!more.is_empty(), "the node returns existing blocks");
            blocks.extend(more);
        }
        blocks.truncate(usize::try_from(height).expect("a short chain") + 1);
        let chain = Chain { blocks };
        chain.check(rpc, genesis, &proven_anchor(rpc, genesis));
        chain
    }

    fn check(&self, rpc: &Rpc, genesis: &Genesis, anchor: &ChainAnchor) {
        assert_eq!(self.blocks[0].hash, genesis.header().hash(), "the chain begins with the genesis");
        for (parent, block) in self.blocks.iter().zip(&self.blocks[1..]) {
            let height = block.header.height;
            assert_eq!(height, parent.header.height + 1, "heights are consecutive");
            assert_eq!(block.header.parent, parent.hash, "block {height} follows its parent");
            assert!(block.header.timestamp_ms > parent.header.timestamp_ms, "time passes at {height}");
            let whole = block.to_block();
            assert!(whole.is_ok(), "block {height} is inconsistent: {whole:?}");
            check_certified(block, rpc, anchor);
        }
    }

    /// The height of the head.
    pub fn height(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The blocks, the genesis first.
    pub fn blocks(&self) -> &[BlockJson] {
        &self.blocks
    }

    /// The place of each transaction.
    ///
    /// # Panics
    /// If a transaction is at two places.
    pub fn places(&self) -> HashMap<TransactionId, (u64, u32)> {
        let mut places = HashMap::new();
        for block in &self.blocks {
            for (index, id) in (0..).zip(block.transactions.ids()) {
                let place = (block.header.height, index);
                if let Some(other) = places.insert(id, place) {
                    panic!("{id} is committed twice, at {other:?} and {place:?}");
                }
            }
        }
        places
    }

    /// Asserts that every transaction that was reported `committed` is at the reported place, and
    /// that no transaction is committed twice.
    #[track_caller]
    pub fn assert_contains(&self, promised: &[Committed]) {
        let places = self.places();
        assert!(!promised.is_empty());
        for committed in promised {
            let place = (committed.height, committed.index);
            assert_eq!(places.get(&committed.id), Some(&place), "{} was reported committed", committed.id);
        }
    }

    /// Asserts that both chains have the same blocks up to the height of the shorter one: equal
    /// hashes, headers and transactions. Nodes may hold different certificates for a block.
    #[track_caller]
    pub fn assert_agrees_with(&self, other: &Chain) {
        for (ours, theirs) in self.blocks.iter().zip(&other.blocks) {
            let height = ours.header.height;
            assert_eq!(ours.hash, theirs.hash, "two blocks at height {height}");
            assert_eq!(ours.header, theirs.header, "two headers at height {height}");
            assert!(ours.transactions == theirs.transactions, "two bodies at height {height}");
        }
    }

    /// Asserts that both chains have the same blocks.
    #[track_caller]
    pub fn assert_equals(&self, other: &Chain) {
        assert_eq!(self.height(), other.height(), "both end at the same height");
        self.assert_agrees_with(other);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Block, Body, Header, Payload, ReplicaId, SecretKey, Timestamp, Transaction};

    use super::*;

    fn block(genesis: &Genesis, parent: &Header, nonce: u64) -> Block {
        let (chain, key) = (genesis.chain_id(), SecretKey::from_bytes(&[1; 32]).unwrap());
        let payload = Payload::Data(Vec::new());
        let transaction = Transaction::sign(&chain, &key, nonce, Timestamp(u64::MAX), payload);
        let body = Body::of(&[transaction.verify(&chain).unwrap()]);
        Block::after(parent, body, parent.timestamp.plus_ms(1), ReplicaId(0)).unwrap()
    }

    fn chain_of(nonces: [u64; 2]) -> Chain {
        let network = TestNetwork::seeded(4, 1);
        let genesis = network.genesis();
        let first = block(genesis, genesis.header(), nonces[0]);
        let second = block(genesis, first.header(), nonces[1]);
        Chain { blocks: [first, second].iter().map(|block| BlockJson::of(block, None, true)).collect() }
    }

    fn holds(check: impl FnOnce() + std::panic::UnwindSafe) -> bool {
        std::panic::catch_unwind(check).is_ok()
    }

    #[test]
    fn a_transaction_that_is_committed_twice_is_found() {
        assert_eq!(chain_of([1, 2]).places().len(), 2);
        assert!(!holds(|| drop(chain_of([1, 1]).places())));
    }

    #[test]
    fn chains_with_a_different_block_or_length_are_distinguished() {
        let chain = || chain_of([1, 2]);
        assert!(holds(|| chain().assert_equals(&chain())));
        assert!(!holds(|| chain().assert_agrees_with(&chain_of([1, 3]))));
        assert!(!holds(|| chain().assert_agrees_with(&chain_of([3, 2]))));
        let shorter = || Chain { blocks: chain().blocks[..1].to_vec() };
        assert!(holds(|| chain().assert_agrees_with(&shorter())));
        assert!(!holds(|| chain().assert_equals(&shorter())));
    }
}
