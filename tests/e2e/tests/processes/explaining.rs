//! A node says why nothing is ordered.

use std::fs;
use std::time::Duration;

use quorate_api::{DeadlinePurpose, Explanation, ProgressState, TransactionStatus, Wait};
use quorate_e2e::{Finished, Invocation, Load, Network, Signer, until};
use serde_json::Value;

/// Long enough that a primary's failure is still being waited for when everything was asked.
const REQUEST_TIMEOUT_MS: u64 = 20_000;

/// Between two requests of a client.
const PACE: Duration = Duration::from_millis(30);

/// Waits until a validator explains itself with this state, and answers what it says.
fn explanation(network: &Network, asked: usize, state: ProgressState) -> Explanation {
    let rpc = network.rpc(asked);
    until(&format!("{} says {state}", network.validators()[asked].name), 2 * quorate_e2e::PATIENCE, || {
        let told = rpc.explanation();
        (told.state == state).then_some(told)
    })
}

fn explain(network: &Network, asked: usize, arguments: &[&str]) -> Finished {
    let rpc = &network.validators()[asked].rpc;
    let line = Invocation::new(["explain", "--rpc", rpc]);
    arguments.iter().fold(line, |line, argument| line.arg(argument)).run()
}

/// Two of four are killed: a survivor says that there is no quorum and who is missing, by RPC and on the command
/// line, and takes it back when one of the two returns.
#[test]
fn without_a_quorum_a_survivor_names_who_is_missing() {
    let mut network = Network::running(4);
    network.order_one(0);
    // The first three order before the fourth has said a word.
    let asked = network.rpc(0);
    let idle = until("validator-0 is idle and has heard of all", quorate_e2e::PATIENCE, || {
        let told = asked.explanation();
        (told.state == ProgressState::Idle && told.contact.silent.is_empty()).then_some(told)
    });
    assert!(idle.making_progress && idle.timer.is_none() && idle.remedies.is_empty(), "{idle:?}");
    let page = explain(&network, 0, &[]).expect_code(0);
    assert!(page.stdout.contains("idle") && page.stdout.contains("Nothing waits"), "{page}");

    network.kill(2);
    network.kill(3);
    let told = until("both are missed", quorate_e2e::PATIENCE, || {
        let told = asked.explanation();
        let gone: Vec<u16> = told.contact.silent.iter().map(|member| member.index).collect();
        (gone == [2, 3] && told.contact.silent.iter().all(|member| !member.connected)).then_some(told)
    });
    assert_eq!((told.state, told.making_progress), (ProgressState::NoQuorumContact, false));
    assert_eq!((told.contact.needed, told.contact.more_needed), (2, 1));
    let names = [2, 3].map(|index: usize| network.validators()[index].name.clone());
    for name in &names {
        assert!(told.headline.contains(name) && told.remedies[0].contains(name), "{told:?}");
    }

    let page = explain(&network, 0, &[]).expect_code(3);
    assert!(page.stdout.contains("No quorum"), "{page}");
    assert!(names.iter().all(|name| page.stdout.contains(&format!("{name} (no connection)"))), "{page}");
    let json = explain(&network, 1, &["--output", "json"]).expect_code(3).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["state"], "no_quorum_contact");

    network.start(3);
    let told = explanation(&network, 0, ProgressState::Idle);
    assert_eq!(told.contact.silent.iter().map(|member| member.index).collect::<Vec<_>>(), [2]);
    assert!(told.remedies[0].contains(&names[0]), "one more must not be lost: {told:?}");
}

