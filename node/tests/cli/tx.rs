//! `quorate tx` and its relatives, as far as they need no network.

use std::net::TcpListener;

use quorate_genesis::TestNetwork;
use quorate_ledger::{Payload, Transaction, from_hex};
use serde_json::Value;

use crate::program::{Run, Scratch, quorate};

fn decode(signed: &Value) -> Transaction {
    let transaction =
        Transaction::from_bytes(&from_hex(signed["transaction"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(signed["id"], transaction.id().to_string());
    transaction
}

#[test]
fn a_transaction_is_signed_for_the_chain_of_the_genesis() {
    let scratch = Scratch::new();
    let network = TestNetwork::seeded(4, 1);
    let genesis = scratch.write("genesis.toml", &network.genesis().to_toml());
    let key = scratch.text("key.pem");
    let public = quorate(["key", "new", &key, "--plain", "--output", "json"]).json()["public_key"].clone();
    let sign = |arguments: &[&str]| -> Run {
        quorate([&["tx", "sign", "--genesis", &genesis, "--output", "json"], arguments].concat())
    };

    let run = sign(&["--key", &key, "--data", "hello", "--nonce", "5"]);
    assert_eq!(run.err, "", "a transaction of a given key needs no remark");
    let transaction = decode(&run.json());
    assert_eq!(transaction.sender.to_string(), public);
    assert_eq!(transaction.nonce, 5);
    assert_eq!(transaction.payload, Payload::Data(b"hello".to_vec()));
    assert!(transaction.verify(&network.genesis().chain_id()).is_ok());

    let fresh = sign(&["--data-hex", "0x00ff"]);
    assert!(fresh.err.contains("a new key that is not stored"), "{fresh:?}");
    assert_eq!(decode(&fresh.json()).payload, Payload::Data(vec![0, 0xff]));

    let file = scratch.write("payload", "from a file");
    let transaction = decode(&sign(&["--data-file", &file]).json());
    assert_eq!(transaction.payload, Payload::Data(b"from a file".to_vec()));

    let error = sign(&["--data-hex", "0xFF"]).error();
    assert!(error.contains("--data-hex"), "{error}");
    let error = sign(&["--data", "x", "--valid-for", "1h"]).error();
    assert!(error.contains("--valid-for"), "{error}");
}

#[test]
fn a_node_that_is_not_there_is_an_error_with_its_address() {
    let url = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let id = format!("0x{}", "00".repeat(32));
    let commands: [&[&str]; 5] = [
        &["tx", "send", "--data", "x", "--timeout", "1s"],
        &["tx", "status", &id],
        &["tx", "receipt", &id],
        &["block", "show"],
        &["block", "list"],
    ];
    for arguments in commands {
        let error = quorate([arguments, &["--rpc", &url]].concat()).error();
        assert!(error.contains(&url), "{arguments:?}: {error}");
    }
    let status = quorate(["status", "--rpc", &url]);
    assert_eq!(status.code, 3, "that a node does not answer is an answer: {status:?}");
    assert!(status.out.contains(&url), "{status:?}");
}

#[test]
fn what_is_no_transaction_is_not_sent() {
    let scratch = Scratch::new();
    let genesis = scratch.write("genesis.toml", &TestNetwork::seeded(4, 1).genesis().to_toml());
    let error = quorate(["tx", "send", "--genesis", &genesis, "--transaction", "0x1234"]).error();
    assert!(error.contains("tx sign"), "{error}");
}

#[test]
fn a_bench_without_a_network_signs_nothing() {
    let scratch = Scratch::new();
    let error = quorate(["bench", "--network", &scratch.text("network.json")]).error();
    assert!(error.contains("network.json"), "{error}");
    let net = scratch.text("net");
    quorate(["testnet", "--validators", "1", "--base-rpc-port", "1", "--output", &net]).ok();
    let error = quorate(["bench", "--network", &net]).error();
    assert!(error.contains("does the network run") && !error.contains("signing"), "{error}");
}
