//! `quorate testnet`.

use std::collections::BTreeSet;
use std::path::Path;

use quorate_genesis::Genesis;
use quorate_ledger::SecretKey;
use serde_json::Value;

use crate::program::{Scratch, mode, quorate};

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_validator_gets_a_home_of_its_own() {
    let scratch = Scratch::new();
    let net = scratch.path("net");
    let printed =
        quorate(["testnet", "--validators", "5", "--name", "five", "--output", net.to_str().unwrap()]).ok();
    assert_eq!(scratch.entries(), ["net"], "nothing else is left behind");

    let network: Value = serde_json::from_str(&read(&net.join("network.json"))).unwrap();
    let shared = read(&net.join(network["genesis"].as_str().unwrap()));
    let genesis = Genesis::parse(&shared).unwrap();
    assert_eq!(genesis.name(), "five");
    let validators = network["validators"].as_array().unwrap();
    assert_eq!(validators.len(), 5);

    let mut addresses = BTreeSet::new();
    for (index, (validator, known)) in validators.iter().zip(genesis.validators()).enumerate() {
        let text = |field: &str| validator[field].as_str().unwrap().to_owned();
        assert_eq!(text("name"), format!("validator-{index}"));
        assert_eq!(text("name"), known.name);
        assert_eq!(text("public_key"), known.public_key.to_string(), "committee order");
        assert!(printed.contains(&text("rpc")), "{printed}");

        let home = net.join(text("home"));
        assert_eq!(read(&home.join("genesis.toml")), shared);
        let key_path = home.join("key.pem");
        assert_eq!(mode(&key_path), 0o600);
        let key = SecretKey::from_pem(&read(&key_path), None).unwrap();
        assert_eq!(key.public(), known.public_key);
        let governance_path = home.join("governance.pem");
        assert_eq!(mode(&governance_path), 0o600);
        let governance_key = SecretKey::from_pem(&read(&governance_path), None).unwrap();
        assert_eq!(governance_key.public(), known.governance_key);
        assert!(known.has_own_governance_key());
        for file in ["data/ledger.redb", "data/journal.redb"] {
            assert!(home.join(file).is_file(), "{file}");
        }
        let config: toml::Table = read(&home.join("config.toml")).parse().unwrap();
        let rpc = config["rpc"]["listen"].as_str().unwrap();
        assert_eq!(text("rpc"), format!("http://{rpc}"));
        let p2p = config["p2p"]["listen"][0].as_str().unwrap();
        assert!(text("p2p").starts_with(&format!("{p2p}/p2p/16Uiu2HA")), "{validator}");
        addresses.extend([rpc.to_owned(), p2p.to_owned()]);
    }
    assert_eq!(addresses.len(), 10, "each validator has its own ports");
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("net")).unwrap();
    scratch.write("net/file", "mine");
    let error = quorate(["testnet", "--output", &scratch.text("net")]).error();
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(scratch.entries(), ["net"]);
    assert_eq!(read(&scratch.path("net/file")), "mine");
}

#[test]
fn an_empty_directory_is_filled() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("net")).unwrap();
    quorate(["testnet", "--validators", "1", "--output", &scratch.text("net")]).ok();
    assert!(scratch.path("net/network.json").is_file());
}

#[test]
fn impossible_networks_leave_nothing_behind() {
    let scratch = Scratch::new();
    let net = scratch.text("net");
    let cases: [(&[&str], &str); 6] = [
        (&["--validators", "0"], "validators"),
        (&["--validators", "32"], "validators"),
        (&["--name", "No Name"], "name"),
        (&["--base-p2p-port", "8546"], "overlap"),
        (&["--base-rpc-port", "65534"], "--base-rpc-port"),
        (&["--host", "0.0.0.0"], "--host"),
    ];
    for (arguments, reason) in cases {
        let error = quorate([&["testnet", "--output", &net], arguments].concat()).error();
        assert!(error.contains(reason), "{arguments:?}: {error}");
        assert!(scratch.entries().is_empty(), "{arguments:?} left {:?}", scratch.entries());
    }
}

#[test]
fn observers_get_homes_without_a_journal_and_validators_list_them() {
    let scratch = Scratch::new();
    let net = scratch.path("net");
    let path = net.to_str().unwrap();
    quorate(["testnet", "--observers", "2", "--output", path]).ok();
    let network: Value = serde_json::from_str(&read(&net.join("network.json"))).unwrap();
    let observers = network["observers"].as_array().unwrap();
    assert_eq!((network["validators"].as_array().unwrap().len(), observers.len()), (4, 2));
    let mut keys = Vec::new();
    for (index, observer) in observers.iter().enumerate() {
        assert_eq!(observer["name"], format!("observer-{index}"));
        let home = net.join(observer["home"].as_str().unwrap());
        assert!(home.join("data/ledger.redb").is_file() && !home.join("data/journal.redb").exists());
        assert!(!home.join("governance.pem").exists());
        let key = SecretKey::from_pem(&read(&home.join("key.pem")), None).unwrap().public().to_string();
        assert_eq!(observer["public_key"], key);
        let config: toml::Table = read(&home.join("config.toml")).parse().unwrap();
        assert_eq!(config["node"]["role"].as_str(), Some("observer"));
        keys.push(key);
    }
    for index in 0..4 {
        let config = read(&net.join(format!("validator-{index}/config.toml")));
        let config: toml::Table = config.parse().unwrap();
        let listed = config["p2p"]["observers"].as_array().unwrap();
        assert!(listed.iter().map(|key| key.as_str().unwrap()).eq(&keys), "{listed:?}");
    }
    // The same command at every start, also for a network that was made before there were observers.
    quorate(["testnet", "--observers", "2", "--if-missing", "--output", path]).ok();
    let many = quorate(["testnet", "--observers", "33", "--output", scratch.path("many").to_str().unwrap()]);
    assert!(many.error().contains("at most 32"));
}
