//! `quorate node`, as far as it does not start.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::program::{Run, Scratch, command, finish, quorate};

/// A network with ports that no other test uses; only its files matter, except where a test says so.
fn network(scratch: &Scratch) -> PathBuf {
    let net = scratch.path("net");
    quorate(["testnet", "--validators", "4", "--output", net.to_str().unwrap()]).ok();
    net
}

fn start(home: &Path) -> Run {
    start_with(home, &[], &[])
}

/// Any port will do, so that no test waits for another one's.
fn start_with(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = command(["node", "--log-level", "off", "--home", home.to_str().unwrap()]);
    command.args(arguments).env("QUORATE_RPC__LISTEN", "127.0.0.1:0");
    command.env("QUORATE_P2P__LISTEN", "/ip4/127.0.0.1/tcp/0").envs(variables.iter().copied());
    finish(&mut command)
}

#[test]
fn a_validator_without_its_journal_does_not_start() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    let (ledger, journal) = (home.join("data/ledger.redb"), home.join("data/journal.redb"));

    let error = start_with(&home, &["--init"], &[]).error();
    assert!(error.contains("without --init"), "{error}");

    fs::remove_file(&journal).unwrap();
    let error = start(&home).error();
    assert!(
        error.contains("no journal")
            && error.contains("An older copy of a journal must never take its place"),
        "{error}"
    );
    assert!(error.contains("no new key can take its place"), "{error}");
    assert!(!journal.exists(), "a lost journal is not replaced by an empty one");
    let error = start_with(&home, &["--init"], &[]).error();
    assert!(error.contains("exists already"), "{error}");
    assert!(!journal.exists(), "not even with --init");

    fs::remove_file(&ledger).unwrap();
    let error = start(&home).error();
    assert!(error.contains("neither ledger") && error.contains("--init"), "{error}");
}

#[test]
fn a_validator_without_its_ledger_is_told_to_restore_one() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    fs::remove_file(home.join("data/ledger.redb")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("restore a copy of the ledger"), "{error}");
}

#[test]
fn data_of_others_is_refused() {
    let scratch = Scratch::new();
    let net = network(&scratch);
    let home = net.join("validator-0");
    fs::copy(net.join("validator-1/data/journal.redb"), home.join("data/journal.redb")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("journal.redb") && error.contains("holds the promises of"), "{error}");

    let other = scratch.path("other");
    quorate(["testnet", "--validators", "4", "--output", other.to_str().unwrap()]).ok();
    let home = net.join("validator-2");
    fs::copy(other.join("validator-2/data/ledger.redb"), home.join("data/ledger.redb")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("ledger.redb") && error.contains("chain"), "{error}");

    let home = net.join("validator-3");
    fs::write(home.join("data/ledger.redb"), vec![0x5a; 100_000]).unwrap();
    let error = start(&home).error();
    assert!(error.contains("ledger.redb"), "{error}");
}

#[test]
fn a_key_that_is_no_validators_is_refused() {
    let scratch = Scratch::new();
    let net = network(&scratch);
    let home = net.join("validator-0");
    fs::remove_file(home.join("key.pem")).unwrap();
    quorate(["key", "new", home.join("key.pem").to_str().unwrap(), "--plain"]).ok();
    let error = start(&home).error();
    assert!(error.contains("no validator of"), "{error}");

    fs::remove_file(home.join("key.pem")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("key.pem"), "{error}");
}

#[test]
fn a_bad_config_or_genesis_is_one_message() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");

    let error = start_with(&home, &[], &[("QUORATE_RPC__LISTEN", "localhost")]).error();
    assert!(error.contains("rpc.listen"), "{error}");
    let error = start_with(&home, &[], &[("QUORATE_P2P__LISTN", "x")]).error();
    assert!(error.contains("QUORATE_P2P__LISTN"), "{error}");
    let error = start_with(&home, &[], &[("QUORATE_P2P_LISTEN", "x")]).error();
    assert!(error.contains("write QUORATE_P2P__LISTEN"), "{error}");
    let level = finish(&mut command(["node", "--home", home.to_str().unwrap(), "--log-level", "a=b=c"]));
    let error = level.error();
    assert!(error.contains("--log-level"), "{error}");

    let genesis = fs::read_to_string(home.join("genesis.toml")).unwrap();
    fs::write(home.join("genesis.toml"), genesis.replace("window = 8", "window = 0")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("consensus.window"), "{error}");

    fs::write(home.join("config.toml"), "[rpc]\nmax_batch = \"many\"\n").unwrap();
    let error = start(&home).error();
    assert!(error.contains("config.toml") && error.contains("rpc.max_batch"), "{error}");
    fs::remove_file(home.join("config.toml")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("quorate testnet"), "{error}");
}

#[test]
fn a_port_that_is_in_use_is_named() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap();
    let error = start_with(&home, &[], &[("QUORATE_RPC__LISTEN", &address.to_string())]).error();
    assert!(error.contains(&address.to_string()), "{error}");
    let p2p = format!("/ip4/127.0.0.1/tcp/{}", address.port());
    let error = start_with(&home, &[], &[("QUORATE_P2P__LISTEN", &p2p)]).error();
    assert!(error.contains(&p2p), "{error}");
}
