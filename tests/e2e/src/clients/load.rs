//! Clients that keep a network busy.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use quorate_api::{RpcError, SubmitResult, TransactionStatus, Wait};
use quorate_genesis::Genesis;
use quorate_ledger::TransactionId;
use serde_json::{Value, json};

use crate::clients::rpc::{CallError, Rpc};
use crate::clients::signed::{SignedTransaction, Signer};
use crate::wait::{Signal, WAIT_LIMIT, until, wait_until};

/// Transactions per request.
const BATCH: usize = 100;

/// Transactions per request of a client that waits for their commit.
const WAITING_BATCH: usize = 20;

/// Upper limit of requests of such a client.
const MAX_REQUESTS: usize = 10_000;

/// How long such a client lets a node wait.
const WAIT_MS: u64 = 5_000;

/// Pause before a client retries a node that did not respond.
const PAUSE: Duration = Duration::from_millis(20);

fn parameters(transaction: &SignedTransaction, wait: Wait) -> Value {
    json!({ "transaction": transaction.hex, "wait": wait, "timeout_ms": WAIT_MS })
}

/// Submits transactions to one node, which responds after it has verified and admitted them.
/// Transactions that are refused temporarily are submitted again.
///
/// # Panics
/// If one is refused permanently, or not accepted in time.
pub fn submit_until_taken(address: SocketAddr, transactions: &[SignedTransaction]) {
    let rpc = Rpc::new(address);
    for batch in transactions.chunks(BATCH) {
        let mut open: Vec<&SignedTransaction> = batch.iter().collect();
        until(&format!("{address} accepts all transactions"), 2 * WAIT_LIMIT, || {
            let calls: Vec<Value> = open.iter().map(|signed| parameters(signed, Wait::Accepted)).collect();
            match rpc.batch::<SubmitResult>("tx_submit", &calls) {
                Ok(answers) => open = open_after(&open, &answers),
                Err(CallError::Refused(error)) if error.data.retryable => {}
                Err(error) => panic!("{address}: {error}"),
            }
            open.is_empty().then_some(())
        });
    }
}

fn open_after<'a>(
    sent: &[&'a SignedTransaction],
    answers: &[Result<SubmitResult, RpcError>],
) -> Vec<&'a SignedTransaction> {
    let mut open = Vec::new();
    for (signed, answer) in sent.iter().zip(answers) {
        match answer {
            Ok(SubmitResult { id, status, .. }) => {
                assert_eq!(*id, signed.id, "the response is for the requested transaction");
                match status {
                    TransactionStatus::Pending | TransactionStatus::Committed { .. } => {}
                    // The node did not verify the transaction within the given time.
                    TransactionStatus::Unknown => open.push(*signed),
                    TransactionStatus::Expired | TransactionStatus::Rejected { .. } => {
                        panic!("{id} is {}", status.name())
                    }
                }
            }
            Err(error) if error.data.retryable => open.push(*signed),
            Err(error) => panic!("{} was refused: {error}", signed.id),
        }
    }
    open
}

/// A transaction that a node reported as committed, with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The transaction.
    pub id: TransactionId,
    /// Height of its block.
    pub height: u64,
    /// Position in the block.
    pub index: u32,
}

/// Clients in the background, one for each given node. Each submits transactions to its node, waits
/// until they are committed, and records the reported places. Without a response it retries with
/// the same bytes.
#[derive(Debug)]
pub struct Load {
    stop: Arc<Signal>,
    counted: Arc<Counted>,
    clients: Vec<JoinHandle<Vec<Committed>>>,
}

/// Counters of transactions.
#[derive(Debug, Default)]
struct Counted {
    sent: AtomicUsize,
    committed: AtomicUsize,
    expired: AtomicUsize,
}

impl Load {
    /// Starts the clients.
    pub fn start(genesis: &Genesis, nodes: &[SocketAddr]) -> Load {
        Load::paced(genesis, nodes, Duration::ZERO)
    }

