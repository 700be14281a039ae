//! Files that are missing, wrong or belong to another node: each causes one understandable message
//! and no further damage.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_e2e::{Finished, Invocation, LoneHome, Network};
use quorate_genesis::TestNetwork;
use quorate_ledger::SecretKey;

const LEDGER: &str = "data/ledger.redb";
const JOURNAL: &str = "data/journal.redb";

/// A network that was used and then stopped.
fn stopped() -> Network {
    let mut network = Network::running(4);
    network.order_one(0);
    network.common_height(&[0, 1, 2, 3]);
    for index in 0..4 {
        network.stop(index);
    }
    network
}

fn home(network: &Network, index: usize) -> PathBuf {
    network.validators()[index].home.clone()
}

fn start(home: &Path, arguments: &[&str]) -> Finished {
    let mut node = Invocation::new(["node", "--home"]).arg(home);
    for argument in arguments {
        node = node.arg(argument);
    }
    node.run()
}

/// Replaces a file, checks the node's message, and puts the file back.
fn with_file(home: &Path, name: &str, replace: impl FnOnce(&Path), words: &[&str]) {
    let (path, aside) = (home.join(name), home.join("aside"));
    fs::rename(&path, &aside).unwrap();
    replace(&path);
    start(home, &[]).expect_error(words);
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    }
    fs::rename(&aside, &path).unwrap();
}

fn copy_of(source: PathBuf) -> impl FnOnce(&Path) {
    move |path| {
        fs::copy(source, path).unwrap();
    }
}

