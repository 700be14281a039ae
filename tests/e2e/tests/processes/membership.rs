//! Four validators become five, seven and four again, and every key is rotated, under load.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quorate_api::{Membership, ValidatorSigningState};
use quorate_e2e::{
    Invocation, Load, LoneHome, Network, Observer, Rpc, SignedTransaction, WAIT_LIMIT, proven_anchor, until,
};
use quorate_governance::{Change, Name, Operation, Possession};
use quorate_ledger::{Epoch, Height, Receipt, SecretKey};

use super::governance::{VALIDATORS, governance_key, operate, wait_for_epoch, wait_until_it_signs};

/// A member that is no validator of the genesis.
struct Joiner {
    name: Name,
    key: SecretKey,
    governance: SecretKey,
    home: LoneHome,
    node: Observer,
}

impl Joiner {
    /// A node with an empty home, which does not run yet.
    fn of(network: &Network, name: &str) -> Joiner {
        let (key, governance) = (SecretKey::generate(), SecretKey::generate());
        let port = |index: usize| network.validators()[index].p2p_address().port();
        let bootstrap: Vec<String> =
            VALIDATORS.iter().map(|index| format!("/ip4/127.0.0.1/tcp/{}", port(*index))).collect();
        let directory = network.directory().join(name);
        let home = LoneHome::write(&directory, network.genesis(), &key, &bootstrap);
        let log = network.directory().join(format!("{name}.log"));
        let node = Observer::idle(name, home.path(), Rpc::new(home.rpc_address()), log);
        Joiner { name: name.parse().unwrap(), key, governance, home, node }
    }

    fn rpc(&self) -> Rpc {
        Rpc::new(self.home.rpc_address())
    }
}

/// The network, its epoch, and the governance keys of its members.
struct Growing {
    network: Network,
    epoch: u64,
    keys: Vec<SecretKey>,
    nonce: AtomicU64,
}

impl Growing {
    fn operate(&self, key: &SecretKey, operation: &Operation) -> SignedTransaction {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let through = usize::try_from(nonce).unwrap() % VALIDATORS.len();
        operate(&self.network, through, key, nonce, operation)
    }

    /// All members approve a proposal of the first one, and the next epoch begins at the validators of the
    /// genesis. Approvals after the decision fail, which changes nothing.
    fn decide(&mut self, change: Change, before_approval: impl FnOnce(&Growing)) {
        let proposal = self.operate(&self.keys[0], &Operation::Propose { changes: vec![change] });
        before_approval(self);
        for key in &self.keys[1..] {
            self.operate(key, &Operation::Approve(proposal.id));
        }
        self.enter_next();
    }

    fn enter_next(&mut self) {
        self.epoch += 1;
        for index in VALIDATORS {
            wait_for_epoch(&self.network.rpc(index), self.epoch);
        }
    }

    /// A node starts as a candidate, becomes a member, and votes.
    fn add(&mut self, joiner: &mut Joiner) {
        let (consensus_key, governance_key) = (joiner.key.public(), joiner.governance.public());
        let change = Change::AddMember { name: joiner.name.clone(), consensus_key, governance_key };
        self.decide(change, |growing| {
            joiner.node.start(&["--init"]);
            joiner.node.wait_for_height(growing.network.rpc(0).head().height);
            let head = joiner.rpc().head();
            let ready = Operation::Ready { height: Height(head.height), block: head.hash };
            growing.operate(&joiner.key, &ready);
        });
        self.keys.push(joiner.governance.clone());
        wait_for_epoch(&joiner.rpc(), self.epoch);
        wait_until_it_signs(&joiner.rpc());
    }

    /// A member is removed, and its node follows.
    fn remove(&mut self, joiner: &Joiner) {
        self.decide(Change::RemoveMember { name: joiner.name.clone() }, |_| ());
        self.keys.retain(|key| key.public() != joiner.governance.public());
        let rpc = joiner.rpc();
        until("the removed member follows", WAIT_LIMIT, || {
            (rpc.try_status()?.membership == Some(Membership::Removed)).then_some(())
        });
    }

    /// A validator of the genesis gets a new consensus key.
    fn rotate(&mut self, index: usize) {
        let others: Vec<usize> = VALIDATORS.into_iter().filter(|other| *other != index).collect();
        self.rotate_among(index, &others);
    }

