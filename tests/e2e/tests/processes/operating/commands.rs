//! The output of commands about a running network.

use std::fs;

use quorate_e2e::{Finished, Invocation, Network};
use serde_json::{Value, json};

const ALL: [usize; 4] = [0, 1, 2, 3];

#[test]
fn a_transaction_is_signed_sent_followed_and_verified_from_the_command_line() {
    let network = Network::running(4);
    let directory = network.directory().to_owned();
    let quorate =
        |line: &str| -> Finished { Invocation::new(line.split_whitespace()).current_dir(&directory).run() };
    let rpc = |index: usize| network.validators()[index].rpc.clone();

    quorate("key new client.pem --plain").expect_code(0);
    let signed = quorate("tx sign --genesis genesis.toml --key client.pem --data hello --output json").json();
    let (id, transaction) = (signed["id"].as_str().unwrap(), signed["transaction"].as_str().unwrap());
    let unknown = quorate(&format!("tx status {id} --rpc {} --output json", rpc(0)));
    assert_eq!(
        serde_json::from_str::<Value>(&unknown.expect_code(3).stdout).unwrap(),
        json!({ "status": "unknown" })
    );

    // Sent twice, to two nodes: both responses are about the same commit.
    let send = |index: usize| {
        let line =
            format!("tx send --transaction {transaction} --rpc {} --timeout 30s --output json", rpc(index));
        quorate(&line).json()
    };
    let (sent, again) = (send(0), send(3));
    assert_eq!((&sent["id"], &sent["status"]), (&json!(id), &json!("committed")));
    assert_eq!((&again["height"], &again["index"]), (&sent["height"], &sent["index"]));
    assert_eq!(sent["receipt"]["transaction"], json!(id));
    network.equal_chains(&ALL);

    let status = quorate(&format!("tx status {id} --rpc {} --output json", rpc(1))).json();
    assert_eq!(status, json!({ "status": "committed", "height": sent["height"], "index": sent["index"] }));
    let got = quorate(&format!("tx get {id} --rpc {} --output json", rpc(2))).json();
    assert_eq!(got["transaction"]["payload"], json!({ "kind": "data", "data": "0x68656c6c6f" }));
    let receipt = quorate(&format!("tx receipt {id} --rpc {} --genesis genesis.toml --output json", rpc(2)));
    fs::write(directory.join("receipt.json"), receipt.expect_code(0).stdout).unwrap();
    let proven = quorate("verify receipt.json --genesis genesis.toml --output json").json();
    assert_eq!((&proven["proven"], &proven["height"]), (&json!(true), &sent["height"]));

    let block = quorate(&format!("block show {} --rpc {} --output json", sent["height"], rpc(3))).json();
    assert_eq!(block["hash"], proven["block"]);
    let listed = block["transactions"].as_array().unwrap();
    assert!(listed.iter().any(|transaction| transaction["id"] == json!(id)), "{block}");
    let same =
        quorate(&format!("block show {} --rpc {} --output json", block["hash"].as_str().unwrap(), rpc(0)));
    assert_eq!(same.json()["header"], block["header"]);
    let list = quorate(&format!("block list --from 0 --rpc {} --output json", rpc(0))).json();
    let heights: Vec<u64> = list["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block["header"]["height"].as_u64().unwrap())
        .collect();
    assert!(heights.iter().copied().eq(0..heights.len() as u64) && heights.len() > 1, "{heights:?}");
    quorate(&format!("block show 1000000 --rpc {} --output json", rpc(0))).expect_code(3);
}

#[test]
fn a_fresh_key_is_good_enough_and_the_human_tables_name_what_they_show() {
    let network = Network::running(4);
    let rpc = &network.validators()[1].rpc;
    let send = ["tx", "send", "--rpc", rpc, "--timeout", "30s"];
    let sent = Invocation::new(send).arg("--data=hello").run().expect_code(0);
    assert!(sent.stdout.contains("committed at height") && sent.stderr.contains("new key"), "{sent}");
    let binary = Invocation::new(send).arg("--data-hex=0xff00").arg("--wait=accepted").run().expect_code(0);
    assert!(binary.stdout.contains("status"), "{binary}");

    let status = Invocation::new(["status", "--network"]).arg(network.directory()).run().expect_code(0);
    for validator in network.validators() {
        assert!(
            status.stdout.contains(&validator.name) && status.stdout.contains(&validator.rpc),
            "{status}"
        );
    }
    let list = Invocation::new(["block", "list", "--rpc", rpc]).run().expect_code(0);
    assert!(list.stdout.starts_with("height") && list.stdout.contains("0x"), "{list}");
}

#[test]
fn status_shows_nodes_that_respond_and_nodes_that_do_not() {
    let mut network = Network::running(4);
    network.order_one(0);
    let file = network.directory().join("network.json");
    let ask = || Invocation::new(["status", "--output", "json", "--network"]).arg(&file).run();

    let all = ask().json();
    let primary = network.primary(0);
    for (index, node) in all.as_array().unwrap().iter().enumerate() {
        assert_eq!((&node["ready"], &node["error"]), (&json!(true), &Value::Null));
        assert_eq!(node["status"]["name"], json!(network.validators()[index].name));
        assert_eq!(node["status"]["index"], json!(index));
        assert_eq!(node["status"]["peers_connected"], json!(3));
        assert_eq!(node["consensus"]["primary"], json!(primary));
    }

    let gone = (primary + 1) % 4;
    network.kill(gone);
    let without: Value = serde_json::from_str(&ask().expect_code(3).stdout).unwrap();
    for (index, node) in without.as_array().unwrap().iter().enumerate() {
        assert_eq!(node["error"].is_string(), index == gone, "{without}");
    }
}

#[test]
fn a_wait_that_is_not_reached_is_not_a_success() {
    let mut network = Network::running(4);
    network.stop(2);
    network.stop(3);
    let rpc = network.validators()[0].rpc.clone();
    let send = |wait: &str| {
        Invocation::new(["tx", "send", "--rpc", &rpc, "--data", "x", "--timeout", "1s", "--output", "json"])
            .arg(format!("--wait={wait}"))
            .run()
    };
    let answer: Value = serde_json::from_str(&send("committed").expect_code(3).stdout).unwrap();
    assert_eq!(answer["status"], json!("pending"));
    assert_eq!(send("accepted").json()["status"], json!("pending"));
}

#[test]
fn bench_reports_what_scripts_read() {
    let network = Network::running(4);
    let bench = |arguments: &[&str]| {
        let mut bench = Invocation::new(["bench", "--output", "json", "--duration", "2s", "--network"]);
        bench = bench.arg(network.directory().join("network.json"));
        arguments.iter().fold(bench, |bench, argument| bench.arg(argument)).run().json()
    };
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"));
    let reports = [bench(&["--rate=100"]), bench(&["--saturate", "--in-flight=500", "--baseline"])];
    for report in &reports {
        assert!(number(&report["committed_tx_per_second"]) > 0.0, "{report}");
        assert!(number(&report["cpu_seconds_per_transaction"]) > 0.0, "{report}");
        let [p50, p95, p99] = ["p50", "p95", "p99"].map(|name| number(&report["latency_ms"][name]));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99, "{report}");
    }
    assert!(number(&reports[1]["baseline"]["verification_bound_tx_per_second"]) > 0.0);
    network.equal_chains(&ALL);
}
