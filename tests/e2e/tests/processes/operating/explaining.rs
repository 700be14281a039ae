//! A node explains why nothing is ordered.

use std::fs;
use std::time::Duration;

use quorate_api::{DeadlinePurpose, Explanation, ProgressState, TransactionStatus, Wait};
use quorate_e2e::{Finished, Invocation, Load, Network, Signer, until};
use serde_json::Value;

/// Long enough that the timeout of a failed primary has not expired when all requests are answered.
const REQUEST_TIMEOUT_MS: u64 = 20_000;

/// Pause between two requests of a client.
const PACE: Duration = Duration::from_millis(30);

/// Waits until a validator explains itself with this state; returns the explanation.
fn explanation(network: &Network, reporter: usize, state: ProgressState) -> Explanation {
    let rpc = network.rpc(reporter);
    until(
        &format!("{} reports {state}", network.validators()[reporter].name),
        2 * quorate_e2e::WAIT_LIMIT,
        || {
            let report = rpc.explanation();
            (report.state == state).then_some(report)
        },
    )
}

fn explain(network: &Network, reporter: usize, arguments: &[&str]) -> Finished {
    let rpc = &network.validators()[reporter].rpc;
    let line = Invocation::new(["explain", "--rpc", rpc]);
    arguments.iter().fold(line, |line, argument| line.arg(argument)).run()
}

/// Two of four are killed: a survivor reports that there is no quorum and which validators are
/// missing, over RPC and on the command line. The report ends when one of the two returns.
#[test]
fn without_a_quorum_a_survivor_names_who_is_missing() {
    let mut network = Network::running(4);
    network.order_one(0);
    // The first three order before the fourth has sent a message.
    let reporter = network.rpc(0);
    let idle = until("validator-0 is idle and in contact with all", quorate_e2e::WAIT_LIMIT, || {
        let report = reporter.explanation();
        (report.state == ProgressState::Idle && report.contact.silent.is_empty()).then_some(report)
    });
    assert!(idle.making_progress && idle.timer.is_none() && idle.actions.is_empty(), "{idle:?}");
    let page = explain(&network, 0, &[]).expect_code(0);
    assert!(page.stdout.contains("idle") && page.stdout.contains("Nothing waits"), "{page}");

    network.kill(2);
    network.kill(3);
    let report = until("both are reported missing", quorate_e2e::WAIT_LIMIT, || {
        let report = reporter.explanation();
        let gone: Vec<u16> = report.contact.silent.iter().map(|member| member.index).collect();
        (gone == [2, 3] && report.contact.silent.iter().all(|member| !member.connected)).then_some(report)
    });
    assert_eq!((report.state, report.making_progress), (ProgressState::NoQuorumContact, false));
    assert_eq!((report.contact.needed, report.contact.more_needed), (2, 1));
    let names = [2, 3].map(|index: usize| network.validators()[index].name.clone());
    for name in &names {
        assert!(report.summary.contains(name) && report.actions[0].contains(name), "{report:?}");
    }

    let page = explain(&network, 0, &[]).expect_code(3);
    assert!(page.stdout.contains("No quorum"), "{page}");
    assert!(names.iter().all(|name| page.stdout.contains(&format!("{name} (no connection)"))), "{page}");
    let json = explain(&network, 1, &["--output", "json"]).expect_code(3).stdout;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["state"], "no_quorum_contact");

    network.start(3);
    let report = explanation(&network, 0, ProgressState::Idle);
    assert_eq!(report.contact.silent.iter().map(|member| member.index).collect::<Vec<_>>(), [2]);
    assert!(
        report.actions[0].contains(&names[0]),
        "the first remedy is about the missing validator: {report:?}"
    );
}

/// The primary is killed while clients wait: a survivor reports what it waits for, from which
/// validator, and which one would be the next primary.
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
    // First the blocks that it had already proposed are ordered.
    let report = explanation(&network, survivors[0], ProgressState::WaitingForProposal);
    assert_eq!((report.view, report.active, usize::from(report.primary.index)), (view, true, primary));
    assert!(report.pool_transactions > 0 && report.waiting_ms.is_some(), "{report:?}");
    let silent: Vec<usize> = report.contact.silent.iter().map(|member| usize::from(member.index)).collect();
    assert_eq!((silent, report.contact.more_needed), (vec![primary], 0));
    let timer = report.timer.expect("work waits for a primary");
    assert_eq!((timer.purpose, timer.next_view), (DeadlinePurpose::Request, view + 1));
    assert_eq!(usize::from(timer.next_primary.index), next);
    assert!(timer.in_ms <= REQUEST_TIMEOUT_MS);
    let [primary, next] = [primary, next].map(|index| network.validators()[index].name.clone());
    assert!(report.summary.contains(&primary), "{}", report.summary);
    assert!(report.actions[0].contains(&format!("Start or reconnect {primary}")), "{:?}", report.actions);

    let page = explain(&network, survivors[0], &[]).expect_code(3);
    assert!(page.stdout.contains(&format!("whose primary would be {next}")), "{page}");
}

/// Status and explanation are never older than what a client was told about its transaction.
#[test]
fn a_transaction_reported_committed_is_not_shown_in_flight() {
    let network = Network::running(4);
    let rpc = network.rpc(1);
    let mut signer = Signer::new(network.genesis(), 1, 32);
    for _ in 0..30 {
        let signed = signer.sign();
        let answer = rpc.submit(&signed.hex, Wait::Committed, 10_000).unwrap();
        let TransactionStatus::Committed { height, .. } = answer.status else { panic!("{answer:?}") };
        let (report, status, state) = (rpc.explanation(), rpc.status(), rpc.consensus());
        assert!(report.committed_height >= height && report.heights.is_empty(), "{report:?}");
        assert!(status.head.height >= height && status.snapshot_age_ms < 6_000, "{status:?}");
        assert!(state.committed_height >= height && state.in_flight.is_empty(), "{state:?}");
        let ready = rpc.text("/readyz?verbose").unwrap();
        assert!(!ready.contains("reported 0\"") && !ready.contains("others at 0"), "{ready}");
    }
}

/// The ledgers of all validators were restored from older copies, but not their journals. No
/// validator may vote before it has the blocks that its journal refers to, and no validator has
/// them. The suggested remedy works.
#[test]
fn ledgers_that_are_all_older_than_the_journals_are_reported_with_a_remedy() {
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
        let report = until("it reports that this does not end by itself", quorate_e2e::WAIT_LIMIT, || {
            let report = rpc.explanation();
            report.summary.contains("does not end by itself").then_some(report)
        });
        assert_eq!(report.state, ProgressState::Probing);
        assert!(
            report.actions.iter().any(|remedy| remedy.contains("newer copy of its ledger")),
            "{report:?}"
        );
    }
    network.stop(2);
    fs::copy(copy(&network, "newest", 2), ledger(&network, 2)).unwrap();
    network.start(2);
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
    network.order_one(0);
    assert!(network.equal_chains(&ALL).height() > height);
}