    /// As [`Growing::rotate`], while only these others run.
    fn rotate_among(&mut self, index: usize, others: &[usize]) {
        let next = SecretKey::generate();
        put_next_key(&self.network.validators()[index].home, &next);
        self.network.stop(index);
        self.network.start(index);
        wait_until_it_signs(&self.network.rpc(index));
        let key = governance_key(&self.network, index);
        let chain = self.network.genesis().chain_id();
        let possession = Possession::sign(&chain, key.public(), &next, Epoch(self.epoch));
        let rotate = Operation::Rotate { consensus_key: next.public(), possession };
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        operate(&self.network, others[0], &key, nonce, &rotate);
        self.epoch += 1;
        for other in others {
            wait_for_epoch(&self.network.rpc(*other), self.epoch);
        }
        // It may lack the last block of the epoch, and then comes back with the next key as a follower.
        until("it votes with the next key", 2 * WAIT_LIMIT, || {
            let status = self.network.rpc(index).try_status()?;
            let votes = status.signing_state == Some(ValidatorSigningState::Voting);
            (status.public_key == next.public() && votes).then_some(())
        });
    }
}

/// Writes `next-key.pem`, with the permissions of `key.pem`.
fn put_next_key(home: &Path, key: &SecretKey) {
    let path = home.join("next-key.pem");
    fs::copy(home.join("key.pem"), &path).unwrap();
    fs::write(path, key.to_pem(None).as_str()).unwrap();
}

#[test]
fn four_become_seven_and_four_again_and_all_keys_rotate_under_load() {
    let mut network = Network::testnet(4);
    network.start_all();
    let load = Load::paced(network.genesis(), &network.rpc_addresses(VALIDATORS), Duration::from_millis(50));
    load.wait_for_more(50);
    let keys = VALIDATORS.iter().map(|index| governance_key(&network, *index)).collect();
    let mut growing = Growing { network, epoch: 0, keys, nonce: AtomicU64::new(1) };
    let mut joiners = ["bank-e", "bank-f", "bank-g"].map(|name| Joiner::of(&growing.network, name));
    for joiner in &mut joiners {
        growing.add(joiner);
        load.wait_for_more(20);
    }
    for index in VALIDATORS {
        growing.rotate(index);
        load.wait_for_more(20);
    }
    for joiner in &joiners {
        growing.remove(joiner);
        load.wait_for_more(20);
    }
    let committed = load.finish();
    let network = growing.network;
    let chain = network.equal_chains(&VALIDATORS);
    chain.assert_contains(&committed);
    let times: Vec<u64> = chain.blocks().iter().skip(1).map(|block| block.header.timestamp_ms).collect();
    let pause = times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    println!("{} transactions, {} blocks, longest pause {pause} ms", committed.len(), chain.height());

    // One receipt of each epoch.
    let rpc = network.rpc(0);
    let (genesis, anchor) = (network.genesis().anchor(), proven_anchor(&rpc, network.genesis()));
    for epoch in 0..=growing.epoch {
        let of_epoch = |height: u64| chain.blocks()[usize::try_from(height).unwrap()].header.epoch == epoch;
        let one = committed.iter().find(|committed| of_epoch(committed.height)).unwrap();
        let receipt = Receipt::try_from(&rpc.receipt(&one.id).unwrap()).unwrap();
        assert!(receipt.verify(&anchor).is_ok(), "epoch {epoch}");
        assert_eq!(receipt.verify(genesis).is_ok(), epoch == 0, "the genesis alone proves epoch 0 only");
    }
}

/// The address of a validator, with the peer id of its next key.
fn address_of(network: &Network, index: usize) -> String {
    let port = network.validators()[index].p2p_address().port();
    let file = network.validators()[index].home.join("next-key.pem");
    let shown = Invocation::new(["key", "show", "--output", "json"]).arg(file).run().json();
    format!("/ip4/127.0.0.1/tcp/{port}/p2p/{}", shown["peer_id"].as_str().unwrap())
}

/// The rotation of a key that the node does not know yet.
fn rotate_elsewhere(growing: &mut Growing, index: usize, through: [usize; 3]) -> SecretKey {
    let next = SecretKey::generate();
    let key = governance_key(&growing.network, index);
    let chain = growing.network.genesis().chain_id();
    let possession = Possession::sign(&chain, key.public(), &next, Epoch(growing.epoch));
    let operation = Operation::Rotate { consensus_key: next.public(), possession };
    operate(&growing.network, through[0], &key, 1, &operation);
    growing.epoch += 1;
    for index in through {
        wait_for_epoch(&growing.network.rpc(index), growing.epoch);
    }
    next
}

