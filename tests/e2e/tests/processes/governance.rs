//! Members, keys and clients change while real processes order transactions.

use std::fs;
use std::path::Path;
use std::time::Duration;

use quorate_api::{CandidacyState, Membership, NodeRole, NodeStatus, ValidatorSigningState, Wait};
use quorate_e2e::{
    Invocation, Load, LoneHome, Network, Observer, Rpc, SignedTransaction, WAIT_LIMIT, now, until, wait_until,
};
use quorate_governance::{Change, Operation, Possession};
use quorate_ledger::{Epoch, Payload, SecretKey, Transaction};

pub(crate) const VALIDATORS: [usize; 4] = [0, 1, 2, 3];

/// The key in a file of a home.
pub(crate) fn key_in(home: &Path, file: &str) -> SecretKey {
    let pem = fs::read_to_string(home.join(file)).unwrap();
    SecretKey::from_pem(&pem, None).unwrap()
}

pub(crate) fn governance_key(network: &Network, index: usize) -> SecretKey {
    key_in(&network.validators()[index].home, "governance.pem")
}

/// Signs an operation, and submits it until a block contains it.
pub(crate) fn operate(
    network: &Network,
    through: usize,
    key: &SecretKey,
    nonce: u64,
    operation: &Operation,
) -> SignedTransaction {
    let chain = network.genesis().chain_id();
    let payload = Payload::Governance(operation.to_bytes());
    let transaction = Transaction::sign(&chain, key, nonce, now().plus_ms(100_000), payload);
    let signed = SignedTransaction::of(&transaction);
    until("the operation is committed", WAIT_LIMIT, || {
        let answer = network.rpc(through).submit(&signed.hex, Wait::Committed, 5_000).ok()?;
        answer.receipt.is_some().then_some(())
    });
    signed
}

pub(crate) fn wait_for_epoch(rpc: &Rpc, epoch: u64) -> NodeStatus {
    until(&format!("{} is in epoch {epoch} and votes or follows", rpc.address()), WAIT_LIMIT, || {
        let status = rpc.try_status()?;
        (status.epoch == epoch).then_some(status)
    })
}

pub(crate) fn wait_until_it_signs(rpc: &Rpc) {
    wait_until(&format!("{} votes", rpc.address()), || {
        rpc.try_status().is_some_and(|status| status.signing_state == Some(ValidatorSigningState::Voting))
    });
}

/// A renewal under load: no transaction is lost or refused, and the chains are equal.
#[test]
fn an_epoch_begins_while_clients_submit() {
    let mut network = Network::testnet(4);
    network.start_all();
    let load = Load::paced(network.genesis(), &network.rpc_addresses(VALIDATORS), Duration::from_millis(20));
    load.wait_for_more(100);
    let mut renewals = Vec::new();
    for (epoch, member) in [(1, 2), (2, 0)] {
        let key = governance_key(&network, member);
        renewals.push(operate(&network, 1, &key, 1, &Operation::Renew));
        for index in VALIDATORS {
            let status = wait_for_epoch(&network.rpc(index), epoch);
            assert_eq!(status.membership, Some(Membership::Member));
        }
        load.wait_for_more(100);
    }
    let committed = load.finish();
    let chain = network.equal_chains(&VALIDATORS);
    chain.assert_contains(&committed);
    // A restart in a later epoch.
    network.stop(3);
    network.start(3);
    wait_until_it_signs(&network.rpc(3));
    assert_eq!(network.rpc(3).status().epoch, 2);
    receipts_verify_from_the_command_line(&network, &renewals);
    network.kill(0);
    network.order_one(3);
}

/// Receipts of the epochs 0 and 1, with epoch proofs from a node and from a file.
fn receipts_verify_from_the_command_line(network: &Network, of_epochs: &[SignedTransaction]) {
    let rpc = &network.validators()[1].rpc;
    let genesis = network.genesis_file().to_str().unwrap();
    let file = network.directory().join("epochs.json");
    let epochs = file.to_str().unwrap();
    let quorate = |line: &[&str]| Invocation::new(line).arg("--genesis").arg(genesis);
    for added in [2, 0] {
        let report = quorate(&["governance", "epochs", "--rpc", rpc, "--out", epochs, "--output", "json"]);
        let report = report.run().json();
        assert_eq!((&report["epochs"], &report["added"]), (&2.into(), &added.into()), "{report}");
    }
    for (epoch, transaction) in of_epochs.iter().enumerate() {
        let id = transaction.id.to_string();
        for from_file in [&[][..], &["--epochs", epochs]] {
            let line = [&["tx", "receipt", &id, "--rpc", rpc], from_file].concat();
            let human = quorate(&line).run().expect_code(0).stdout;
            assert!(human.contains("yes, with the genesis"), "{human}");
        }
        let receipt = Invocation::new(["tx", "receipt", &id, "--rpc", rpc, "--output", "json"]).run();
        let receipt = receipt.expect_code(0).stdout;
        for source in [&["--rpc", rpc][..], &["--epochs", epochs], &["--rpc", rpc, "--epochs", epochs]] {
            let line = [&["verify", "-", "--output", "json"], source].concat();
            let proven = quorate(&line).input(receipt.as_str()).run().json();
            assert_eq!((&proven["proven"], &proven["epoch"]), (&true.into(), &epoch.into()));
        }
        let alone = quorate(&["verify", "-"]).input(receipt.as_str()).run();
        alone.expect_code(if epoch == 0 { 0 } else { 3 });
    }
}

