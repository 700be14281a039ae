//! Too few validators: nothing is ordered, nothing breaks, and nodes report it.

use std::collections::HashSet;

use quorate_api::{TransactionStatus, Wait};
use quorate_e2e::{Network, Rpc, SignedTransaction, Signer, now, wait_until};
use quorate_ledger::{Payload, SecretKey, Transaction};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Two validators are down, `left` are up: they accept a transaction, order nothing and report that
/// they are not ready.
fn assert_at_a_standstill(network: &mut Network, left: [usize; 2], waiting: &[SignedTransaction]) {
    let nodes: Vec<Rpc> = left.iter().map(|index| network.rpc(*index)).collect();
    for node in &nodes {
        wait_until("a node without quorum is not ready", || node.page("/readyz") == Some(503));
        assert_eq!(node.page("/livez"), Some(200), "the process itself is alive");
    }
    let height = nodes[0].head().height;
    for (node, signed) in nodes.iter().zip(waiting) {
        // The node waits for a commit until its time limit, and returns the status without an
        // error.
        let answer = node.submit(&signed.hex, Wait::Committed, 1_000).unwrap();
        assert_eq!((answer.status, answer.receipt), (TransactionStatus::Pending, None));
    }
    for (node, index) in nodes.iter().zip(left) {
        assert_eq!(node.head().height, height, "two of four order nothing");
        assert!(network.is_running(index));
    }
}

fn assert_all_committed(network: &Network, waiting: &[SignedTransaction], nodes: &[usize]) {
    for signed in waiting {
        for node in nodes {
            let rpc = network.rpc(*node);
            wait_until("the waiting transactions are committed", || {
                matches!(rpc.transaction(&signed.id), TransactionStatus::Committed { .. })
            });
        }
    }
}

#[test]
fn with_two_of_four_down_nothing_is_ordered_and_with_one_back_everything_is() {
    let mut network = Network::running(4);
    let first = network.order_one(0);
    let primary = network.primary(0);
    let mut signer = Signer::new(network.genesis(), 2, 64);
    let mut all = vec![first];

    // Two backups down: the primary proposes, but there is no quorum.
    let [one, other] = [(primary + 1) % 4, (primary + 2) % 4];
    let left = [primary, (primary + 3) % 4];
    network.kill(one);
    network.stop(other);
    let waiting = signer.sign_many(2);
    assert_at_a_standstill(&mut network, left, &waiting);
    network.start(one);
    assert_all_committed(&network, &waiting, &[left[0], left[1], one]);
    all.extend(waiting.iter().map(|signed| signed.id));
    network.start(other);
    network.wait_until_caught_up(other, one);
    network.equal_chains(&ALL);

    // The primary of the current view and a backup down: no validator proposes.
    let primary = network.primary_of(network.common_view(&ALL));
    let one = (primary + 1) % 4;
    let left = [(primary + 2) % 4, (primary + 3) % 4];
    network.kill(primary);
    network.kill(one);
    let waiting = signer.sign_many(2);
    assert_at_a_standstill(&mut network, left, &waiting);
    network.start(primary);
    assert_all_committed(&network, &waiting, &[left[0], left[1], primary]);
    all.extend(waiting.iter().map(|signed| signed.id));
    network.start(one);

    let places = network.equal_chains(&ALL).places();
    assert_eq!(places.into_keys().collect::<HashSet<_>>(), all.into_iter().collect());
    for index in ALL {
        network.wait_until_ready(index);
    }
}

#[test]
fn a_transaction_that_expires_before_it_can_be_proposed_is_reported_expired_and_never_ordered() {
    let mut network = Network::running(4);
    let primary = network.primary(0);
    let [one, left] = [(primary + 1) % 4, (primary + 3) % 4];
    network.kill(primary);
    network.kill(one);

    let valid_until = now().plus_ms(3_000);
    let payload = Payload::Data(b"expires".to_vec());
    let key = SecretKey::generate();
    let transaction = Transaction::sign(&network.genesis().chain_id(), &key, 1, valid_until, payload);
    let signed = SignedTransaction::of(&transaction);
    let (rpc, hex) = (network.rpc(left), signed.hex.clone());
    let waiting = std::thread::spawn(move || rpc.submit(&hex, Wait::Committed, 60_000));
    let rpc = network.rpc(left);
    wait_until("it waits to be ordered", || rpc.transaction(&signed.id) == TransactionStatus::Pending);
    wait_until("its time is over", || now() > valid_until);

    // There are no new transactions: the network must order an empty block to prove the expiry.
    network.start(primary);
    network.start(one);
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.receipt), (TransactionStatus::Expired, None));
    let chain = network.equal_chains(&ALL);
    assert!(chain.blocks().last().unwrap().header.timestamp_ms > valid_until.0, "a block proves it");
    assert!(chain.places().is_empty(), "it is in none");
}
