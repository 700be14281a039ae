//! Validators that join late.

use quorate_api::{BlockJson, Wait};
use quorate_e2e::{Network, Signer, scaled};
use serde_json::json;

/// More blocks than the window, and more than one response to a request for blocks contains.
const BLOCKS: usize = 300;

#[test]
fn the_first_primary_that_starts_late_catches_up_by_certified_blocks_and_then_takes_part() {
    let mut network = Network::testnet(4);
    // The primary of the first view: without it, the network begins with a view change.
    let (late, others) = (network.primary_of(0), [1, 2, 3]);
    assert_eq!(late, 0);
    for index in others {
        network.start(index);
    }
    let mut signer = Signer::new(network.genesis(), 3, 64);
    let rpc = network.rpc(1);
    let blocks = scaled(BLOCKS) as u64;
    // Each transaction is in a block of its own.
    for _ in 0..4 * blocks {
        if rpc.head().height >= blocks {
            break;
        }
        rpc.submit(&signer.sign().hex, Wait::Committed, 30_000).unwrap();
    }
    assert!(rpc.head().height >= blocks);
    assert!(network.common_view(&others) > 0, "another validator is the primary");

    network.start(late);
    network.wait_until_ready(late);
    let chain = network.equal_chains(&[0, 1, 2, 3]);
    assert!(chain.height() >= blocks);

    // With one more validator down, the vote of the late one is needed, in any view.
    let gone = 2;
    network.kill(gone);
    network.order_one(late);
    let height = network.common_height(&[0, 1, 3]);
    let block: Option<BlockJson> =
        network.rpc(late).call("chain_block", &json!({ "at": height, "full": false })).unwrap();
    let signers = block.unwrap().certificate.unwrap().signers;
    assert_eq!(signers, [0, 1, 3], "exactly the running validators");
    network.start(gone);
    network.wait_until_caught_up(gone, late);
    assert!(network.rpc(gone).head().height >= height);
}
