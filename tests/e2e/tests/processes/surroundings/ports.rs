//! Ports that another process uses.

use std::net::TcpListener;

use quorate_e2e::{Finished, Invocation, Network};

fn start(network: &Network, index: usize) -> Finished {
    Invocation::new(["node", "--home"]).arg(&network.validators()[index].home).run()
}

#[test]
fn a_busy_port_ends_the_start_with_its_address() {
    let mut network = Network::testnet(4);
    let validator = network.validators()[1].clone();

    let busy = TcpListener::bind(validator.rpc_address()).unwrap();
    start(&network, 1).expect_error(&["RPC", &validator.rpc_address().to_string()]);
    drop(busy);

    let busy = TcpListener::bind(validator.p2p_address()).unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", validator.p2p_address().port());
    start(&network, 1).expect_error(&["listen", &address]);
    drop(busy);

    // Neither failed start has done harm: with free ports the validator starts.
    network.start_all();
    network.order_one(1);
}

#[test]
fn the_same_validator_is_not_started_twice() {
    let mut network = Network::running(4);
    start(&network, 2).expect_error(&["ledger.redb", "in use by another process"]);
    network.order_one(2);
    assert!(network.is_running(2), "the first instance still runs");
}
