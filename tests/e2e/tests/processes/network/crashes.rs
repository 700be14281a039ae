//! Validators that are killed while they work.

use quorate_api::TransactionStatus;
use quorate_e2e::{Load, Network, scaled, wait_until};

const ALL: [usize; 4] = [0, 1, 2, 3];

/// Transactions reported `committed` before and after each crash.
const ENOUGH: usize = 400;

fn more_committed(load: &Load) {
    let enough = load.committed() + scaled(ENOUGH);
    wait_until(&format!("{enough} transactions are reported committed"), || load.committed() >= enough);
}

#[test]
fn commits_go_on_without_one_validator_and_it_catches_up_after_its_death() {
    let mut network = Network::running(4);
    let victim = (network.primary(0) + 1) % 4;
    let survivors: Vec<usize> = ALL.into_iter().filter(|index| *index != victim).collect();
    let load = Load::start(network.genesis(), &network.rpc_addresses(ALL));
    more_committed(&load);

    network.kill(victim);
    let height = network.common_height(&survivors);
    more_committed(&load);
    assert!(network.common_height(&survivors) > height, "three of four are enough");

    network.start(victim);
    // It must catch up with a chain that grows.
    let missed = network.common_height(&survivors);
    let rpc = network.rpc(victim);
    wait_until("the restarted validator has what it missed", || rpc.head().height >= missed);
    network.wait_until_caught_up(victim, survivors[0]);
    network.wait_until_it_votes(victim, survivors[0]);
    let promised = load.finish();

    network.wait_until_ready(victim);
    network.equal_chains(&ALL).assert_contains(&promised);
}

#[test]
fn no_transaction_that_was_reported_committed_is_missing_after_all_were_killed_at_once() {
    let mut network = Network::running(4);
    let mut promised = Vec::new();
    for round in 1..=3 {
        let load = Load::start(network.genesis(), &network.rpc_addresses(ALL));
        more_committed(&load);
        network.kill_all();
        promised.extend(load.finish());

        network.start_all();
        let chain = network.equal_chains(&ALL);
        chain.assert_contains(&promised);
        for node in ALL {
            let rpc = network.rpc(node);
            for committed in promised.iter().rev().take(20) {
                let expected =
                    TransactionStatus::Committed { height: committed.height, index: committed.index };
                assert_eq!(rpc.transaction(&committed.id), expected, "round {round}, node {node}");
            }
        }
        network.order_one(round % 4);
        assert!(network.common_height(&ALL) > chain.height(), "the chain grows");
    }
    network.equal_chains(&ALL).assert_contains(&promised);
}

#[test]
fn after_a_power_cut_that_the_primary_does_not_survive_the_others_go_on_with_everything() {
    let mut network = Network::running(4);
    let load = Load::start(network.genesis(), &network.rpc_addresses(ALL));
    more_committed(&load);
    let view = network.common_view(&ALL);
    let primary = network.primary_of(view);
    network.kill_all();
    let promised = load.finish();

    let survivors: Vec<usize> = ALL.into_iter().filter(|index| *index != primary).collect();
    for survivor in &survivors {
        network.start(*survivor);
    }
    network.order_one(survivors[0]);
    assert!(network.common_view(&survivors) > view, "another validator is the primary");
    network.equal_chains(&survivors).assert_contains(&promised);

    network.start(primary);
    network.wait_until_caught_up(primary, survivors[0]);
    network.equal_chains(&ALL).assert_contains(&promised);
}

#[test]
fn a_frozen_validator_blocks_no_other_and_catches_up_when_it_continues() {
    let network = Network::running(4);
    let victim = (network.primary(0) + 2) % 4;
    let others: Vec<usize> = ALL.into_iter().filter(|index| *index != victim).collect();
    let load = Load::start(network.genesis(), &network.rpc_addresses(others.iter().copied()));
    more_committed(&load);
    network.pause(victim);
    more_committed(&load);
    // All its connections stay open and silent: the others must detect it by timeouts.
    for other in &others {
        network.wait_until_connected(*other, 2);
    }
    more_committed(&load);
    network.resume(victim);
    network.wait_until_caught_up(victim, others[0]);
    network.wait_until_it_votes(victim, others[0]);
    let promised = load.finish();
    network.equal_chains(&ALL).assert_contains(&promised);
}

#[test]
fn a_primary_that_restarts_at_once_continues_or_follows_the_next_one() {
    let mut network = Network::running(4);
    let primary = network.primary(0);
    let load = Load::start(network.genesis(), &network.rpc_addresses(ALL));
    more_committed(&load);
    network.kill(primary);
    network.start(primary);
    more_committed(&load);
    // Either it restarted before the timeout, or another primary replaced it.
    network.wait_until_caught_up(primary, (primary + 1) % 4);
    network.wait_until_it_votes(primary, (primary + 1) % 4);
    let promised = load.finish();
    network.equal_chains(&ALL).assert_contains(&promised);
}