/// Both files of a validator are lost. It votes again after `--init` and a renewal.
#[test]
fn a_validator_that_lost_its_disk_votes_again() {
    let mut network = Network::testnet(4);
    network.start_all();
    for through in VALIDATORS {
        network.order_one(through);
    }
    network.kill(2);
    fs::remove_dir_all(network.validators()[2].home.join("data")).unwrap();
    network.order_one(0);
    network.start_with(2, &["--init"], &[]);
    let key = governance_key(&network, 2);
    operate(&network, 0, &key, 1, &Operation::Renew);
    wait_for_epoch(&network.rpc(2), 1);
    wait_until_it_signs(&network.rpc(2));
    // Its vote is needed.
    network.kill(3);
    network.order_one(0);
    network.equal_chains(&[0, 1, 2]);
}

/// A fifth organisation joins: its node follows as a candidate, becomes a member and votes without a
/// restart. Then it is removed, and follows again.
#[test]
fn a_fifth_validator_joins_and_leaves() {
    let mut network = Network::testnet(4);
    network.start_all();
    network.order_one(0);
    let key = SecretKey::generate();
    let governance = SecretKey::generate();
    let name: quorate_governance::Name = "bank-e".parse().unwrap();
    let add = Change::AddMember {
        name: name.clone(),
        consensus_key: key.public(),
        governance_key: governance.public(),
    };
    let keys: Vec<SecretKey> = VALIDATORS.iter().map(|index| governance_key(&network, *index)).collect();
    let proposal = operate(&network, 0, &keys[0], 1, &Operation::Propose { changes: vec![add] });

    let bootstrap: Vec<String> = network
        .validators()
        .iter()
        .map(|validator| format!("/ip4/127.0.0.1/tcp/{}", validator.p2p_address().port()))
        .collect();
    let home = LoneHome::write(&network.directory().join("fifth"), network.genesis(), &key, &bootstrap);
    let rpc = Rpc::new(home.rpc_address());
    let log = network.directory().join("fifth.log");
    let mut fifth = Observer::idle("bank-e", home.path(), Rpc::new(home.rpc_address()), log);
    fifth.start(&["--init"]);
    assert_eq!(rpc.status().membership, Some(Membership::NotYetMember));
    fifth.wait_for_height(network.common_height(&VALIDATORS));

    // It sends READY by itself.
    let candidacy = until("the candidate is ready", WAIT_LIMIT, || {
        let candidacy = rpc.try_status()?.candidacy?;
        (candidacy.state == CandidacyState::Ready).then_some(candidacy)
    });
    assert_eq!(candidacy.proposal, Some(proposal.id));
    for member in [1, 2] {
        operate(&network, member, &keys[member], 1, &Operation::Approve(proposal.id));
    }
    for index in VALIDATORS {
        wait_for_epoch(&network.rpc(index), 1);
    }
    until("the fifth is a member and votes", WAIT_LIMIT, || {
        let status = rpc.try_status()?;
        (status.role == NodeRole::Validator && status.signing_state == Some(ValidatorSigningState::Voting))
            .then_some(())
    });
    // Four of five: its vote is needed.
    network.kill(3);
    network.order_one(0);
    network.start(3);
    wait_until_it_signs(&network.rpc(3));

    let remove = Operation::Propose { changes: vec![Change::RemoveMember { name }] };
    let proposal = operate(&network, 0, &keys[0], 2, &remove);
    for member in [1, 2, 3] {
        operate(&network, member, &keys[member], 2, &Operation::Approve(proposal.id));
    }
    for index in VALIDATORS {
        wait_for_epoch(&network.rpc(index), 2);
    }
    until("the fifth follows", WAIT_LIMIT, || {
        let status = rpc.try_status()?;
        (status.membership == Some(Membership::Removed)).then_some(())
    });
    network.order_one(1);
}

/// A consensus key is rotated: the next key is in the home, the node goes on with it by itself.
#[test]
fn a_validator_rotates_its_key() {
    let mut network = Network::testnet(4);
    network.start_all();
    network.order_one(0);
    let next = SecretKey::generate();
    let home = network.validators()[1].home.clone();
    network.stop(1);
    fs::copy(home.join("key.pem"), home.join("next-key.pem")).unwrap();
    fs::write(home.join("next-key.pem"), next.to_pem(None).as_str()).unwrap();
    network.start(1);
    wait_until_it_signs(&network.rpc(1));
    let key = governance_key(&network, 1);
    let chain = network.genesis().chain_id();
    let possession = Possession::sign(&chain, key.public(), &next, Epoch(0));
    let rotate = Operation::Rotate { consensus_key: next.public(), possession };
    operate(&network, 0, &key, 1, &rotate);
    for index in [0, 2, 3] {
        wait_for_epoch(&network.rpc(index), 1);
    }
    until("it votes with the next key", WAIT_LIMIT, || {
        let status = network.rpc(1).try_status()?;
        (status.public_key == next.public() && status.signing_state == Some(ValidatorSigningState::Voting))
            .then_some(())
    });
    network.kill(3);
    network.order_one(0);
    network.equal_chains(&[0, 1, 2]);
}
