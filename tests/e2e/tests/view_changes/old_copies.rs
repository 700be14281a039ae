//! A restored copy of a validator's data must not make it vote twice (R24).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quorate_api::ValidatorSigningState;
use quorate_e2e::{
    Chain, Load, Network, PortBlock, Process, Rpc, WAIT_LIMIT, copy_directory, until, wait_until,
};

use crate::{PACE, others};

/// The first primary.
const PRIMARY: usize = 0;

/// The backup whose data is copied.
const COPIED: usize = 2;

/// Whether it signed the certificate of one of these blocks.
fn signed(chain: &Chain, signer: usize, above: u64) -> bool {
    let above = chain.blocks().iter().filter(|block| block.header.height > above);
    let mut certificates = above.filter_map(|block| block.certificate.as_ref());
    certificates.any(|certificate| certificate.signers.iter().any(|index| usize::from(*index) == signer))
}

#[test]
fn an_old_copy_follows_without_a_vote_until_the_newest_journal_is_back() {
    let mut network = Network::running(4);
    let all = others(&network, &[]);
    let rest = others(&network, &[COPIED]);
    network.order_one(0);
    network.common_height(&all);
    network.stop(COPIED);
    let (live, old) = (network.data(COPIED), network.directory().join("old"));
    copy_directory(&live, &old);

    // The network continues, with its votes.
    network.start(COPIED);
    let load = Load::paced(network.genesis(), &network.rpc_addresses(rest.iter().copied()), PACE);
    network.wait_until_caught_up(COPIED, 0);
    network.wait_until_it_votes(COPIED, 0);
    network.stop(COPIED);
    let newest = network.directory().join("newest");
    fs::rename(&live, &newest).unwrap();
    copy_directory(&old, &live);

    network.start(COPIED);
    let rpc = network.rpc(COPIED);
    wait_until("it knows that its journal is old", || {
        rpc.consensus().signing_state == ValidatorSigningState::Recovering
    });
    assert!(network.log(COPIED).contains("RECOVERING"));
    assert_eq!(rpc.page("/readyz"), Some(503));
    let ready = rpc.text("/readyz").unwrap();
    assert!(ready.contains("recovering"), "{ready}");
    let height = network.rpc(0).head().height;
    load.wait_for_more(400);
    wait_until("it follows the chain", || rpc.head().height > height + 10);
    assert_eq!(rpc.consensus().signing_state, ValidatorSigningState::Recovering);
    let chain = network.equal_chains(&all);
    for index in &rest {
        let theirs = Chain::read(&network.rpc(*index), network.genesis(), chain.height());
        assert!(chain.height() > height && !signed(&theirs, COPIED, height), "it has voted");
    }
    network.assert_no_evidence(&all);

    network.stop(COPIED);
    fs::copy(newest.join("journal.redb"), live.join("journal.redb")).unwrap();
    network.start(COPIED);
    network.wait_until_caught_up(COPIED, 0);
    network.wait_until_it_votes(COPIED, 0);
    network.wait_until_ready(COPIED);
    let promised = load.finish();
    network.equal_chains(&all).assert_contains(&promised);
    network.assert_no_evidence(&all);
}

#[test]
fn an_old_copy_of_the_primary_proposes_nothing_and_is_replaced() {
    let mut network = Network::running(4);
    let all = others(&network, &[]);
    let rest = others(&network, &[PRIMARY]);
    network.order_one(1);
    network.common_height(&all);
    // No transaction waits while it is away, so it is still the primary when it returns.
    network.stop(PRIMARY);
    let (live, old) = (network.data(PRIMARY), network.directory().join("old"));
    copy_directory(&live, &old);
    network.start(PRIMARY);
    network.wait_until_caught_up(PRIMARY, 1);
    for _ in 0..3 {
        network.order_one(1);
    }
    assert_eq!(network.common_view(&all), 0);
    network.common_height(&all);
    network.stop(PRIMARY);
    fs::rename(&live, network.directory().join("newest")).unwrap();
    copy_directory(&old, &live);

    network.start(PRIMARY);
    let rpc = network.rpc(PRIMARY);
    wait_until("it knows that its journal is old", || {
        rpc.consensus().signing_state == ValidatorSigningState::Recovering
    });
    let start = Instant::now();
    // Submitted to the old copy: it forwards the transaction, but does not propose it.
    let id = network.order_one(PRIMARY);
    println!("the old copy of the primary is replaced after {} ms", start.elapsed().as_millis());
    assert!(network.common_view(&rest) > 0);
    let chain = network.equal_chains(&all);
    assert!(chain.places().contains_key(&id));
    assert!(chain.blocks().last().unwrap().header.proposer != 0, "another validator proposed it");
    network.assert_no_evidence(&all);
}