/// The primary is killed while clients wait: a survivor says what it waits for, from whom, and who would be next.
#[test]
fn when_the_primary_is_gone_a_survivor_says_who_takes_over_and_when() {
    let mut network = Network::testnet_with(4, |parameters| {
        parameters.consensus.request_timeout_ms = REQUEST_TIMEOUT_MS;
    });
    network.start_all();
    network.order_one(0);
    let view = network.common_view(&[0, 1, 2, 3]);
    let (primary, next) = (network.primary_of(view), network.primary_of(view + 1));
    let survivors: Vec<usize> = (0..4).filter(|index| *index != primary).collect();
    let load = Load::paced(network.genesis(), &network.rpc_addresses(survivors.iter().copied()), PACE);
    load.wait_for_more(20);

    network.kill(primary);
    // Whatever it had proposed is ordered without it first.
    let told = explanation(&network, survivors[0], ProgressState::WaitingForProposal);
    assert_eq!((told.view, told.active, usize::from(told.primary.index)), (view, true, primary));
    assert!(told.pool_transactions > 0 && told.waiting_ms.is_some(), "{told:?}");
    let silent: Vec<usize> = told.contact.silent.iter().map(|member| usize::from(member.index)).collect();
    assert_eq!((silent, told.contact.more_needed), (vec![primary], 0));
    let timer = told.timer.expect("work waits for a primary");
    assert_eq!((timer.purpose, timer.next_view), (DeadlinePurpose::Request, view + 1));
    assert_eq!(usize::from(timer.next_primary.index), next);
    assert!(timer.in_ms <= REQUEST_TIMEOUT_MS);
    let [primary, next] = [primary, next].map(|index| network.validators()[index].name.clone());
    assert!(told.headline.contains(&primary), "{}", told.headline);
    assert!(told.remedies[0].contains(&format!("Start or reconnect {primary}")), "{:?}", told.remedies);

    let page = explain(&network, survivors[0], &[]).expect_code(3);
    assert!(page.stdout.contains(&format!("whose primary would be {next}")), "{page}");
}

/// What a client is told of its transaction, status and explanation know, too.
#[test]
fn what_was_answered_as_committed_is_not_told_as_in_flight() {
    let network = Network::running(4);
    let rpc = network.rpc(1);
    let mut signer = Signer::new(network.genesis(), 1, 32);
    for _ in 0..30 {
        let signed = signer.sign();
        let answer = rpc.submit(&signed.hex, Wait::Committed, 10_000).unwrap();
        let TransactionStatus::Committed { height, .. } = answer.status else { panic!("{answer:?}") };
        let (told, status, state) = (rpc.explanation(), rpc.status(), rpc.consensus());
        assert!(told.committed_height >= height && told.heights.is_empty(), "{told:?}");
        assert!(status.head.height >= height && status.snapshot_age_ms < 6_000, "{status:?}");
        assert!(state.committed_height >= height && state.in_flight.is_empty(), "{state:?}");
        let ready = rpc.text("/readyz?verbose").unwrap();
        assert!(!ready.contains("reported 0\"") && !ready.contains("others at 0"), "{ready}");
    }
}

/// The ledgers of all validators were put back from older copies, and their journals were not: no validator may vote before it
/// has the blocks that its journal remembers, and none has them. The way out that is told works.
#[test]
fn ledgers_that_are_all_older_than_the_journals_are_told_with_a_way_out() {
    const ALL: [usize; 4] = [0, 1, 2, 3];
    let mut network = Network::running(4);
    let ledger = |network: &Network, index: usize| network.data(index).join("ledger.redb");
    let copy =
        |network: &Network, name: &str, index: usize| network.directory().join(format!("{name}-{index}"));
    network.order_one(0);
    network.common_height(&ALL);
    for index in ALL {
        network.stop(index);
        fs::copy(ledger(&network, index), copy(&network, "old", index)).unwrap();
    }
    network.start_all();
    for _ in 0..5 {
        network.order_one(0);
    }
    let height = network.common_height(&ALL);
    for index in ALL {
        network.stop(index);
        fs::rename(ledger(&network, index), copy(&network, "newest", index)).unwrap();
        fs::copy(copy(&network, "old", index), ledger(&network, index)).unwrap();
    }
    for index in ALL {
        network.start(index);
    }
    for index in ALL {
        let rpc = network.rpc(index);
        let told = until("it says that this does not end by itself", quorate_e2e::PATIENCE, || {
            let told = rpc.explanation();
            told.headline.contains("does not end by itself").then_some(told)
        });
        assert_eq!(told.state, ProgressState::Probing);
        assert!(told.remedies.iter().any(|remedy| remedy.contains("newer copy of its ledger")), "{told:?}");
    }
    network.stop(2);
    fs::copy(copy(&network, "newest", 2), ledger(&network, 2)).unwrap();
    network.start(2);
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
    network.order_one(0);
    assert!(network.equal_chains(&ALL).height() > height);
}
