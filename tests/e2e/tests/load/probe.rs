//! Measures how long correct clients wait for their transactions.

use std::fmt;
use std::time::Duration;

use quorate_api::{TransactionStatus, Wait};
use quorate_client::{ClientConfig, Rpc, TransactionBuilder};
use quorate_e2e::{Network, WAIT_LIMIT};
use quorate_genesis::Genesis;
use quorate_ledger::{Receipt, SecretKey};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use crate::{PAUSE, urls};

/// Interval between two transactions.
const PACE: Duration = Duration::from_millis(50);

/// Bytes of data in each.
const DATA_BYTES: usize = 256;

/// How long a node should wait for the commit.
const WAIT: Duration = Duration::from_secs(20);

/// Submits transactions at a steady rate, to one node after the other.
pub(crate) struct Probe {
    runtime: Runtime,
    nodes: Vec<Rpc>,
    genesis: Genesis,
}

/// Times from when transactions were due until they were reported committed, sorted.
pub(crate) struct Latencies(Vec<Duration>);

impl Probe {
    pub(crate) fn of(network: &Network) -> Probe {
        let config = ClientConfig::default();
        Probe {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap(),
            nodes: urls(network).iter().map(|url| Rpc::new(url, &config).unwrap()).collect(),
            genesis: network.genesis().clone(),
        }
    }

    /// Measures for this duration. `look` is called before each transaction is submitted.
    ///
    /// # Panics
    /// If a transaction is not committed in the end, or not proven.
    pub(crate) fn measure(&self, duration: Duration, mut look: impl FnMut()) -> Latencies {
        let key = SecretKey::generate();
        let mut latencies = self.runtime.block_on(async {
            let (mut waiting, mut ticks, start) = (JoinSet::new(), interval(PACE), Instant::now());
            for node in self.nodes.iter().cycle() {
                let due = ticks.tick().await;
                if start.elapsed() >= duration {
                    break;
                }
                look();
                waiting.spawn(commit(node.clone(), self.genesis.clone(), key.clone(), due));
            }
            waiting.join_all().await
        });
        latencies.sort_unstable();
        Latencies(latencies)
    }
}

async fn commit(node: Rpc, genesis: Genesis, key: SecretKey, due: Instant) -> Duration {
    let transaction = TransactionBuilder::new(genesis.chain_id(), vec![1; DATA_BYTES]).sign(&key).unwrap();
    let id = transaction.id();
    loop {
        let problem = match node.tx_submit(transaction.to_bytes(), Wait::Committed, WAIT).await {
            Ok(result) => match (result.status, result.receipt) {
                (TransactionStatus::Committed { .. }, Some(receipt)) => {
                    let took = due.elapsed();
                    let receipt = Receipt::try_from(&receipt).unwrap();
                    assert_eq!((receipt.transaction, receipt.verify(genesis.anchor())), (id, Ok(())));
                    return took;
                }
                (status, _) => status.name().to_owned(),
            },
            Err(error) => {
                assert!(error.is_retryable(), "{id}: {error}");
                error.to_string()
            }
        };
        assert!(due.elapsed() < WAIT_LIMIT, "{id} has no final result at {}: {problem}", node.url());
        sleep(PAUSE).await;
    }
}

impl Latencies {
    /// The time that this percentage of them does not exceed: the nearest rank.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100).max(1) - 1]
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |percent| self.percentile(percent).as_micros() as f64 / 1000.0;
        write!(
            f,
            "p50 {:.1} p90 {:.1} p99 {:.1} max {:.1} ms, {} transactions",
            at(50),
            at(90),
            at(99),
            at(100),
            self.0.len()
        )
    }
}