/// A second instance that runs on a copy of a home, with its own ports.
fn second_instance(network: &Network, home: &Path, ports: &PortBlock) -> (Process, Rpc) {
    let p2p = format!("/ip4/127.0.0.1/tcp/{}", ports.p2p());
    let rpc = format!("127.0.0.1:{}", ports.rpc());
    let variables = [("QUORATE_P2P__LISTEN", p2p.as_str()), ("QUORATE_RPC__LISTEN", rpc.as_str())];
    let log = network.directory().join("second.log");
    let process = Process::node("the second instance", home, &[], &variables, &log);
    (process, Rpc::new(rpc.parse().unwrap()))
}

/// A copy of the home of a validator, which is stopped for the copy.
fn copied_home(network: &mut Network, index: usize) -> PathBuf {
    network.order_one(1);
    network.common_height(&others(network, &[]));
    network.stop(index);
    let copied = network.directory().join("copy");
    copy_directory(&network.validators()[index].home, &copied);
    copied
}

#[test]
fn a_second_instance_that_comes_later_never_votes() {
    let mut network = Network::running(4);
    let all = others(&network, &[]);
    let rest = others(&network, &[COPIED]);
    let home = copied_home(&mut network, COPIED);
    network.start(COPIED);
    let load = Load::paced(network.genesis(), &network.rpc_addresses(rest.iter().copied()), PACE);
    network.wait_until_caught_up(COPIED, 0);
    network.wait_until_it_votes(COPIED, 0);

    let ports = PortBlock::take(1);
    let (mut second, rpc) = second_instance(&network, &home, &ports);
    let end = until("one of the two stops or follows", WAIT_LIMIT, || {
        if !network.is_running(COPIED) {
            return Some("the first stopped");
        }
        if second.ended().is_some() {
            return Some("the second stopped");
        }
        let answers = rpc.page("/livez") == Some(200);
        (answers && rpc.consensus().signing_state == ValidatorSigningState::Recovering)
            .then_some("the second follows")
    });
    println!("a second instance that comes later: {end}");
    load.wait_for_more(400);
    let promised = load.finish();
    network.equal_chains(&rest).assert_contains(&promised);
    network.assert_no_evidence(&rest);
    drop(second);
    if network.is_running(COPIED) {
        network.equal_chains(&all);
    }
}

/// Starts the validator and a copy of it on an idle network, and waits until both are allowed to
/// vote. Then the network orders until one of them detects the other and stops.
fn two_instances(index: usize) -> Network {
    let mut network = Network::running(4);
    let rest = others(&network, &[index]);
    let home = copied_home(&mut network, index);
    let ports = PortBlock::take(1);
    let (mut second, rpc) = second_instance(&network, &home, &ports);
    network.start(index);
    // The others have seen only statements that both instances have in their journals, so both are
    // allowed to vote.
    until("both may vote, or one of them has ended", WAIT_LIMIT, || {
        if second.ended().is_some() || !network.is_running(index) {
            return Some(());
        }
        let answers = rpc.page("/livez") == Some(200);
        let voting = |node: &Rpc| node.consensus().signing_state == ValidatorSigningState::Voting;
        (answers && voting(&rpc) && voting(&network.rpc(index))).then_some(())
    });
    let load = Load::paced(network.genesis(), &network.rpc_addresses(rest.iter().copied()), PACE);
    let (end, log) = until("one of the two stops", WAIT_LIMIT, || {
        if !network.is_running(index) {
            return Some(("the first stopped", network.log(index)));
        }
        second.ended().map(|_| ("the second stopped", second.log()))
    });
    println!("of two instances of validator {index} that start together: {end}");
    assert!(log.contains("a second instance signs with this validator's key"), "{log}");
    load.wait_for_more(400);
    let promised = load.finish();
    network.equal_chains(&rest).assert_contains(&promised);
    network
}

#[test]
fn of_two_instances_of_a_backup_one_stops_and_nothing_is_voted_twice() {
    let network = two_instances(COPIED);
    network.assert_no_evidence(&others(&network, &[COPIED]));
}

#[test]
fn of_two_instances_of_the_primary_one_stops_and_nothing_forks() {
    let network = two_instances(PRIMARY);
    let rest = others(&network, &[PRIMARY]);
    // Two primaries with one key could each propose a block before one of them receives the other's
    // proposal. That would be proven equivocation, and the validator counts as Byzantine. It happens
    // rarely, since each member is connected to only one of the two.
    let proofs: Vec<u64> = rest.iter().map(|index| network.rpc(*index).consensus().evidence_count).collect();
    println!("proofs against two instances of the primary: {proofs:?}");
}
