#![allow(clippy::unwrap_used)]
use std::sync::Mutex;

use quorate_genesis::TestNetwork;
use quorate_ledger::{Transaction, from_hex};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::*;
use crate::commands::bench::fixtures::fake_node;
use crate::commands::bench::load::Load;
use crate::commands::bench::submit::{Pace, Plan};
use crate::commands::bench::tally::Tally;

/// Longer than any of these tests takes.
const BOUND: Duration = Duration::from_secs(60);

/// A chain that the test extends; the blocks are lists of transaction ids.
#[derive(Clone, Default)]
struct Chain(Arc<Mutex<Vec<Vec<String>>>>);

impl Chain {
    fn append(&self, ids: &[&str]) {
        self.0.lock().unwrap().push(ids.iter().map(|id| (*id).to_owned()).collect());
    }

    /// The response of a node with this chain. Heights start at 1, as the genesis is at 0.
    fn answer(&self, call: &Value) -> Value {
        let blocks = self.0.lock().unwrap();
        match call["method"].as_str().unwrap() {
            "chain_head" => json!({ "result": { "height": blocks.len(), "hash": "0x" } }),
            "chain_blocks" => {
                let from = usize::try_from(call["params"][0].as_u64().unwrap()).unwrap();
                assert_eq!(call["params"][2], false, "ids are enough");
                let told =
                    blocks.iter().enumerate().skip(from - 1).map(
                        |(index, ids)| json!({ "header": { "height": index + 1 }, "transactions": ids }),
                    );
                json!({ "result": { "blocks": told.collect::<Vec<_>>() } })
            }
            other => panic!("{other} was not expected"),
        }
    }
}

struct Watched {
    submission: Arc<Submission>,
    ids: Vec<String>,
}

fn watched(transactions: usize) -> Watched {
    let network = TestNetwork::seeded(4, 1);
    let load = Load::sign(network.genesis(), transactions, 8, 1, Duration::from_secs(1)).unwrap();
    let id = |position| Transaction::id_of(&from_hex(load.encoded(position)).unwrap()).to_string();
    let ids = (0..u32::try_from(transactions).unwrap()).map(id).collect();
    let tally = Arc::new(Tally::start(transactions));
    let plan = Plan { pace: Pace::Saturate { in_flight: 10 }, duration: BOUND, batch: 10, connections: 1 };
    Watched { submission: Arc::new(Submission::new(Arc::new(load), tally, Vec::new(), plan)), ids }
}

async fn until(condition: impl Fn() -> bool) {
    let met = async {
        let mut looks = interval(POLL_INTERVAL);
        while !condition() {
            looks.tick().await;
        }
    };
    timeout(BOUND, met).await.unwrap();
}

#[tokio::test]
async fn transactions_are_counted_from_the_blocks_above_the_head() {
    let Watched { submission, ids } = watched(4);
    let foreign = format!("0x{}", "00".repeat(32));
    let chain = Chain::default();
    chain.append(&[&ids[0]]); // before the run: not counted
    let node = fake_node({
        let chain = chain.clone();
        move |call| chain.answer(&call)
    });
    let watcher = Watcher::above_head(&[node.await]).await.unwrap();
    tokio::spawn(watcher.run(Arc::clone(&submission)));

    chain.append(&[&ids[1], &foreign, &ids[2]]);
    chain.append(&[&foreign]);
    let tally = &submission.tally;
    until(|| tally.committed_count() == 2).await;
    chain.append(&[&ids[3], &ids[1]]);
    until(|| tally.committed_count() == 3).await;

    let counts = tally.counts().clone();
    assert_eq!((counts.blocks, counts.foreign, counts.repeated), (2, 2, 1));
    assert_eq!(submission.room.available_permits(), 10 + 3, "each committed transaction releases a permit");
}

#[tokio::test]
async fn when_a_node_fails_the_next_one_is_watched_without_a_gap() {
    let Watched { submission, ids } = watched(2);
    let chain = Chain::default();
    let failing = fake_node({
        let chain = chain.clone();
        // It knows its head, and nothing more.
        move |call| match call["method"].as_str().unwrap() {
            "chain_head" => chain.answer(&call),
            _ => json!({ "error": { "code": -32603, "message": "no" } }),
        }
    });
    let good = fake_node({
        let chain = chain.clone();
        move |call| chain.answer(&call)
    });
    let watcher = Watcher::above_head(&[failing.await, good.await]).await.unwrap();
    tokio::spawn(watcher.run(Arc::clone(&submission)));
    chain.append(&[&ids[0]]);
    chain.append(&[&ids[1]]);
    until(|| submission.tally.committed_count() == 2).await;
    assert_eq!(submission.tally.counts().repeated, 0);
}

#[tokio::test]
async fn a_node_that_skips_blocks_is_not_believed() {
    let node = fake_node(|call| match call["method"].as_str().unwrap() {
        "chain_head" => json!({ "result": { "height": 4 } }),
        _ => json!({ "result": { "blocks": [
            { "header": { "height": 5 }, "transactions": [] },
            { "header": { "height": 7 }, "transactions": [] },
        ] } }),
    });
    let mut watcher = Watcher::above_head(&[node.await]).await.unwrap();
    assert_eq!(watcher.new_blocks().await.unwrap().len(), 1);
    assert_eq!(watcher.next_height, 6);
}

#[tokio::test]
async fn without_a_node_there_is_nothing_to_watch() {
    let error = Watcher::above_head(&[]).await.err().unwrap();
    assert!(error.to_string().contains("does the network run"), "{error}");
}
