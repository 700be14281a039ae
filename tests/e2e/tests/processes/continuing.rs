//! A network that lost its quorum for ever, and the one that continues its chain: the procedure of
//! docker/README.md with real processes.

use std::fs;
use std::path::{Path, PathBuf};

use quorate_api::{NodeStatus, PredecessorJson, TransactionStatus, ValidatorSigningState, Wait};
use quorate_e2e::{Invocation, Network, SignedTransaction, WAIT_LIMIT, now, until, wait_until};
use quorate_genesis::Genesis;
use quorate_governance::{Change, Operation, Submit};
use quorate_ledger::{ChainId, Payload, SecretKey, Transaction};
use serde_json::{Value, json};

use crate::governance::{governance_key, operate, wait_for_epoch, wait_until_it_signs};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// The validators that lose their journals: one more than may be down.
const LOST: [usize; 2] = [2, 3];

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The old network when it orders nothing any more, and what its operators and clients keep.
struct Old {
    network: Network,
    client: SecretKey,
    /// Transactions of epochs 0 and 1.
    ordered: Vec<SignedTransaction>,
    /// Their receipts as files, the genesis and the proof of the epoch.
    receipts: Vec<PathBuf>,
    genesis: PathBuf,
    epochs: PathBuf,
}

fn data(chain: &ChainId, key: &SecretKey, nonce: u64) -> SignedTransaction {
    let payload = Payload::Data(format!("payment {nonce}").into_bytes());
    SignedTransaction::of(&Transaction::sign(chain, key, nonce, now().plus_ms(100_000), payload))
}

/// Orders a transaction, and stores its receipt.
fn order(network: &Network, key: &SecretKey, nonce: u64) -> (SignedTransaction, PathBuf) {
    let signed = data(&network.genesis().chain_id(), key, nonce);
    let receipt = until("a transaction is committed", WAIT_LIMIT, || {
        network.rpc(0).submit(&signed.hex, Wait::Committed, 5_000).ok()?.receipt
    });
    let file = network.directory().join(format!("receipt-{}.json", signed.id));
    fs::write(&file, serde_json::to_string(&receipt).unwrap()).unwrap();
    (signed, file)
}

fn verify(receipt: &Path, genesis: &Path, epochs: Option<&Path>) -> Option<i32> {
    let usual = ["verify", text(receipt), "--genesis", text(genesis)];
    let epochs: Vec<&str> = epochs.into_iter().flat_map(|epochs| ["--epochs", text(epochs)]).collect();
    Invocation::new([&usual[..], &epochs].concat()).run().code
}

impl Old {
    /// Two epochs with transactions, one registered client, and the submit mode `registry`.
    fn grown() -> Self {
        let mut network = Network::testnet(4);
        network.start_all();
        let client = SecretKey::generate();
        let first = order(&network, &client, 1);
        let keys: Vec<SecretKey> = ALL.iter().map(|index| governance_key(&network, *index)).collect();
        operate(&network, 1, &keys[1], 1, &Operation::Renew);
        ALL.iter().for_each(|index| drop(wait_for_epoch(&network.rpc(*index), 1)));
        let second = order(&network, &client, 2);

        let add = Operation::AddClient { name: "till-1".parse().unwrap(), key: client.public() };
        operate(&network, 0, &keys[0], 1, &add);
        let registry = Change::SetSubmitMode { mode: Submit::Registry };
        let proposal = operate(&network, 0, &keys[0], 2, &Operation::Propose { changes: vec![registry] });
        for member in [1, 2] {
            operate(&network, member, &keys[member], 2, &Operation::Approve(proposal.id));
        }
        wait_until("only registered clients may submit", || {
            let status: Value = network.rpc(0).call("governance_status", &json!({})).unwrap();
            status["submit_mode"] == "registry" && status["clients"] == 1
        });
        let genesis = network.directory().join("old-genesis.toml");
        fs::copy(network.genesis_file(), &genesis).unwrap();
        let epochs = network.directory().join("epochs.json");
        let rpc = network.validators()[0].rpc.clone();
        Invocation::new([
            "governance",
            "epochs",
            "--out",
            text(&epochs),
            "--rpc",
            &rpc,
            "--genesis",
            text(&genesis),
        ])
        .run()
        .expect_code(0);
        let (ordered, receipts) = [first, second].into_iter().unzip();
        Old { network, client, ordered, receipts, genesis, epochs }
    }