    /// Starts clients that pause after each response, so that they do not use all of the machine.
    pub fn paced(genesis: &Genesis, nodes: &[SocketAddr], pause: Duration) -> Load {
        let (stop, counted) = (Arc::<Signal>::default(), Arc::<Counted>::default());
        let clients = nodes.iter().map(|node| {
            let client = Client {
                rpc: Rpc::new(*node),
                signer: Signer::new(genesis, 5, 256),
                stop: Arc::clone(&stop),
                counted: Arc::clone(&counted),
                pause,
            };
            std::thread::spawn(move || client.run())
        });
        Load { clients: clients.collect(), stop, counted }
    }

    /// Waits until this many more transactions are reported committed.
    pub fn wait_for_more(&self, transactions: usize) {
        let enough = self.committed() + transactions;
        wait_until(&format!("{enough} transactions are reported committed"), || self.committed() >= enough);
    }

    /// Transactions reported `committed` so far.
    pub fn committed(&self) -> usize {
        self.counted.committed.load(Ordering::Relaxed)
    }

    /// Transactions submitted so far, each counted once. The result of some may be unknown.
    pub fn sent(&self) -> usize {
        self.counted.sent.load(Ordering::Relaxed)
    }

    /// Transactions reported `expired` so far.
    pub fn expired(&self) -> usize {
        self.counted.expired.load(Ordering::Relaxed)
    }

    /// Requests the clients to stop. Each still waits for its current response, so the counters may
    /// increase until then.
    pub fn stop(&self) {
        self.stop.raise();
    }

    /// Whether all clients have stopped.
    pub fn has_stopped(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Stops the clients; returns all transactions that were reported committed.
    ///
    /// # Panics
    /// If a client did: a node refused a transaction that it must accept.
    pub fn finish(mut self) -> Vec<Committed> {
        self.stop.raise();
        let clients = std::mem::take(&mut self.clients);
        clients.into_iter().flat_map(|client| client.join().expect("a client was refused")).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.raise();
    }
}

struct Client {
    rpc: Rpc,
    signer: Signer,
    stop: Arc<Signal>,
    counted: Arc<Counted>,
    pause: Duration,
}

impl Client {
    fn run(mut self) -> Vec<Committed> {
        let mut committed = Vec::new();
        let mut open: Vec<SignedTransaction> = Vec::new();
        let mut pause = Duration::ZERO;
        for _ in 0..MAX_REQUESTS {
            if self.stop.wait(pause) {
                break;
            }
            let fresh = WAITING_BATCH - open.len();
            self.counted.sent.fetch_add(fresh, Ordering::Relaxed);
            open.extend(self.signer.sign_many(fresh));
            let calls: Vec<Value> = open.iter().map(|signed| parameters(signed, Wait::Committed)).collect();
            match self.rpc.batch::<SubmitResult>("tx_submit", &calls) {
                Ok(answers) => {
                    open = self.listen(open, &answers, &mut committed);
                    pause = self.pause;
                }
                Err(CallError::Refused(error)) if !error.data.retryable => panic!("{error}"),
                Err(CallError::Invalid(what)) => panic!("{what}"),
                // The node was killed, or is about to be.
                Err(_) => pause = PAUSE,
            }
        }
        committed
    }

    /// Records committed transactions; returns the ones that are still open.
    fn listen(
        &self,
        sent: Vec<SignedTransaction>,
        answers: &[Result<SubmitResult, RpcError>],
        committed: &mut Vec<Committed>,
    ) -> Vec<SignedTransaction> {
        let mut open = Vec::new();
        for (signed, answer) in sent.into_iter().zip(answers) {
            match answer.as_ref().map(|answer| &answer.status) {
                Ok(TransactionStatus::Committed { height, index }) => {
                    committed.push(Committed { id: signed.id, height: *height, index: *index });
                    self.counted.committed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(TransactionStatus::Pending | TransactionStatus::Unknown) => open.push(signed),
                // A long test outlives its transactions, which may then expire.
                Ok(TransactionStatus::Expired) => self.expired(),
                Ok(TransactionStatus::Rejected { message, .. }) => {
                    panic!("{} was rejected: {message}", signed.id)
                }
                Err(error) if error.data.retryable => open.push(signed),
                Err(error) if error.kind() == quorate_api::ErrorKind::TransactionExpired => self.expired(),
                Err(error) => panic!("{} was refused: {error}", signed.id),
            }
        }
        open
    }

    fn expired(&self) {
        self.counted.expired.fetch_add(1, Ordering::Relaxed);
    }
}
