//! Nodes that do not belong to the network.

use std::path::Path;

use quorate_api::{TransactionStatus, Wait};
use quorate_e2e::{LoneHome, Network, Process, Rpc, SignedTransaction, Signer, wait_until};
use quorate_genesis::Genesis;
use quorate_ledger::SecretKey;

const MEMBERS: [usize; 3] = [0, 1, 2];

/// A running node that tries to join a network.
struct Outsider {
    process: Process,
    rpc: Rpc,
    /// A transaction that is valid on its own chain and was submitted to it.
    submitted: SignedTransaction,
    _home: LoneHome,
}

impl Outsider {
    fn start(network: &Network, genesis: &Genesis, key: &SecretKey) -> Outsider {
        let members = MEMBERS.map(|member| network.validators()[member].p2p.clone());
        let home = LoneHome::write(&network.directory().join("outsider"), genesis, key, &members);
        let log = network.directory().join("outsider.log");
        let verbose = [("QUORATE_LOG_LEVEL", "info,quorate_network=debug")];
        let mut process = Process::node("the outsider", home.path(), &["--init"], &verbose, &log);
        let rpc = Rpc::new(home.rpc_address());
        wait_until("the outsider answers", || {
            assert!(process.ended().is_none(), "the outsider ended: {}", process.log());
            rpc.page("/livez") == Some(200)
        });
        let submitted = Signer::new(genesis, 1, 64).sign();
        let answer = rpc.submit(&submitted.hex, Wait::Accepted, 10_000).unwrap();
        assert_eq!(answer.status, TransactionStatus::Pending);
        Outsider { process, rpc, submitted, _home: home }
    }

    /// Asserts that it does not get in while the network works, and that the network receives
    /// nothing from it.
    fn assert_outside(&mut self, network: &Network) {
        for round in 0..12 {
            network.order_one(MEMBERS[round % MEMBERS.len()]);
            assert_eq!(self.rpc.status().peers_connected, 0, "the outsider is not admitted");
        }
        assert_eq!(self.rpc.head().height, 0, "it gets no block");
        assert_eq!(self.rpc.page("/readyz"), Some(503));
        assert_eq!(self.rpc.transaction(&self.submitted.id), TransactionStatus::Pending);
        assert!(self.process.ended().is_none());
        for member in MEMBERS {
            let rpc = network.rpc(member);
            assert_eq!(rpc.transaction(&self.submitted.id), TransactionStatus::Unknown);
            network.wait_until_connected(member, 2);
            let log = network.log(member);
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// Three of four validators run, so one could still connect.
fn three_of_four() -> Network {
    let mut network = Network::testnet(4);
    for member in MEMBERS {
        network.start(member);
    }
    for member in MEMBERS {
        network.wait_until_connected(member, 2);
    }
    network
}

fn own_key(home: &Path) -> SecretKey {
    SecretKey::from_pem(&std::fs::read_to_string(home.join("key.pem")).unwrap(), None).unwrap()
}

#[test]
fn a_node_with_an_unknown_key_is_refused_as_soon_as_it_is_known_who_it_is() {
    let network = three_of_four();
    // It uses the genesis of the network, and knows the addresses of the other three.
    let key = SecretKey::generate();
    let mut draft = network.genesis().to_draft();
    draft.validators[3].public_key = key.public();
    let mut outsider = Outsider::start(&network, &draft.check().unwrap(), &key);
    wait_until("a member has refused it", || {
        MEMBERS.iter().any(|member| network.log(*member).contains("refused a peer that is no member"))
    });
    outsider.assert_outside(&network);
}

#[test]
fn a_member_with_another_genesis_is_on_another_chain_and_stays_alone() {
    let mut network = three_of_four();
    let key = own_key(&network.validators()[3].home);
    let mut draft = network.genesis().to_draft();
    draft.settings.parameters.block.max_transactions += 1;
    let other = draft.check().unwrap();
    assert_ne!(other.chain_id(), network.genesis().chain_id());
    let mut outsider = Outsider::start(&network, &other, &key);
    wait_until("it has reached a member", || outsider.process.log().contains("connection established"));
    outsider.assert_outside(&network);

    // Only the genesis was wrong: with the right one the same validator takes part.
    drop(outsider);
    network.start(3);
    network.wait_until_ready(3);
    network.order_one(3);
    network.equal_chains(&[0, 1, 2, 3]);
}