    /// Two of four validators lose their journals, and come back with new ones that may not vote.
    fn lose_the_quorum(&mut self) {
        let network = &mut self.network;
        network.common_height(&ALL);
        for index in ALL {
            network.stop(index);
        }
        for index in LOST {
            let home = network.validators()[index].home.clone();
            fs::remove_file(home.join("data/journal.redb")).unwrap();
            let start = Invocation::new(["node", "--home", text(&home)]).run();
            start.expect_error(&["has a ledger but no journal", "move ", "--init"]);
            fs::remove_file(home.join("data/ledger.redb")).unwrap();
        }
        network.start(0);
        network.start(1);
        LOST.iter().for_each(|index| network.start_with(*index, &["--init"], &[]));
        for index in LOST {
            wait_until("a validator with a new journal does not vote", || {
                network.rpc(index).status().signing_state == Some(ValidatorSigningState::Recovering)
            });
        }
        wait_until_it_signs(&network.rpc(0));
        wait_until_it_signs(&network.rpc(1));
    }

    /// No transaction is ordered, not even the one that would begin the next epoch.
    fn assert_no_way_out(&self) {
        let network = &self.network;
        let height = network.common_height(&ALL);
        let chain = network.genesis().chain_id();
        let key = governance_key(network, 2);
        let payload = Payload::Governance(Operation::Renew.to_bytes());
        let renewal = Transaction::sign(&chain, &key, 9, now().plus_ms(100_000), payload);
        for signed in [SignedTransaction::of(&renewal), data(&chain, &self.client, 3)] {
            let answer = network.rpc(0).submit(&signed.hex, Wait::Committed, 1_000).unwrap();
            assert_eq!((answer.status, answer.receipt), (TransactionStatus::Pending, None));
        }
        assert_eq!(network.rpc(1).head().height, height);
        let explanation = network.rpc(2).explanation();
        let advice = explanation.actions.join(" ");
        assert!(advice.contains("quorate genesis continue"), "{advice}");
        assert!(!network.rpc(0).explanation().making_progress);
    }

    /// What the operator of one validator makes of the chain.
    fn continued_by(&self, index: usize, height: u64) -> PathBuf {
        let network = &self.network;
        let directory = network.directory().join(format!("operator-{index}"));
        fs::create_dir(&directory).unwrap();
        let (export, file) = (directory.join("old.export"), directory.join("genesis.toml"));
        let (genesis, rpc) = (text(&self.genesis), network.validators()[index].rpc.as_str());
        Invocation::new(["ledger", "export", text(&export), "--rpc", rpc, "--genesis", genesis])
            .run()
            .expect_code(0);
        let from = ["genesis", "continue", "--from", text(&export), "--genesis", genesis];
        let to = ["--file", text(&file), "--at", &height.to_string()];
        let said = Invocation::new([&from[..], &to].concat()).run().expect_code(0).stdout;
        let line = format!("block {height} {} of chain ", network.rpc(index).head().hash);
        assert!(said.contains("Every operator must see this same line") && said.contains(&line), "{said}");
        file
    }

    /// Stops all validators, and puts the new genesis into their homes.
    fn replace_genesis(&mut self, new: &Path) {
        let network = &mut self.network;
        for index in ALL {
            network.stop(index);
        }
        fs::copy(new, network.genesis_file()).unwrap();
        for index in ALL {
            let home = network.validators()[index].home.clone();
            fs::copy(new, home.join("genesis.toml")).unwrap();
            fs::copy(new.with_extension("clients"), home.join("genesis.clients")).unwrap();
            for more in [&[][..], &["--init"]] {
                let start = Invocation::new([&["node", "--home", text(&home)], more].concat()).run();
                start.expect_error(&["ledger.redb belongs to chain", "record of the old chain", "--init"]);
            }
            fs::rename(home.join("data"), home.join("data-of-old-chain")).unwrap();
        }
    }
}

