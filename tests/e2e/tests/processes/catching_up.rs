//! Validators that join late.

use quorate_api::{BlockJson, Wait};
use quorate_e2e::{Network, Signer, scaled, wait_until};
use serde_json::json;

/// More blocks than the pipeline's window and than one answer to a question for blocks holds.
const BLOCKS: usize = 300;

#[test]
fn a_validator_that_starts_late_catches_up_by_certified_blocks_and_then_takes_part() {
    let mut network = Network::testnet(4);
    // The first view's primary is needed; any other may be late.
    let late = 3;
    for index in 0..late {
        network.start(index);
    }
    let mut signer = Signer::new(network.genesis(), 3, 64);
    let rpc = network.rpc(0);
    let blocks = scaled(BLOCKS) as u64;
    // One after the other, each in a block of its own.
    for _ in 0..4 * blocks {
        if rpc.head().height >= blocks {
            break;
        }
        rpc.submit(&signer.sign().hex, Wait::Committed, 30_000).unwrap();
    }
    assert!(rpc.head().height >= blocks);

    network.start(late);
    network.wait_until_ready(late);
    let chain = network.equal_chains(&[0, 1, 2, late]);
    assert!(chain.height() >= blocks);

    // With a second one gone, the late one's vote is needed.
    network.kill(1);
    network.order_one(late);
    let height = network.common_height(&[0, 2, late]);
    let block: Option<BlockJson> =
        network.rpc(late).call("chain_block", &json!({ "at": height, "full": false })).unwrap();
    let signers = block.unwrap().certificate.unwrap().signers;
    assert_eq!(signers, [0, 2, 3], "exactly those who were there");
    network.start(1);
    let rpc = network.rpc(1);
    wait_until("the one that was gone is level again", || rpc.head().height >= height);
}
