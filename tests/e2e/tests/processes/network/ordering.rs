//! Many transactions are ordered once, and in the same order on all nodes.

use std::collections::HashSet;
use std::thread;

use quorate_api::{BlockAt, BlockJson};
use quorate_e2e::{Network, SignedTransaction, Signer, scaled, submit_until_taken};
use quorate_ledger::{Receipt, TransactionId};
use serde_json::json;

const ALL: [usize; 4] = [0, 1, 2, 3];

const TRANSACTIONS: usize = 20_000;
const PAYLOAD_BYTES: usize = 256;
const SENDERS: usize = 40;

/// Receipts that are requested from each node.
const SAMPLE: usize = 25;

/// The two nodes to which a transaction is submitted. All transactions together use each of the
/// twelve pairs.
fn nodes_of(number: usize) -> [usize; 2] {
    let first = number % ALL.len();
    let second = (first + 1 + number / ALL.len() % (ALL.len() - 1)) % ALL.len();
    [first, second]
}

fn share_of(node: usize, signed: &[SignedTransaction]) -> Vec<SignedTransaction> {
    let numbered = signed.iter().enumerate();
    numbered
        .filter(|(number, _)| nodes_of(*number).contains(&node))
        .map(|(_, signed)| signed.clone())
        .collect()
}

#[test]
fn transactions_submitted_twice_through_all_ports_are_ordered_once_and_the_same_everywhere() {
    let network = Network::running(4);
    let signed = Signer::new(network.genesis(), SENDERS, PAYLOAD_BYTES).sign_many(scaled(TRANSACTIONS));
    let shares = ALL.map(|node| share_of(node, &signed));
    assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 2 * signed.len());

    thread::scope(|scope| {
        for (node, share) in shares.iter().enumerate() {
            let address = network.rpc(node).address();
            scope.spawn(move || submit_until_taken(address, share));
        }
    });
    network.wait_until_committed(&ALL, signed.len());

    let chain = network.equal_chains(&ALL);
    let places = chain.places();
    let submitted: HashSet<TransactionId> = signed.iter().map(|signed| signed.id).collect();
    assert_eq!(places.keys().copied().collect::<HashSet<_>>(), submitted, "all of them and no other");

    let step = (signed.len() / SAMPLE).max(1);
    for node in ALL {
        let rpc = network.rpc(node);
        for signed in signed.iter().skip(node).step_by(step) {
            let json = rpc.receipt(&signed.id).unwrap();
            let receipt = Receipt::try_from(&json).unwrap();
            receipt.verify(network.genesis().anchor()).unwrap();
            assert_eq!(receipt.transaction, signed.id);
            assert_eq!((receipt.proof.header.height.0, receipt.index), places[&signed.id]);
        }
    }
}

#[test]
fn a_block_is_found_by_height_and_by_hash_and_unknown_ones_are_null() {
    let network = Network::running(4);
    let id = network.order_one(1);
    let chain = network.equal_chains(&ALL);
    let (height, index) = chain.places()[&id];
    let block = &chain.blocks()[usize::try_from(height).unwrap()];
    for node in ALL {
        let rpc = network.rpc(node);
        let ask =
            |at: BlockAt| -> Option<BlockJson> { rpc.call("chain_block", &json!({ "at": at })).unwrap() };
        for at in [BlockAt::Height(height), BlockAt::Hash(block.hash)] {
            let found = ask(at).unwrap();
            assert_eq!((&found.header, &found.transactions), (&block.header, &block.transactions));
        }
        assert_eq!(ask(BlockAt::Height(height + 1000)), None);
        let located: serde_json::Value = rpc.call("tx_get", &json!({ "id": id.to_string() })).unwrap();
        assert_eq!((&located["height"], &located["index"]), (&json!(height), &json!(index)));
        let unknown = TransactionId::from_bytes([7; 32]);
        assert_eq!(rpc.receipt(&unknown), None);
    }
}