fn started(directory: &Path) -> Network {
    let mut network = Network::open(directory);
    ALL.iter().for_each(|index| network.start_with(*index, &["--init"], &[]));
    for index in ALL {
        network.wait_until_ready(index);
        network.wait_until_connected(index, ALL.len() - 1);
    }
    network
}

/// The new network orders, takes over the registry, and accepts nothing that was signed for the old
/// one.
fn assert_it_orders(old: &Old, new: &Network, last: &NodeStatus) {
    let rpc = new.rpc(1);
    let told: Value = rpc.call("network_genesis", &json!({})).unwrap();
    let predecessor: PredecessorJson = serde_json::from_value(told["predecessor"].clone()).unwrap();
    let expected = (old.network.genesis().chain_id(), last.head.height, last.head.hash, 1, 1);
    let PredecessorJson { chain_id, height, block, epoch, clients, .. } = predecessor;
    assert_eq!((chain_id, height, block, epoch, clients), expected);
    assert_eq!((rpc.status().head.height, rpc.status().epoch), (0, 0));

    for signed in &old.ordered {
        let refused = rpc.submit(&signed.hex, Wait::Accepted, 5_000).unwrap_err();
        assert!(refused.kind().is_some(), "{refused}");
    }
    let stranger = data(&new.genesis().chain_id(), &SecretKey::generate(), 1);
    let refused = rpc.submit(&stranger.hex, Wait::Accepted, 5_000).unwrap_err();
    assert_eq!(refused.kind(), Some(quorate_api::ErrorKind::SenderUnknown), "{refused}");
    let (_, receipt) = order(new, &old.client, 3);
    assert_eq!(verify(&receipt, new.genesis_file(), None), Some(0));
    assert_eq!(verify(&receipt, &old.genesis, Some(&old.epochs)), Some(3));
}

#[test]
fn a_network_that_lost_its_quorum_is_continued_by_a_new_one() {
    let mut old = Old::grown();
    old.lose_the_quorum();
    old.assert_no_way_out();
    let height = old.network.common_height(&ALL);
    let last = old.network.rpc(0).status();
    let (first, second) = (old.continued_by(0, height), old.continued_by(1, height));
    for ending in ["toml", "clients"] {
        let read = |file: &Path| fs::read(file.with_extension(ending)).unwrap();
        assert_eq!(read(&first), read(&second), "equal exports give equal files");
    }
    let made = Genesis::parse(&fs::read_to_string(&first).unwrap()).unwrap();
    assert_ne!(made.chain_id(), old.network.genesis().chain_id());

    old.replace_genesis(&first);
    let mut new = started(old.network.directory());
    assert_it_orders(&old, &new, &last);
    // What the old network ordered stays proven, with its own genesis.
    assert_eq!(verify(&old.receipts[0], &old.genesis, None), Some(0));
    assert_eq!(verify(&old.receipts[1], &old.genesis, None), Some(3), "unproven without the epoch");
    assert_eq!(verify(&old.receipts[1], &old.genesis, Some(&old.epochs)), Some(0));
    assert_eq!(verify(&old.receipts[0], new.genesis_file(), None), Some(3));

    // The new network is one like every other: a member renews, a node restarts, the chain is
    // exported.
    let key = governance_key(&new, 3);
    operate(&new, 0, &key, 1, &Operation::Renew);
    ALL.iter().for_each(|index| drop(wait_for_epoch(&new.rpc(*index), 1)));
    new.stop(3);
    new.start(3);
    wait_until_it_signs(&new.rpc(3));
    new.equal_chains(&ALL);
    let export = new.directory().join("new.export");
    let (genesis, rpc) = (text(new.genesis_file()), new.validators()[0].rpc.as_str());
    let genesis_with_clients = new.validators()[0].home.join("genesis.toml");
    Invocation::new(["ledger", "export", text(&export), "--rpc", rpc, "--genesis", genesis])
        .run()
        .expect_error(&["takes over clients", "genesis.clients"]);
    let genesis = text(&genesis_with_clients);
    Invocation::new(["ledger", "export", text(&export), "--rpc", rpc, "--genesis", genesis])
        .run()
        .expect_code(0);
    Invocation::new(["ledger", "verify", text(&export), "--genesis", genesis]).run().expect_code(0);
}
