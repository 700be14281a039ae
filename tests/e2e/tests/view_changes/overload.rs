//! More than the network orders in many request timeouts is no reason to leave a view.

use std::time::Instant;

use quorate_api::ViewChanges;
use quorate_e2e::{Network, Signer, submit_until_taken};

use crate::others;

/// Milliseconds between two blocks, and blocks that the pool takes: ten seconds, which is five request timeouts,
/// and less than the eight in which a primary may order what was there first.
const BATCH_DELAY_MS: u64 = 100;
const BLOCKS: usize = 100;

/// Transactions that fit a block by their bytes. By their number far more would, so no block is ever full and
/// each waits for its batch delay, however fast the machine is.
const IN_A_BLOCK: usize = 20;
const BODY_BYTES: u64 = 4096;

/// Bytes of payload with which just so many fit.
const PAYLOAD_BYTES: usize = 80;

/// Request timeouts that it must take at least: less is no overload.
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
    assert!(took >= LEAST * network.request_timeout(), "{count} transactions were no overload: {took:?}");
    assert_eq!(chain.places().len(), count);
    assert!(chain.height() >= BLOCKS as u64, "no more fit a block");

    for index in &all {
        let state = network.rpc(*index).consensus();
        assert_eq!((state.view, state.active), (0, true), "the first view goes on");
        assert_eq!(state.view_changes, ViewChanges::default());
    }
    network.assert_nobody_lied(&all);
}
