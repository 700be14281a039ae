//! Subscribers of each validator are cut off and resume, clients submit and wait, and validators
//! are killed.

use std::time::{Duration, Instant};

use quorate_api::LocatedTransaction;
use quorate_e2e::{Chain, Network, Random, WAIT_LIMIT, seed, until};
use serde_json::{Value, json};

use crate::clients::{Clients, Submitted};
use crate::readers::{Report, Seen, Subscriber, Transport};
use crate::{ALL, number};

/// How long validators are killed in the test that always runs.
const SHORT: Duration = Duration::from_secs(25);

/// How long they are killed in the other test, unless `QUORATE_E2E_SECONDS` is set.
const LONG_SECONDS: u64 = 600;

/// Minimum number of kills: enough to kill each validator, unless a primary restarts before it is
/// replaced.
const KILLS: usize = 5;

/// Transactions reported `committed` while a validator is dead, and after it restarted.
const BETWEEN: usize = 40;

/// Minimum number of streams of each subscriber that deliver a block.
const RESUMED: usize = 5;

/// Transactions per request.
const BATCH: usize = 100;

/// Alternately kills the primary and a backup, each time another one, and starts them again.
fn kill_in_turn(network: &mut Network, clients: &Clients, duration: Duration) -> usize {
    let start = Instant::now();
    let mut kills = 0;
    while kills < KILLS || start.elapsed() < duration {
        let primary = network.primary(0);
        let victim = if kills % 2 == 0 { primary } else { (primary + 2) % network.size() };
        network.kill(victim);
        more_committed(clients);
        network.start(victim);
        let other = (victim + 1) % network.size();
        network.wait_until_caught_up(victim, other);
        network.wait_until_it_votes(victim, other);
        more_committed(clients);
        kills += 1;
    }
    kills
}

fn more_committed(clients: &Clients) {
    let enough = clients.committed() + BETWEEN;
    until("more transactions are reported committed", WAIT_LIMIT, || {
        (clients.committed() >= enough).then_some(())
    });
}

/// Asserts that each submitted transaction has a final result that agrees with the blocks of every
/// validator.
fn assert_ended(network: &Network, submitted: &[Submitted], chain: &Chain) {
    let places = chain.places();
    for transaction in submitted {
        let place = places.get(&transaction.id);
        let Some(receipt) = &transaction.receipt else {
            assert_eq!(place, None, "{} was reported expired", transaction.id);
            continue;
        };
        assert_eq!(receipt.transaction, transaction.id);
        assert_eq!(receipt.verify(network.genesis().anchor()), Ok(()), "{}", transaction.id);
        let height = receipt.proof.header.height.0;
        assert_eq!(place, Some(&(height, receipt.index)), "{} was reported committed", transaction.id);
        let block = &chain.blocks()[usize::try_from(height).unwrap()];
        assert_eq!(receipt.proof.header.hash(), block.hash);
    }
    let committed = submitted.iter().filter(|transaction| transaction.receipt.is_some()).count();
    assert_eq!(places.len(), committed, "blocks contain only submitted transactions");
    for node in ALL {
        assert_found(network, node, submitted);
    }
}

/// Asserts that a validator finds every committed transaction at the place that its receipt proves.
fn assert_found(network: &Network, node: usize, submitted: &[Submitted]) {
    let receipts: Vec<_> = submitted.iter().filter_map(|transaction| transaction.receipt.as_ref()).collect();
    let rpc = network.rpc(node);
    for receipts in receipts.chunks(BATCH) {
        let ids: Vec<Value> =
            receipts.iter().map(|receipt| json!([receipt.transaction.to_string()])).collect();
        let found = rpc.batch::<Option<LocatedTransaction>>("tx_get", &ids).unwrap();
        for (receipt, found) in receipts.iter().zip(found) {
            let found = found.unwrap().map(|found| (found.transaction.id, found.height, found.index));
            let expected = (receipt.transaction, receipt.proof.header.height.0, receipt.index);
            assert_eq!(found, Some(expected), "validator {node}");
        }
    }
}

/// Asserts that a subscriber has received every block from 1 on, once and in order. The parent
/// hashes were checked when the blocks arrived.
fn assert_complete(report: &Report, chain: &Chain) {
    let expected = chain.blocks()[1..].iter();
    let expected: Vec<Seen> =
        expected.map(|block| Seen { hash: block.hash, transactions: block.transactions.ids() }).collect();
    let seen = &report.blocks[..expected.len().min(report.blocks.len())];
    assert!(seen == expected, "validator {} sent another chain over {:?}", report.node, report.transport);
    assert!(report.streams >= RESUMED, "{:?} was read in {} streams", report.transport, report.streams);
}

fn run_under_load(duration: Duration) {
    let mut random = Random::seeded(seed());
    let mut network = Network::running(4);
    let mut ways = [Transport::Client, Transport::Events, Transport::Client, Transport::Socket];
    ways.rotate_left(random.below(ALL.len()));
    let subscribers: Vec<Subscriber> =
        ALL.into_iter().map(|node| Subscriber::start(&network, node, ways[node], random.branch())).collect();
    let clients = Clients::start(&network, &mut random);

    let start = Instant::now();
    let kills = kill_in_turn(&mut network, &clients, duration);
    let submitted = clients.finish();

    let chain = network.equal_chains(&ALL);
    let reports: Vec<Report> =
        subscribers.into_iter().map(|subscriber| subscriber.finish(chain.height())).collect();
    println!(
        "{kills} kills in {} s, {} transactions in {} blocks, {} expired",
        start.elapsed().as_secs(),
        submitted.len(),
        chain.height(),
        submitted.iter().filter(|transaction| transaction.receipt.is_none()).count(),
    );
    for Report { node, transport, streams, failed, .. } in &reports {
        println!("validator {node} read by {transport:?} in {streams} streams, {failed} failed");
    }
    reports.iter().for_each(|report| assert_complete(report, &chain));
    assert_ended(&network, &submitted, &chain);
    for node in ALL {
        assert_eq!(network.rpc(node).consensus().evidence_count, 0);
        let log = network.log(node);
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn subscribers_miss_nothing_and_answers_hold_while_streams_are_cut_and_validators_killed() {
    run_under_load(SHORT);
}

/// Run `cargo test --release -p quorate-e2e --test load -- --ignored --nocapture for_long`.
#[test]
#[ignore = "takes ten minutes, or QUORATE_E2E_SECONDS"]
fn subscribers_miss_nothing_and_answers_hold_for_long() {
    run_under_load(Duration::from_secs(number("QUORATE_E2E_SECONDS").unwrap_or(LONG_SECONDS)));
}
