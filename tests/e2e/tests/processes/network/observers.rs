//! Observers: nodes without a vote.

use std::fs;
use std::time::Instant;

use quorate_api::{ErrorKind, NodeRole, ProgressState, ReceiptJson, ValidatorSigningState, Wait};
use quorate_client::{Client, ClientConfig, TransactionBuilder};
use quorate_e2e::{
    Chain, EventStream, Invocation, LoneHome, Network, Observer, Rpc, Signer, WAIT_LIMIT, wait_until,
};
use quorate_ledger::SecretKey;
use serde_json::json;

const VALIDATORS: [usize; 4] = [0, 1, 2, 3];

/// A network that has ordered some blocks, and its observer, started late.
fn observed() -> (Network, Observer) {
    let mut network = Network::testnet_observed(4, 1);
    network.start_all();
    for through in VALIDATORS {
        network.order_one(through);
    }
    let observer = Observer::of(&network);
    observer.wait_for_height(network.common_height(&VALIDATORS));
    (network, observer)
}

#[test]
fn an_observer_that_starts_late_follows_serves_and_orders_nothing() {
    let (network, observer) = observed();
    let rpc = observer.rpc();
    wait_until("it is ready", || rpc.page("/readyz") == Some(200));
    // A quorum is enough to be ready: the last validator may be heard later.
    wait_until("it heard all validators", || rpc.consensus().recently_heard == [0, 1, 2, 3]);
    let status = rpc.status();
    assert_eq!((status.role, status.index, status.signing_state), (NodeRole::Observer, None, None));
    assert_eq!(status.peers_connected, 4);
    let consensus = rpc.consensus();
    assert_eq!((consensus.signing_state, consensus.active), (ValidatorSigningState::Observing, true));
    assert_eq!(consensus.primary, network.rpc(0).consensus().primary);
    assert_eq!(rpc.explanation().state, ProgressState::Following);
    for page in ["/", "/blocks", "/validators", "/mempool", "/explain", "/metrics"] {
        assert_eq!(rpc.page(page), Some(200), "{page}");
    }
    let metrics = rpc.text("/metrics").unwrap();
    assert!(
        metrics.contains("\nquorate_ready 1\n") && !metrics.contains("quorate_journal_rows "),
        "{metrics}"
    );
    let shown =
        Invocation::new(["status", "--rpc", &format!("http://{}", rpc.address())]).run().expect_code(0);
    assert!(shown.stdout.contains("observer ") && shown.stdout.contains("observing"), "{}", shown.stdout);

    // Blocks keep arriving, also over streams, and receipts of transactions are proven.
    let from = rpc.head().height + 1;
    let mut stream = EventStream::open(rpc.address(), Some(from - 1)).unwrap();
    let id = network.order_one(1);
    let block = stream.next(Instant::now() + WAIT_LIMIT).unwrap();
    assert_eq!(block.header.height, from);
    wait_until("it has the receipt", || rpc.receipt(&id).is_some());
    let receipt: ReceiptJson = rpc.receipt(&id).unwrap();
    let genesis = network.genesis_file().to_str().unwrap();
    let receipt = serde_json::to_string(&receipt).unwrap();
    Invocation::new(["verify", "-", "--genesis", genesis]).input(receipt).run().expect_code(0);
    let height = network.common_height(&VALIDATORS);
    observer.wait_for_height(height);
    let chain = Chain::read(rpc, network.genesis(), height);
    chain.assert_equals(&Chain::read(&network.rpc(2), network.genesis(), height));

    // The observer refuses every submission, with any kind of wait.
    let signed = Signer::new(network.genesis(), 1, 32).sign();
    for wait in [Wait::None, Wait::Accepted, Wait::Committed] {
        let refused = rpc.submit(&signed.hex, wait, 1_000).unwrap_err();
        assert_eq!(refused.kind(), Some(ErrorKind::Observer), "{refused:?}");
    }
    // A validator shows it, but does not count it.
    let validator = network.rpc(0);
    assert_eq!(validator.status().peers_connected, 3);
    let peers: Vec<quorate_api::PeerJson> = validator.call("node_peers", &json!({})).unwrap();
    let shown = peers.iter().find(|peer| peer.index.is_none()).unwrap();
    assert_eq!((shown.public_key, shown.connected), (status.public_key, true));
    assert!(validator.text("/metrics").unwrap().contains("\nquorate_observers_connected 1\n"));
}

/// A client whose first node is an observer continues at a validator.
#[test]
fn a_client_of_an_observer_and_a_validator_submits_at_the_validator() {
    let (network, observer) = observed();
    let urls =
        [observer.rpc().address(), network.rpc(3).address()].map(|address| format!("http://{address}"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let genesis = network.genesis();
        let client = Client::new(&urls, genesis.anchor().clone(), ClientConfig::default()).unwrap();
        let transaction = TransactionBuilder::new(genesis.chain_id(), b"hello".to_vec());
        let transaction = transaction.sign(&SecretKey::generate()).unwrap();
        let submitted = client.submit_and_wait(&transaction, WAIT_LIMIT).await.unwrap();
        assert!(submitted.receipt.is_some(), "{submitted:?}");
        assert_eq!(client.preferred().url(), urls[1]);
    });
}

