//! Operators' tasks with the chain's data: `quorate ledger`.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_e2e::{Finished, Invocation, Load, Network, wait_until};
use serde_json::Value;

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Transactions reported `committed` between two backups.
const SOME: usize = 40;

fn ledger(arguments: &[&str]) -> Finished {
    Invocation::new([&["ledger"], arguments].concat()).run()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn url(network: &Network, index: usize) -> String {
    network.validators()[index].rpc.clone()
}

fn home(network: &Network, index: usize) -> PathBuf {
    network.validators()[index].home.clone()
}

fn export(network: &Network, index: usize, file: &Path) -> Value {
    let (genesis, node) = (text(network.genesis_file()), url(network, index));
    ledger(&["export", text(file), "--rpc", &node, "--genesis", genesis, "--output", "json"]).json()
}

fn order(network: &Network, through: usize, count: usize) {
    for _ in 0..count {
        network.order_one(through);
    }
}

#[test]
fn a_network_at_work_is_backed_up_and_a_lost_ledger_comes_back_from_it() {
    let mut network = Network::running(4);
    let genesis = network.genesis_file().to_owned();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain.export");
    let load =
        Load::paced(network.genesis(), &network.rpc_addresses(ALL), std::time::Duration::from_millis(20));
    load.wait_for_more(SOME);
    let first = export(&network, 0, &file);
    let height = first["height"].as_u64().unwrap();
    assert!(height > 0 && first["added_blocks"] == first["height"], "{first}");
    // Another node continues the export where the first node's blocks end.
    load.wait_for_more(SOME);
    let second = export(&network, 1, &file);
    assert_eq!(second["added_blocks"].as_u64().unwrap(), second["height"].as_u64().unwrap() - height);
    assert!(second["added_blocks"].as_u64().unwrap() > 0 && second["cut_bytes"] == 0, "{second}");
    load.finish();
    let last = network.common_height(&ALL);
    assert_eq!(export(&network, 2, &file)["height"], last);
    assert_eq!(export(&network, 2, &file)["added_blocks"], 0);

    let verified = ledger(&["verify", text(&file), "--genesis", text(&genesis), "--output", "json"]).json();
    assert_eq!((&verified["verified"], &verified["height"]), (&Value::from(true), &Value::from(last)));
    let same = ledger(&["compare", text(&file), &url(&network, 3), "--genesis", text(&genesis)]);
    assert!(same.expect_code(0).stdout.starts_with("SAME"));

    // A running node locks its files; the error says how to read them.
    let running = home(&network, 0);
    ledger(&["verify", "--home", text(&running)]).expect_error(&["--rpc URL"]);
    ledger(&["import", text(&file), "--home", text(&running)]).expect_error(&["stop the node"]);

    // The disk with the ledger is lost.
    let lost = 3;
    network.stop(lost);
    let data = home(&network, lost);
    fs::remove_file(data.join("data/ledger.redb")).unwrap();
    let imported = ledger(&["import", text(&file), "--home", text(&data), "--output", "json"]).json();
    assert_eq!((&imported["height"], &imported["added_blocks"]), (&last.into(), &last.into()));
    let again = ledger(&["import", text(&file), "--home", text(&data), "--output", "json"]).json();
    assert_eq!((&again["height"], &again["added_blocks"]), (&last.into(), &0.into()));
    assert!(ledger(&["verify", "--home", text(&data)]).expect_code(0).stdout.starts_with("VERIFIED"));
    let same = ledger(&["compare", text(&data), &url(&network, 0)]);
    assert!(same.expect_code(0).stdout.starts_with("SAME"));
    let of_home = directory.path().join("of-home.export");
    ledger(&["export", text(&of_home), "--home", text(&data)]).expect_code(0);
    let same = ledger(&["compare", text(&of_home), text(&file), "--genesis", text(&genesis)]);
    assert!(same.expect_code(0).stdout.starts_with("SAME"));
    network.start(lost);
    network.wait_until_caught_up(lost, 0);
    // With one more validator down, its vote is needed.
    network.kill(1);
    order(&network, 0, 1);
    network.equal_chains(&[0, 2, lost]);
}

#[test]
fn a_new_validator_starts_from_an_export_instead_of_fetching_everything() {
    let mut network = Network::testnet(4);
    let (late, others) = (3, [0, 1, 2]);
    // It has a key and a place in the genesis, and has never run.
    fs::remove_dir_all(home(&network, late).join("data")).unwrap();
    others.iter().for_each(|index| network.start(*index));
    order(&network, 0, 5);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("chain.export");
    let height = export(&network, 0, &file)["height"].as_u64().unwrap();

    let empty = home(&network, late);
    ledger(&["import", text(&file), "--home", text(&empty)]).expect_error(&["never run", "--init"]);
    assert!(!empty.join("data").exists(), "no data was created");
    let imported =
        ledger(&["import", text(&file), "--home", text(&empty), "--init", "--output", "json"]).json();
    assert_eq!(imported["height"], height);
    ledger(&["import", text(&file), "--home", text(&empty), "--init"]).expect_error(&["already exists"]);
    network.start(late);
    network.wait_until_caught_up(late, 0);
    network.kill(1);
    order(&network, 0, 1);
    network.equal_chains(&[0, 2, late]);
}

#[test]
fn what_is_damaged_or_another_networks_is_told_and_changes_nothing() {
    let mut network = Network::running(4);
    order(&network, 0, 3);
    let directory = tempfile::tempdir().unwrap();
    let (file, damaged) = (directory.path().join("chain.export"), directory.path().join("damaged.export"));
    export(&network, 0, &file);
    let genesis = text(network.genesis_file()).to_owned();
    let verify = |file: &Path, genesis: &str| ledger(&["verify", text(file), "--genesis", genesis]);

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let output = verify(&damaged, &genesis).expect_code(3).stdout;
    assert!(output.starts_with("NOT VERIFIED"), "{output}");
    let rpc = url(&network, 0);
    let going_on = ledger(&["export", text(&damaged), "--rpc", &rpc, "--genesis", &genesis]);
    going_on.expect_error(&["cannot be continued"]);
    assert_eq!(fs::read(&damaged).unwrap(), bytes, "it is not changed");

    let other = Network::testnet(4);
    let others = text(other.genesis_file());
    assert!(verify(&file, others).expect_code(3).stdout.contains("belongs to chain"));
    let own = home(&other, 0);
    ledger(&["import", text(&file), "--home", text(&own)]).expect_error(&["belongs to chain"]);
    ledger(&["export", text(&file), "--home", text(&own)]).expect_error(&["belongs to chain"]);
    let precious = directory.path().join("letters");
    fs::write(&precious, "my letters").unwrap();
    ledger(&["export", text(&precious), "--rpc", &rpc, "--genesis", &genesis])
        .expect_error(&["not a Quorate export"]);
    assert_eq!(fs::read(&precious).unwrap(), b"my letters");
    let nowhere = directory.path().join("nowhere");
    ledger(&["export", text(&nowhere), "--rpc", "http://127.0.0.1:1", "--genesis", &genesis])
        .expect_error(&["does the node run"]);
    assert!(!nowhere.exists(), "no file is created if the node does not respond");

    // An incomplete record, as after a power cut, is removed and written again.
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 100]).unwrap();
    assert!(verify(&file, &genesis).expect_code(3).stdout.contains("ends within a record"));
    assert!(export(&network, 0, &file)["cut_bytes"].as_u64().unwrap() > 0);
    wait_until("the export is complete again", || {
        export(&network, 0, &file);
        verify(&file, &genesis).code == Some(0)
    });
    network.stop(0);
}
