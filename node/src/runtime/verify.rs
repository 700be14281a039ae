//! Signatures of transactions are checked here, once per node, on threads of their own.

use std::sync::{Arc, Mutex, PoisonError};

use quorate_engine::{Event, FetchId, Fetched, Refusal, Submission};
use quorate_ledger::{ReplicaId, SignatureCache, Transaction, TransactionLimits, VerifiedTransaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::work::Work;

/// Jobs that wait for a thread. Beyond, clients wait and gossip is dropped: what gossip loses is sent again.
const QUEUE: usize = 1024;

/// Batches of one member among them. A member that floods fills its own share and drops its own batches.
const BATCHES_PER_MEMBER: usize = 32;

/// Jobs that a thread takes at a time.
const TAKE: usize = 32;

/// One piece of checking.
pub(crate) enum Job {
    /// From a client, who waits.
    Submit { transaction: Transaction, reply: oneshot::Sender<Result<Submission, Refusal>> },
    /// Passed on by a member, with its place in that member's share.
    Batch { transactions: Vec<Transaction>, _place: OwnedSemaphorePermit },
    /// Answered by a member to a question for transactions.
    Fetched { fetch: FetchId, from: ReplicaId, transactions: Vec<Transaction> },
}

/// The way to the checking threads.
#[derive(Clone)]
pub(crate) struct Verifier {
    jobs: mpsc::Sender<Job>,
    /// A share for each member, by index.
    shares: Arc<[Arc<Semaphore>]>,
}

impl Verifier {
    /// Starts the threads. They end when every sender of jobs is gone.
    pub(crate) fn start(
        threads: usize,
        members: usize,
        cache: SignatureCache,
        limits: TransactionLimits,
        inbox: &mpsc::Sender<Work>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new((Mutex::new(queue), cache));
        for number in 0..threads.max(1) {
            let worker = Worker { shared: Arc::clone(&shared), limits, inbox: inbox.clone() };
            std::thread::Builder::new().name(format!("verify-{number}")).spawn(move || worker.run())?;
        }
        let share = || Arc::new(Semaphore::new(BATCHES_PER_MEMBER));
        Ok(Verifier { jobs, shares: std::iter::repeat_with(share).take(members).collect() })
    }

    /// Queues a client's transaction; waits while the queue is full. The reply tells the outcome; it is
    /// dropped if the node is stopping.
    pub(crate) async fn submit(
        &self,
        transaction: Transaction,
    ) -> oneshot::Receiver<Result<Submission, Refusal>> {
        let (reply, outcome) = oneshot::channel();
        // With the threads gone the reply is dropped, which says the same.
        let _ = self.jobs.send(Job::Submit { transaction, reply }).await;
        outcome
    }

    /// Queues transactions that a member passed on, or drops them if its share or the queue is full.
    pub(crate) fn offer(&self, from: ReplicaId, transactions: Vec<Transaction>) {
        let count = transactions.len();
        let place = Arc::clone(&self.shares[from.index()]).try_acquire_owned().ok();
        let queued =
            place.is_some_and(|_place| self.jobs.try_send(Job::Batch { transactions, _place }).is_ok());
        if !queued {
            tracing::debug!(count, "gossiped transactions dropped: signatures are not checked fast enough");
        }
    }

    /// Jobs that wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Queues an answer; waits while the queue is full.
    pub(crate) async fn fetched(&self, fetch: FetchId, from: ReplicaId, transactions: Vec<Transaction>) {
        let _ = self.jobs.send(Job::Fetched { fetch, from, transactions }).await;
    }
}

struct Worker {
    shared: Arc<(Mutex<mpsc::Receiver<Job>>, SignatureCache)>,
    limits: TransactionLimits,
    inbox: mpsc::Sender<Work>,
}

impl Worker {
    fn run(self) {
        let mut jobs = Vec::with_capacity(TAKE);
        loop {
            // Whoever holds the queue waits for jobs; the others wait for the queue.
            let mut queue = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.blocking_recv_many(&mut jobs, TAKE) == 0 {
                return;
            }
            drop(queue);
            for job in jobs.drain(..) {
                let Some(work) = self.check(job) else { continue };
                if self.inbox.blocking_send(work).is_err() {
                    return;
                }
            }
        }
    }

    fn check(&self, job: Job) -> Option<Work> {
        match job {
            Job::Submit { transaction, reply } => match self.verify(transaction) {
                Ok(transaction) => Some(Work::Submit { transaction, reply }),
                Err(refusal) => {
                    // An error here means that the client is gone.
                    let _ = reply.send(Err(refusal));
                    None
                }
            },
            Job::Batch { transactions, _place } => {
                let good = self.verify_all(transactions);
                (!good.is_empty()).then(|| Work::Event(Event::Gossiped(good)))
            }
            Job::Fetched { fetch, from, transactions } => {
                let answer = Some(Fetched::Transactions(self.verify_all(transactions)));
                Some(Work::Event(Event::Answered { fetch, from, answer }))
            }
        }
    }

    /// Checks up to the first bad one. A correct member passes on only what it has verified, so whatever comes
    /// after a bad one is not worth a signature.
    fn verify_all(&self, transactions: Vec<Transaction>) -> Vec<VerifiedTransaction> {
        let check = |transaction| match self.verify(transaction) {
            Ok(transaction) => Some(transaction),
            Err(refusal) => {
                tracing::debug!(%refusal, "a validator passed on a bad transaction");
                None
            }
        };
        transactions.into_iter().map_while(check).collect()
    }

    fn verify(&self, transaction: Transaction) -> Result<VerifiedTransaction, Refusal> {
        // Whatever can be told without the signature comes first: it costs nothing.
        transaction.check_form(&self.limits)?;
        Ok(self.shared.1.verify(transaction)?)
    }
}