/// Validators do not depend on it, and after a restart it continues where it was.
#[test]
fn an_observer_is_killed_and_goes_on() {
    let (network, mut observer) = observed();
    observer.kill();
    for through in VALIDATORS {
        network.order_one(through);
    }
    observer.start(&[]);
    observer.wait_for_height(network.common_height(&VALIDATORS));
    assert!(!observer.log().contains("panicked"), "{}", observer.log());
}

/// It signs nothing, so it can lose its ledger without risk: an export restores the ledger without
/// `--init`, and there is no journal.
#[test]
fn an_observer_that_lost_its_ledger_gets_it_from_an_export() {
    let (network, mut observer) = observed();
    let height = network.common_height(&VALIDATORS);
    observer.kill();
    let home = network.observers()[0].home.clone();
    let data = home.join("data");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "a ledger, and no journal");
    fs::remove_file(data.join("ledger.redb")).unwrap();
    let file = network.directory().join("chain.export");
    let (file, genesis) = (file.to_str().unwrap(), network.genesis_file().to_str().unwrap());
    let node = &network.validators()[0].rpc;
    Invocation::new(["ledger", "export", file, "--rpc", node, "--genesis", genesis]).run().expect_code(0);
    let home = home.to_str().unwrap();
    let imported =
        Invocation::new(["ledger", "import", file, "--home", home, "--output", "json"]).run().json();
    assert_eq!(imported["added_blocks"], height);
    Invocation::new(["ledger", "verify", "--home", home]).run().expect_code(0);
    observer.start(&[]);
    let block = network.order_one(2);
    observer.wait_for_height(height + 1);
    assert!(observer.rpc().receipt(&block).is_some());
}

/// With one validator left, the observer cannot know whether its blocks are current. It serves them
/// and reports that.
#[test]
fn an_observer_that_hears_of_too_few_says_so_and_serves_what_it_has() {
    let (mut network, observer) = observed();
    let rpc = observer.rpc();
    wait_until("it is ready", || rpc.page("/readyz") == Some(200));
    let height = rpc.head().height;
    for index in [0, 1, 2] {
        network.kill(index);
    }
    wait_until("it is not ready", || rpc.page("/readyz") == Some(503));
    let text = rpc.text("/readyz").unwrap();
    assert!(text.contains("1 validators report their heights (2 needed)"), "{text}");
    let explanation = rpc.explanation();
    assert_eq!((explanation.state, explanation.making_progress), (ProgressState::NoQuorumContact, false));
    assert_eq!(rpc.blocks(1).blocks.len() as u64, height.min(100), "it still serves its blocks");
    for index in [0, 1, 2] {
        network.start(index);
    }
    wait_until("it is ready again", || rpc.page("/readyz") == Some(200));
    network.order_one(0);
    observer.wait_for_height(height + 1);
}

/// The handshake refuses a key that no validator lists. The node reports what is missing.
#[test]
fn an_unlisted_observer_is_refused_and_says_whose_turn_it_is() {
    let network = Network::running(4);
    network.order_one(0);
    let key = SecretKey::generate();
    let members: Vec<String> = network.validators().iter().map(|validator| validator.p2p.clone()).collect();
    let home = LoneHome::write(&network.directory().join("unlisted"), network.genesis(), &key, &members);
    let config = fs::read_to_string(home.path().join("config.toml")).unwrap();

    let path = home.path().to_str().unwrap();
    home.put("config.toml", &format!("{config}\n[node]\nrole = \"observer\"\n"));
    home.put_key(&SecretKey::from_pem(&key_of(&network, 2), None).unwrap());
    let run = Invocation::new(["node", "--home", path, "--init"]).run().expect_code(1);
    run.expect_error(&["is the key of validator-2", "another key for the observer"]);

    home.put_key(&key);
    let log = network.directory().join("unlisted.log");
    let mut observer = Observer::idle("the unlisted", home.path(), Rpc::new(home.rpc_address()), log);
    observer.start(&["--init"]);
    wait_until("a validator has refused it", || {
        (0..4).any(|index| network.log(index).contains("refused a peer that is no member"))
    });
    let rpc = observer.rpc();
    assert_eq!((rpc.status().peers_connected, rpc.head().height), (0, 0));
    let text = rpc.text("/readyz").unwrap();
    assert!(text.contains("p2p.observers") && text.contains(&key.public().to_string()), "{text}");
    network.order_one(3);
}

fn key_of(network: &Network, index: usize) -> String {
    fs::read_to_string(network.validators()[index].home.join("key.pem")).unwrap()
}
