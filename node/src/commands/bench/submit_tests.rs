#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use quorate_genesis::TestNetwork;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::commands::bench::fixtures::fake_node;

/// Longer than any of these runs takes.
const RUN: Duration = Duration::from_secs(60);

/// Answers every entry of a batch.
fn each(batch: &Value, mut answer: impl FnMut(u64) -> Value) -> Value {
    let replies = batch.as_array().unwrap().iter().map(|call| {
        assert_eq!(call["method"], "tx_submit");
        assert!(call["params"][0].as_str().unwrap().starts_with("0x"));
        let id = call["id"].as_u64().unwrap();
        let mut reply = answer(id);
        reply["jsonrpc"] = "2.0".into();
        reply["id"] = id.into();
        reply
    });
    Value::Array(replies.collect())
}

fn pending() -> Value {
    json!({ "result": { "id": "0x00", "status": "pending" } })
}

fn error(kind: ErrorKind) -> Value {
    let error = RpcError::new(kind, "no");
    json!({ "error": { "code": error.code, "message": error.message, "data": error.data } })
}

fn plan(in_flight: u32) -> Plan {
    Plan { pace: Pace::Saturate { in_flight }, duration: RUN, batch: 10, connections: 2 }
}

async fn run(transactions: usize, endpoints: Vec<Endpoint>, plan: Plan) -> Arc<Tally> {
    let network = TestNetwork::seeded(4, 1);
    let load = Load::sign(network.genesis(), transactions, 8, 2, Duration::from_secs(1)).unwrap();
    let tally = Arc::new(Tally::start(transactions));
    let submission = Submission::new(Arc::new(load), Arc::clone(&tally), endpoints, plan);
    Arc::new(submission).run().await;
    tally
}

fn kinds(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

#[tokio::test]
async fn what_a_full_pool_refuses_is_sent_again_until_it_is_taken() {
    let seen = Arc::new(std::sync::Mutex::new(BTreeMap::<u64, u64>::new()));
    let node = fake_node(move |batch| {
        each(&batch, |id| {
            let mut seen = seen.lock().unwrap();
            let times = seen.entry(id).or_default();
            *times += 1;
            // The pool is full twice for odd ids.
            if id % 2 == 1 && *times < 3 { error(ErrorKind::PoolFull) } else { pending() }
        })
    });
    let tally = run(20, vec![node.await], plan(100)).await;
    let counts = tally.counts();
    assert_eq!((counts.submitted, counts.accepted, counts.given_up), (20, 20, 0));
    assert_eq!(counts.retried, kinds(&[("pool_full", 20)]));
    assert!(counts.refused.is_empty());
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted_and_makes_room() {
    let node = fake_node(|batch| each(&batch, |_| error(ErrorKind::BadSignature)));
    // Without permits released for refusals, the run would stop after the first ten and last its
    // whole duration.
    let tally = run(50, vec![node.await], plan(10)).await;
    let counts = tally.counts();
    assert_eq!((counts.submitted, counts.accepted), (50, 0));
    assert_eq!(counts.refused, kinds(&[("bad_signature", 50)]));
}

#[tokio::test]
async fn an_end_other_than_committed_is_a_refusal() {
    let node = fake_node(|batch| {
        each(&batch, |id| match id {
            0 | 1 => json!({ "result": { "status": "expired" } }),
            2 => json!({}),
            3 => json!({ "error": { "code": -32603, "message": "no data" } }),
            _ => json!({ "result": { "status": "committed", "height": 1, "index": 0 } }),
        })
    });
    let tally = run(10, vec![node.await], plan(10)).await;
    let counts = tally.counts();
    assert_eq!(counts.accepted, 6);
    let refused = [("expired", 2), ("unreadable_answer", 1), ("internal", 1)];
    assert_eq!(counts.refused, kinds(&refused));
}

#[tokio::test]
async fn a_refused_batch_is_counted_whole() {
    let node = fake_node(|_| error(ErrorKind::BatchTooLarge));
    let tally = run(20, vec![node.await], plan(20)).await;
    assert_eq!(tally.counts().refused, kinds(&[("batch_too_large", 20)]));
}

#[tokio::test]
async fn the_transactions_of_a_dead_node_go_to_another_one() {
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
    };
    let alive = fake_node(|batch| each(&batch, |_| pending())).await;
    let tally = run(200, vec![dead, alive], plan(200)).await;
    let counts = tally.counts();
    assert_eq!((counts.accepted, counts.given_up), (200, 0));
    assert!(counts.retried.keys().all(|kind| kind == "connection"), "{:?}", counts.retried);
}

#[tokio::test]
async fn when_the_time_is_over_nothing_is_sent_again() {
    let node = fake_node(|batch| each(&batch, |_| error(ErrorKind::PoolFull))).await;
    let plan = Plan { duration: Duration::from_millis(1), ..plan(20) };
    let tally = run(20, vec![node], plan).await;
    let counts = tally.counts();
    assert_eq!(counts.accepted, 0);
    assert_eq!(counts.given_up, counts.submitted, "whatever was sent was given up in the end");
}

#[tokio::test]
async fn at_a_rate_latency_counts_from_when_a_transaction_was_due() {
    let node = fake_node(|batch| each(&batch, |_| pending())).await;
    let plan = Plan { pace: Pace::Rate(10_000.0), ..plan(0) };
    let tally = run(100, vec![node], plan).await;
    assert_eq!(tally.counts().accepted, 100);
    for position in 0..100 {
        assert!(tally.committed(position));
    }
    let latencies = tally.latencies();
    let (shortest, longest) = (latencies[0], latencies[99]);
    assert!(
        longest - shortest >= 9000,
        "the first was due 9.9 ms before the last: {shortest} to {longest} µs"
    );
}

/// Due transactions are sent at once: at one in ten seconds, the first is sent at the start and not
/// when the second is due.
#[tokio::test]
async fn at_a_rate_nothing_waits_for_what_comes_after_it() {
    let begun = Instant::now();
    let (arrived, arrivals) = std::sync::mpsc::channel();
    let node = fake_node(move |batch| {
        arrived.send(begun.elapsed()).unwrap();
        each(&batch, |_| pending())
    });
    let plan = Plan { pace: Pace::Rate(0.1), batch: 1, ..plan(0) };
    let tally = run(1, vec![node.await], plan).await;
    assert!(tally.committed(0));
    // It was due at the start of the run; the next one is due ten seconds later.
    let arrived = arrivals.recv().unwrap();
    assert!(arrived < Duration::from_secs(9), "{arrived:?}");
    assert!(tally.latencies()[0] < 9_000_000, "{:?}", tally.latencies());
}

#[test]
fn what_is_due_follows_the_clock() {
    assert_eq!(due_by(Duration::ZERO, 400.0), 1, "the first is due at once");
    assert_eq!(due_by(Duration::from_millis(2499), 400.0), 1000);
    assert_eq!(due_by(Duration::from_millis(2500), 400.0), 1001);
    assert_eq!(due_by(Duration::MAX, 1e6), u32::MAX);
    assert_eq!(due_at(1000, 400.0), Duration::from_millis(2500));
}
