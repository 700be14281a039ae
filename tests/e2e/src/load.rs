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

use crate::rpc::{CallError, Rpc};
use crate::signed::{SignedTransaction, Signer};
use crate::wait::{PATIENCE, Signal, until, wait_until};

/// Transactions in a request.
const BATCH: usize = 100;

/// Transactions of a request of a client that waits for their commit.
const WAITING_BATCH: usize = 20;

/// Most requests of such a client, whatever happens.
const MAX_REQUESTS: usize = 10_000;

/// How long such a client lets a node wait.
const WAIT_MS: u64 = 5_000;

/// Before a client tries a node again that did not answer.
const PAUSE: Duration = Duration::from_millis(20);

fn parameters(transaction: &SignedTransaction, wait: Wait) -> Value {
    json!({ "transaction": transaction.hex, "wait": wait, "timeout_ms": WAIT_MS })
}

/// Hands transactions to one node, which answers once it has verified and admitted them. Whatever is
/// refused for now is handed in again.
///
/// # Panics
/// If one is refused for ever, or not taken in time.
pub fn submit_until_taken(address: SocketAddr, transactions: &[SignedTransaction]) {
    let rpc = Rpc::new(address);
    for batch in transactions.chunks(BATCH) {
        let mut open: Vec<&SignedTransaction> = batch.iter().collect();
        until(&format!("{address} takes all transactions"), 2 * PATIENCE, || {
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
                assert_eq!(*id, signed.id, "the answer is about what was asked");
                match status {
                    TransactionStatus::Pending | TransactionStatus::Committed { .. } => {}
                    // The node is busier than the time we gave it.
                    TransactionStatus::Unknown => open.push(*signed),
                    TransactionStatus::Rejected { .. } | TransactionStatus::Expired => {
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

/// A transaction of which a node has said that it is committed, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The transaction.
    pub id: TransactionId,
    /// Height of its block.
    pub height: u64,
    /// Position in the block.
    pub index: u32,
}

/// Clients in the background, one for each node they were given. Each hands in transactions to its node,
/// waits until they are committed, and remembers what it was told. One that is told nothing goes on trying
/// with the same bytes.
#[derive(Debug)]
pub struct Load {
    stop: Arc<Signal>,
    counted: Arc<Counted>,
    clients: Vec<JoinHandle<Vec<Committed>>>,
}

/// What became of transactions so far.
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

    /// Starts clients that pause after each answer, so that the machine is not busy with them alone.
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

    /// Waits until so many more transactions are answered committed.
    pub fn wait_for_more(&self, transactions: usize) {
        let enough = self.committed() + transactions;
        wait_until(&format!("{enough} transactions are answered committed"), || self.committed() >= enough);
    }

    /// Answers of `committed` so far.
    pub fn committed(&self) -> usize {
        self.counted.committed.load(Ordering::Relaxed)
    }

    /// Transactions that were handed in so far, each counted once. Of some it may not be known what became of them.
    pub fn sent(&self) -> usize {
        self.counted.sent.load(Ordering::Relaxed)
    }

    /// Answers of `expired` so far.
    pub fn expired(&self) -> usize {
        self.counted.expired.load(Ordering::Relaxed)
    }

    /// Tells the clients to stop. Each still waits for the answer that it waits for; until then there may be more of
    /// all that is counted.
    pub fn stop(&self) {
        self.stop.raise();
    }

    /// Whether all clients have stopped.
    pub fn has_stopped(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Stops the clients; answers all they were told to be committed.
    ///
    /// # Panics
    /// If a client did: a node has refused what it had to take.
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
                Err(CallError::Odd(what)) => panic!("{what}"),
                // It was killed, or is about to be.
                Err(_) => pause = PAUSE,
            }
        }
        committed
    }

    /// Remembers what was committed; answers what is still open.
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
                // A long test outlives them; nothing was promised.
                Ok(TransactionStatus::Expired) => self.expired(),
                Ok(TransactionStatus::Rejected { reason }) => panic!("{} was rejected: {reason}", signed.id),
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
