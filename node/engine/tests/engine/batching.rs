//! When the primary proposes, and how much (R7, R18).

use std::time::Duration;

use quorate_engine::Event;

use crate::net::{Net, id};

fn proposals(net: &Net) -> usize {
    net.log.iter().filter(|(_, to, parcel)| *to == id(1) && parcel.is_proposal()).count()
}

#[test]
fn an_idle_primary_proposes_at_once() {
    let mut net = Net::of(4);
    net.submit(0, &net.transaction(1)).unwrap();
    assert_eq!(proposals(&net), 1);
}

#[test]
fn a_busy_primary_waits_the_longer_the_more_is_in_flight() {
    let mut net = Net::with(4, |parameters| parameters.consensus.batch_delay_ms = 20);
    net.lose(|_, _, parcel| parcel.is_vote());
    for (nonce, waited_ms) in [(1, 0), (2, 20), (3, 40)] {
        let before = proposals(&net);
        net.submit(0, &net.transaction(nonce)).unwrap();
        if waited_ms > 0 {
            assert_eq!(proposals(&net), before, "block {nonce} waits for the batch delay");
            net.pass(Duration::from_millis(waited_ms - 1));
            assert_eq!(proposals(&net), before);
            net.pass(Duration::from_millis(1));
        }
        assert_eq!(proposals(&net), before + 1, "block {nonce}");
    }
}

#[test]
fn a_full_block_does_not_wait() {
    let mut net = Net::with(4, |parameters| {
        parameters.block.max_transactions = 3;
        parameters.consensus.batch_delay_ms = 100;
    });
    net.lose(|_, _, parcel| parcel.is_vote());
    net.submit(0, &net.transaction(1)).unwrap();
    net.submit(0, &net.transaction(2)).unwrap();
    net.submit(0, &net.transaction(3)).unwrap();
    assert_eq!(proposals(&net), 1);
    net.submit(0, &net.transaction(4)).unwrap();
    assert_eq!(proposals(&net), 2);
}

#[test]
fn no_more_blocks_are_in_flight_than_the_window_has() {
    let mut net = Net::with(4, |parameters| {
        parameters.block.max_transactions = 1;
        parameters.consensus.window = 2;
    });
    net.lose(|_, _, parcel| parcel.is_commit());
    let transactions = (0..10).map(|nonce| net.transaction(nonce)).collect();
    net.handle(0, [Event::Gossiped(transactions)]);
    net.pass(Duration::from_millis(500));
    assert_eq!(net.overview(0).in_flight, 2);
    assert_eq!(net.overview(0).mempool.transactions, 10);
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.height(2), 10, "the rest follows as soon as there is room");
}

#[test]
fn a_block_is_as_large_as_the_limits_say() {
    let mut net = Net::with(4, |parameters| {
        parameters.block.max_transaction_bytes = 256;
        parameters.block.max_body_bytes = 300;
    });
    let transactions: Vec<_> = (0..6).map(|nonce| net.transaction(nonce)).collect();
    assert_eq!(transactions[0].bytes(), 126);
    net.handle(0, [Event::Gossiped(transactions)]);
    net.pass(Duration::from_secs(1));
    let counts: Vec<u32> = net.nodes[3].committed.iter().map(|block| block.body().count()).collect();
    assert_eq!(counts, [2, 2, 2]);
}
