//! Work for many request timeouts must not cause a view change.

use std::time::Instant;

use quorate_api::ViewChangeCounts;
use quorate_e2e::{Network, Signer, submit_until_taken};

use crate::others;

/// Milliseconds between two blocks, and the number of blocks in the pool: ten seconds, which is
/// five request timeouts, and less than the eight in which a primary may first order older
/// transactions.
const BATCH_DELAY_MS: u64 = 100;
const BLOCKS: usize = 100;

/// Transactions that fit into a block by their bytes. By number, far more would fit, so no block is
/// ever full and each waits for its batch delay, on any machine.
const IN_A_BLOCK: usize = 20;
const BODY_BYTES: u64 = 4096;

/// Payload size with which exactly this many fit.
const PAYLOAD_BYTES: usize = 80;

/// Minimum duration in request timeouts: a shorter run is not an overload.
const LEAST: u32 = 4;

#[test]
fn a_pool_of_ten_seconds_is_worked_off_in_one_view() {
    let mut network = Network::testnet_with(4, |parameters| {
        parameters.block.max_transactions = 5000;
        parameters.block.max_body_bytes = BODY_BYTES;
        parameters.block.max_transaction_bytes = BODY_BYTES;
        parameters.consensus.batch_delay_ms = BATCH_DELAY_MS;
    });
    network.start_all();
    let all = others(&network, &[]);
    let count = BLOCKS * IN_A_BLOCK;
    let transactions = Signer::new(network.genesis(), 40, PAYLOAD_BYTES).sign_many(count);
    let start = Instant::now();
    submit_until_taken(network.rpc(1).address(), &transactions);
    network.wait_until_committed(&all, count);
    let took = start.elapsed();
    let chain = network.equal_chains(&all);
    println!("{count} transactions were worked off in {} blocks in {} ms", chain.height(), took.as_millis());
    assert!(took >= LEAST * network.request_timeout(), "{count} transactions were not an overload: {took:?}");
    assert_eq!(chain.places().len(), count);
    assert!(chain.height() >= BLOCKS as u64, "no more fit a block");

    for index in &all {
        let state = network.rpc(*index).consensus();
        assert_eq!((state.view, state.active), (0, true), "the first view continues");
        assert_eq!(state.view_change_counts, ViewChangeCounts::default());
    }
    network.assert_no_evidence(&all);
}
