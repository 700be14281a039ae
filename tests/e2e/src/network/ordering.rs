//! What a network has ordered: its common height, its equal chains, its transactions.

use quorate_api::Wait;
use quorate_ledger::TransactionId;

use super::Network;
use crate::clients::chain::Chain;
use crate::clients::rpc::Rpc;
use crate::clients::signed::Signer;
use crate::wait::{WAIT_LIMIT, until};

impl Network {
    /// The highest height of these validators, once all of them have it.
    pub fn common_height(&self, indices: &[usize]) -> u64 {
        let nodes: Vec<Rpc> = indices.iter().map(|index| self.rpc(*index)).collect();
        let highest = nodes.iter().map(|node| node.head().height).max().unwrap_or_default();
        let reached = || nodes.iter().all(|node| node.head().height >= highest);
        until(&format!("all have block {highest}"), 2 * WAIT_LIMIT, || reached().then_some(highest))
    }

    /// Waits until all of these validators have the highest current height, and asserts that their
    /// chains are equal up to there; returns the verified chain.
    pub fn equal_chains(&self, indices: &[usize]) -> Chain {
        let height = self.common_height(indices);
        let mut chains = indices.iter().map(|index| Chain::read(&self.rpc(*index), &self.genesis, height));
        let first = chains.next().expect("at least one validator");
        chains.for_each(|other| first.assert_equals(&other));
        first
    }

    /// Waits until the blocks of each of these validators contain this many transactions.
    pub fn wait_until_committed(&self, indices: &[usize], transactions: usize) {
        for index in indices {
            let mut counter = Counter { rpc: self.rpc(*index), next: 1, transactions: 0 };
            let what = format!("{} has {transactions} transactions", self.validators[*index].name);
            until(&what, 4 * WAIT_LIMIT, || (counter.count() >= transactions).then_some(()));
        }
    }

    /// Orders one transaction through a validator, as a proof that the network works.
    pub fn order_one(&self, through: usize) -> TransactionId {
        self.order_one_with(through, 32)
    }

    /// As [`Network::order_one`], with a payload of this many bytes.
    pub fn order_one_with(&self, through: usize, payload_bytes: usize) -> TransactionId {
        let signed = Signer::new(&self.genesis, 1, payload_bytes).sign();
        until("a transaction is committed", WAIT_LIMIT, || {
            // Submit again if it is not committed in time, or temporarily refused.
            let answer = self.rpc(through).submit(&signed.hex, Wait::Committed, 10_000).ok()?;
            answer.receipt.is_some().then_some(())
        });
        signed.id
    }
}

/// Counts the transactions in new blocks of a node.
struct Counter {
    rpc: Rpc,
    next: u64,
    transactions: usize,
}

impl Counter {
    fn count(&mut self) -> usize {
        let head = self.rpc.head().height;
        while self.next <= head {
            let parameters = serde_json::json!({ "from_height": self.next, "limit": 100, "full": false });
            let blocks: quorate_api::Blocks =
                self.rpc.call("chain_blocks", &parameters).expect("a running node responds");
            assert!(!blocks.blocks.is_empty(), "the node returns existing blocks");
            for block in &blocks.blocks {
                self.transactions += block.transactions.len();
                self.next += 1;
            }
        }
        self.transactions
    }
}