#[test]
fn unusable_data_is_named_and_not_changed() {
    let mut network = stopped();
    let (own, other) = (home(&network, 0), home(&network, 1));
    let stranger = Network::testnet(4);
    let foreign = home(&stranger, 0);

    let nothing = |_: &Path| {};
    with_file(&own, JOURNAL, nothing, &["no journal", "contradict its earlier votes"]);
    with_file(&own, LEDGER, nothing, &["no ledger", "restore a copy"]);
    for name in [LEDGER, JOURNAL] {
        let file = name.strip_prefix("data/").unwrap();
        with_file(&own, name, |path| fs::create_dir(path).unwrap(), &[file]);
        with_file(&own, name, |path| fs::write(path, b"").unwrap(), &[file]);
        with_file(&own, name, |path| fs::write(path, [0x5a; 10_000]).unwrap(), &[file]);
        let half = |path: &Path| {
            let bytes = fs::read(own.join("aside")).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        with_file(&own, name, half, &[file]);
        with_file(&own, name, copy_of(foreign.join(name)), &[file, "belongs to chain"]);
    }
    with_file(
        &own,
        JOURNAL,
        copy_of(other.join(JOURNAL)),
        &["holds the votes of", "use the key of that validator"],
    );
    with_file(&own, JOURNAL, copy_of(own.join(LEDGER)), &["not a Quorate journal"]);

    let both = own.join("away");
    fs::rename(own.join("data"), &both).unwrap();
    start(&own, &[]).expect_error(&["neither ledger", "--init"]);
    fs::rename(&both, own.join("data")).unwrap();
    start(&own, &["--init"]).expect_error(&["already exists", "without --init"]);

    // After all of that the data is still complete.
    network.start_all();
    let height = network.equal_chains(&[0, 1, 2, 3]).height();
    network.order_one(0);
    assert!(network.common_height(&[0, 1, 2, 3]) > height);
}

#[test]
fn another_validators_ledger_may_be_restored() {
    let mut network = stopped();
    let (own, other) = (home(&network, 3), home(&network, 1));
    fs::copy(other.join(LEDGER), own.join(LEDGER)).unwrap();
    network.start_all();
    network.order_one(3);
    network.equal_chains(&[0, 1, 2, 3]);
}

#[test]
fn a_missing_home_and_a_bad_config_are_explained() {
    let network = Network::testnet(4);
    let own = home(&network, 0);
    start(&own.join("nowhere"), &[]).expect_error(&["config.toml", "does not exist"]);

    let good = fs::read_to_string(own.join("config.toml")).unwrap();
    let rpc = network.validators()[0].rpc_address().to_string();
    let cases: [(String, &[&str]); 7] = [
        ("nonsense".into(), &["config.toml"]),
        (good.replace("[rpc]", "[rcp]"), &["config.toml", "rcp"]),
        (good.replace("bootstrap", "bootstarp"), &["config.toml", "bootstarp"]),
        (good.replace(&rpc, "localhost"), &["rpc.listen", "localhost"]),
        (good.replace("listen = [\"/ip4", "listen = [\"ip4"), &["p2p.listen", "multiaddress"]),
        (good.replace("/tcp/", "/carrier-pigeon/"), &["carrier-pigeon"]),
        (good.replace(&format!("\"{rpc}\""), "8545"), &["rpc.listen"]),
    ];
    for (config, words) in cases {
        assert_ne!(config, good, "{words:?} is a change");
        fs::write(own.join("config.toml"), config).unwrap();
        start(&own, &[]).expect_error(words);
    }
    fs::write(own.join("config.toml"), good).unwrap();
    let from_outside =
        |name: &str, value: &str| Invocation::new(["node", "--home"]).arg(&own).env(name, value).run();
    from_outside("QUORATE_RPC__LISTEN", "nowhere").expect_error(&["rpc.listen", "nowhere"]);
    from_outside("QUORATE_RPC__LISTNE", "127.0.0.1:1").expect_error(&["QUORATE_RPC__LISTNE"]);
    from_outside("QUORATE_RPC_LISTEN", "127.0.0.1:1").expect_error(&["QUORATE_RPC__LISTEN"]);
}

#[test]
fn a_bad_genesis_is_refused_with_its_reasons() {
    let network = Network::testnet(4);
    let own = home(&network, 0);
    let good = fs::read_to_string(own.join("genesis.toml")).unwrap();
    let key = network.public_key(1).to_string();
    let cases: [(String, &[&str]); 4] = [
        ("nonsense".into(), &["genesis.toml"]),
        (good.replace(&key, &network.public_key(0).to_string()), &["genesis.toml"]),
        (good.replace(&key, "0x02"), &["genesis.toml"]),
        (good.replace("window", "widnow"), &["genesis.toml", "widnow"]),
    ];
    for (genesis, words) in cases {
        assert_ne!(genesis, good, "{words:?} is a change");
        fs::write(own.join("genesis.toml"), genesis).unwrap();
        start(&own, &[]).expect_error(words);
    }
    // A valid genesis, but of another network.
    let other = TestNetwork::seeded(4, 3);
    fs::write(own.join("genesis.toml"), other.genesis().to_toml()).unwrap();
    start(&own, &[]).expect_error(&["cannot open the ledger", "chain"]);
}

#[test]
fn an_unusable_key_does_not_start_a_validator() {
    let network = Network::testnet(4);
    let directory = network.directory().join("outsider");
    let home = LoneHome::write(&directory, network.genesis(), &SecretKey::generate(), &[]);
    home.put("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    start(home.path(), &[]).expect_error(&["key.pem"]);
    let readable = fs::Permissions::from_mode(0o644);
    fs::set_permissions(home.path().join("key.pem"), readable).unwrap();
    start(home.path(), &[]).expect_error(&["key.pem", "chmod 600"]);
    fs::remove_file(home.path().join("key.pem")).unwrap();
    start(home.path(), &[]).expect_error(&["key.pem"]);
}

#[test]
fn a_test_network_overwrites_nothing() {
    let network = Network::testnet(4);
    let before = fs::read(network.genesis_file()).unwrap();
    let again = Invocation::new(["testnet", "--output"]).arg(network.directory()).run();
    again.expect_error(&["is not empty"]);
    assert_eq!(fs::read(network.genesis_file()).unwrap(), before);
    for wrong in ["0", "1000"] {
        let elsewhere = network.directory().join("elsewhere");
        let refused = Invocation::new(["testnet", "--validators", wrong, "--output"]).arg(&elsewhere).run();
        refused.expect_error(&["validators"]);
        assert!(!elsewhere.exists());
    }
}

/// An init container runs this at every start: the first time creates the network, all others must
/// not change it.
#[test]
fn an_existing_network_is_kept_if_requested() {
    let network = Network::testnet(4);
    let found = |more: [&str; 2]| {
        let arguments = ["testnet", "--if-missing", more[0], more[1], "--output"];
        Invocation::new(arguments).arg(network.directory()).run()
    };
    let before = fs::read(network.genesis_file()).unwrap();
    found(["--validators", "4"]).expect_code(0);
    assert_eq!(fs::read(network.genesis_file()).unwrap(), before);
    found(["--validators", "7"]).expect_error(&["holds a network of 4 validators"]);
    let fresh = network.directory().join("fresh");
    Invocation::new(["testnet", "--if-missing", "--hosts", "a,b,c,d", "--output"])
        .arg(&fresh)
        .run()
        .expect_code(0);
    let listed = fs::read_to_string(fresh.join("network.json")).unwrap();
    assert!(listed.contains("http://d:8545") && listed.contains("/dns/a/tcp/9000/p2p/"), "{listed}");
}