/// A key is rotated while its validator is down. The others refuse the old key, which is the one in force
/// in the validator's old ledger. With the new key it fetches the blocks and votes.
#[test]
fn a_validator_whose_key_was_rotated_while_it_was_down_votes_with_the_new_one() {
    let mut network = Network::testnet(4);
    network.start_all();
    network.order_one(0);
    network.stop(1);
    let mut growing = Growing { network, epoch: 0, keys: Vec::new(), nonce: AtomicU64::new(1) };
    let next = rotate_elsewhere(&mut growing, 1, [0, 2, 3]);
    let mut network = growing.network;
    network.order_one(0);
    put_next_key(&network.validators()[1].home, &next);
    network.start(1);
    until("it votes with the next key", 2 * WAIT_LIMIT, || votes_with(&network, 1, &next));
    network.kill(3);
    network.order_one(1);
    network.equal_chains(&[0, 1, 2]);
}

/// Whether a validator votes with this key.
fn votes_with(network: &Network, index: usize, key: &SecretKey) -> Option<()> {
    let status = network.rpc(index).try_status()?;
    let votes = status.signing_state == Some(ValidatorSigningState::Voting);
    (status.public_key == key.public() && votes).then_some(())
}

/// A key is rotated while its validator is down, and the validator has no next key. It lacks the last block
/// of its epoch, and still acts as a member. The others treat it as an observer until their epoch has a
/// stable checkpoint, more than a hundred heights later. They skip its messages and send it head statuses, so
/// it fetches the block and follows.
#[test]
fn a_validator_that_missed_the_rotation_of_its_key_follows_with_the_old_one() {
    let mut network = Network::testnet(4);
    network.start_all();
    network.order_one(0);
    network.stop(1);
    let mut growing = Growing { network, epoch: 0, keys: Vec::new(), nonce: AtomicU64::new(1) };
    rotate_elsewhere(&mut growing, 1, [0, 2, 3]);
    let mut network = growing.network;
    network.start(1);
    until("it follows with the old key", WAIT_LIMIT, || {
        let status = network.rpc(1).try_status()?;
        (status.epoch == 1 && status.membership == Some(Membership::Removed)).then_some(())
    });
    network.order_one(0);
    network.equal_chains(&[0, 1, 2, 3]);
}

/// The other members replace the consensus key of a validator, whose node has the new key as its next key. It
/// sends READY for this key by itself: without it, no approval can decide.
#[test]
fn a_validator_whose_key_the_others_replace_sends_ready_for_its_next_key() {
    let mut network = Network::testnet(4);
    network.start_all();
    let next = SecretKey::generate();
    put_next_key(&network.validators()[1].home, &next);
    network.stop(1);
    network.start(1);
    wait_until_it_signs(&network.rpc(1));
    let keys = VALIDATORS.map(|index| governance_key(&network, index));
    let name = network.genesis().validators()[1].name.parse().unwrap();
    let change = Change::ReplaceKeys { name, consensus_key: Some(next.public()), governance_key: None };
    let proposal = operate(&network, 0, &keys[0], 1, &Operation::Propose { changes: vec![change] });
    operate(&network, 2, &keys[2], 1, &Operation::Approve(proposal.id));
    // An approval that would decide fails before READY is in a block, and the member approves again.
    let mut nonce = 1;
    until("the change is decided, and the validator votes with the new key", 2 * WAIT_LIMIT, || {
        operate(&network, 3, &keys[3], nonce, &Operation::Approve(proposal.id));
        nonce += 1;
        votes_with(&network, 1, &next)
    });
    network.kill(3);
    network.order_one(0);
    network.equal_chains(&[0, 1, 2]);
}

/// All other keys were rotated while a validator was down, so it knows no key of the others. Its bootstrap
/// addresses name the new ones. A new organisation joins in the same way, with the genesis and these
/// addresses.
#[test]
fn nodes_that_know_only_old_keys_find_the_network_by_peer_ids() {
    let mut network = Network::testnet(4);
    network.start_all();
    network.order_one(0);
    let mut growing = Growing { network, epoch: 0, keys: Vec::new(), nonce: AtomicU64::new(1) };
    growing.network.stop(3);
    for index in [0, 1, 2] {
        growing.rotate_among(index, &[(index + 1) % 3, (index + 2) % 3]);
        growing.network.order_one(index);
    }
    let mut network = growing.network;
    let addresses = [0, 1, 2].map(|index| address_of(&network, index));
    let config = network.validators()[3].home.join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (before, rest) = text.split_once("bootstrap = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    fs::write(&config, format!("{before}bootstrap = {addresses:?}{after}")).unwrap();
    network.start(3);
    until("the fourth votes in the last epoch", 2 * WAIT_LIMIT, || {
        let status = network.rpc(3).try_status()?;
        (status.epoch == 3 && status.signing_state == Some(ValidatorSigningState::Voting)).then_some(())
    });
    network.kill(2);
    network.order_one(3);
    network.equal_chains(&[0, 1, 3]);
}
