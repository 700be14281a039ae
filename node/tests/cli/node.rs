//! `quorate node`, as far as it does not start.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

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
    finish(&mut prepared(home, "off", arguments, variables))
}

fn prepared(home: &Path, log: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = command(["node", "--log-level", log, "--home", home.to_str().unwrap()]);
    command.args(arguments).env("QUORATE_RPC__LISTEN", "127.0.0.1:0");
    command.env("QUORATE_P2P__LISTEN", "/ip4/127.0.0.1/tcp/0").envs(variables.iter().copied());
    command
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
        error.contains("no journal") && error.contains("Never use an older copy of the journal"),
        "{error}"
    );
    assert!(error.contains("quorate validator renew"), "{error}");
    assert!(!journal.exists(), "a lost journal is not replaced by an empty one");
    let error = start_with(&home, &["--init"], &[]).error();
    assert!(error.contains("already exists"), "{error}");
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
    assert!(error.contains("journal.redb") && error.contains("holds the votes of"), "{error}");

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
fn a_node_without_its_key_does_not_start() {
    let scratch = Scratch::new();
    let net = network(&scratch);
    let home = net.join("validator-0");
    fs::copy(home.join("governance.pem"), home.join("key.pem")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("is the governance key of validator-0"), "{error}");

    fs::remove_file(home.join("key.pem")).unwrap();
    let error = start(&home).error();
    assert!(error.contains("key.pem"), "{error}");
}

/// A validator whose key is not in the committee follows the chain, and its journal stays as it is.
#[test]
fn a_validator_that_is_not_yet_a_member_follows() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    for file in ["key.pem", "data/ledger.redb", "data/journal.redb"] {
        fs::remove_file(home.join(file)).unwrap();
    }
    quorate(["key", "new", home.join("key.pem").to_str().unwrap(), "--plain"]).ok();
    let mut node = prepared(&home, "warn", &["--init"], &[]).spawn().unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.starts_with("validator 0x") && ready.contains("is ready"), "{ready}");
    let journal = fs::read(home.join("data/journal.redb")).unwrap();
    let rpc = ready.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let rpc = rpc.trim_end_matches(',');
    let shown = quorate(["explain", "--rpc", rpc]);
    assert!(shown.out.contains("not yet a member"), "{shown:?}");
    let pid = rustix::process::Pid::from_raw(node.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    node.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(node.wait().unwrap().success(), "{log}");
    assert!(log.contains("not yet a member"), "{log}");
    assert!(fs::read(home.join("data/journal.redb")).unwrap() == journal, "the journal is untouched");
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

/// Operators check before they restart: nothing may pass the check that the start refuses.
#[test]
fn what_a_start_refuses_the_check_refuses_alike() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    let check = |variable: (&str, &str)| {
        finish(command(["config", "check", "--home", home.to_str().unwrap()]).env(variable.0, variable.1))
    };
    let both = |variable: (&str, &str), words: &str| {
        for error in [check(variable).error(), start_with(&home, &[], &[variable]).error()] {
            assert!(error.contains(words), "{variable:?}: {words:?} is not in {error}");
        }
    };
    both(("QUORATE_P2P__LISTEN", "/ip4/127.0.0.1/udp/9000/quic-v1"), "p2p.listen contains");
    both(("QUORATE_P2P__LISTEN", "/dns/localhost/tcp/9000"), "without a host name");
    both(("QUORATE_P2P__ADVERTISE", "/ip4/0.0.0.0/tcp/9000"), "p2p.advertise contains");
    both(("QUORATE_P2P__BOOTSTRAP", "/ip4/10.0.0.1/tcp/0"), "p2p.bootstrap contains");
    both(("QUORATE_RPC__MAX_RESPONSE_BYTES", "10"), "rpc.max_response_bytes");
    both(("QUORATE_RPC__ALLOWED_ORIGINS", "[\"https://a.example\""), "QUORATE_RPC__ALLOWED_ORIGINS");
    both(("QUORATE_ADMIN__SOCKET", "config.toml"), "exists and is not a socket");
    both(("QUORATE_ADMIN__SOCKET", "nowhere/admin.sock"), "nowhere");
    both(("QUORATE_FILES__KEY", "lost.pem"), "lost.pem");
    both(("QUORATE_NODE__ROLE", "observer"), "is the key of validator-0");
    assert!(check(("QUORATE_RPC__LISTEN", "")).out.contains("are valid"), "an empty variable is none");
}

/// The members may remove a validator of the genesis. Those that list its key still serve blocks to it.
#[test]
fn the_key_of_a_validator_of_the_genesis_may_be_listed_as_an_observer() {
    let scratch = Scratch::new();
    let net = network(&scratch);
    let home = net.join("validator-0");
    let file: serde_json::Value =
        serde_json::from_slice(&fs::read(net.join("network.json")).unwrap()).unwrap();
    let key = file["validators"][1]["public_key"].as_str().unwrap();
    let listed = [("QUORATE_P2P__OBSERVERS", format!("[\"{key}\"]"))];
    let check = finish(command(["config", "check", "--home", home.to_str().unwrap()]).envs(listed));
    assert!(check.out.contains("are valid"), "{check:?}");
}

/// Scripts leave a choice to the program by an empty variable; it silenced the log.
#[test]
fn a_wrong_variable_of_an_option_is_named_and_an_empty_one_is_none() {
    let scratch = Scratch::new();
    let home = network(&scratch).join("validator-0");
    fs::remove_file(home.join("data/journal.redb")).unwrap();
    let with = |name: &str, value: &str| {
        finish(command(["node", "--home", home.to_str().unwrap()]).env(name, value))
    };
    for name in ["QUORATE_LOG_LEVEL", "QUORATE_LOG_FORMAT", "QUORATE_PASSPHRASE"] {
        let error = with(name, "").error();
        assert!(error.contains("no journal"), "it goes as far as without the variable: {error}");
    }
    assert!(with("QUORATE_LOG_LEVEL", " ").error().contains("QUORATE_LOG_LEVEL"));
    let wrong = with("QUORATE_LOG_FORMAT", "yaml");
    assert!(wrong.err.contains("environment variable QUORATE_LOG_FORMAT"), "{}", wrong.err);
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
