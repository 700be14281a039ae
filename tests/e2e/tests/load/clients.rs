//! Load through the project's own client, with the result of each transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use quorate_api::TransactionStatus;
use quorate_client::{Client, ClientConfig, ClientError, Rpc, TransactionBuilder};
use quorate_e2e::{Network, Random, WAIT_LIMIT};
use quorate_genesis::Genesis;
use quorate_ledger::{Receipt, SecretKey, Transaction, TransactionId};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::{PAUSE, urls};

/// Clients at a time. Each submits one transaction after the other.
const CLIENTS: usize = 16;

/// How long a client waits before it submits the same bytes again. Nodes wait at most this long for
/// a commit.
const WAIT: Duration = Duration::from_secs(5);

/// Upper limit of a transaction's data in bytes.
const MAX_DATA_BYTES: usize = 600;

/// A submitted transaction.
pub(crate) struct Submitted {
    pub(crate) id: TransactionId,
    /// The proof that it was committed; `None` if it expired.
    pub(crate) receipt: Option<Receipt>,
}

/// Clients in the background.
pub(crate) struct Clients {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicUsize>,
    running: Vec<JoinHandle<Vec<Submitted>>>,
}

impl Clients {
    /// Starts clients that know all nodes, each with another first node.
    pub(crate) fn start(network: &Network, random: &mut Random) -> Clients {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (stop, committed) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let spawn = |number: usize| {
            let mut urls = urls(network);
            urls.rotate_left(number % network.size());
            let genesis = network.genesis();
            let worker = Worker {
                client: Client::new(urls, genesis.anchor().clone(), ClientConfig::default()).unwrap(),
                genesis: genesis.clone(),
                random: random.branch(),
                committed: Arc::clone(&committed),
            };
            runtime.spawn(worker.run(Arc::clone(&stop)))
        };
        let running = (0..CLIENTS).map(spawn).collect();
        Clients { runtime, stop, committed, running }
    }

    /// Transactions reported `committed` so far.
    pub(crate) fn committed(&self) -> usize {
        self.committed.load(Ordering::Relaxed)
    }

    /// Waits for the result of each transaction; returns the results.
    ///
    /// # Panics
    /// If a client did: a response was wrong or missing.
    pub(crate) fn finish(self) -> Vec<Submitted> {
        self.stop.store(true, Ordering::Relaxed);
        let Clients { runtime, running, .. } = self;
        let all = running
            .into_iter()
            .map(|client| runtime.block_on(client).expect("a client received a wrong response"));
        all.flatten().collect()
    }
}

struct Worker {
    client: Client,
    genesis: Genesis,
    random: Random,
    committed: Arc<AtomicUsize>,
}

impl Worker {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Submitted> {
        let mut submitted = Vec::new();
        let key = SecretKey::generate();
        while !stop.load(Ordering::Relaxed) {
            let bytes = self.random.below(MAX_DATA_BYTES);
            let data = self.random.bytes(bytes);
            let builder = TransactionBuilder::new(self.genesis.chain_id(), data).nonce(self.random.number());
            let transaction = builder.sign(&key).unwrap();
            let receipt = self.submit_until_final(&transaction).await;
            if let Some(receipt) = &receipt {
                self.committed.fetch_add(1, Ordering::Relaxed);
                self.check_place(self.client.preferred(), receipt).await;
            }
            submitted.push(Submitted { id: transaction.id(), receipt });
        }
        submitted
    }

    /// Submits the same bytes until the result is final.
    async fn submit_until_final(&self, transaction: &Transaction) -> Option<Receipt> {
        let id = transaction.id();
        let deadline = Instant::now() + 3 * WAIT_LIMIT;
        loop {
            let problem = match self.client.submit_and_wait(transaction, WAIT).await {
                Ok(submitted) => match (submitted.status, submitted.receipt) {
                    (TransactionStatus::Committed { .. }, Some(receipt)) => return Some(receipt),
                    (TransactionStatus::Expired, None) => return None,
                    (TransactionStatus::Pending | TransactionStatus::Unknown, None) => {
                        "it is pending".to_owned()
                    }
                    odd => panic!("{id} is {odd:?}"),
                },
                Err(ClientError::Call(error)) => error.to_string(),
                Err(error) => panic!("{id}: {error}"),
            };
            assert!(Instant::now() < deadline, "{id} has no final result: {problem}");
            sleep(PAUSE).await;
        }
    }

    /// Asserts that the node that reported `committed` has the transaction at the reported place.
    /// The node may be killed before it responds, so its first response counts.
    async fn check_place(&self, node: &Rpc, receipt: &Receipt) {
        let id = receipt.transaction;
        let deadline = Instant::now() + WAIT_LIMIT;
        let found = loop {
            match node.tx_get(id).await {
                Ok(found) => break found,
                Err(error) => assert!(Instant::now() < deadline && error.is_retryable(), "{error}"),
            }
            sleep(PAUSE).await;
        };
        let found =
            found.unwrap_or_else(|| panic!("{} reported {id} as committed and does not have it", node.url()));
        let place = (receipt.proof.header.height.0, receipt.index);
        assert_eq!((found.height, found.index), place, "{id} at {}", node.url());
        let transaction = Transaction::try_from(&found.transaction);
        assert_eq!(transaction.map(|transaction| transaction.id()).ok(), Some(id), "at {}", node.url());
    }
}
