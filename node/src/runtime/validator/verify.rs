//! Verifies signatures of transactions, once per node, on threads of their own.

use std::sync::{Arc, Mutex, PoisonError};

use quorate_engine::{Event, FetchId, Fetched, Submission};
use quorate_ledger::{
    Epoch, MAX_MEMBERS, Refusal, ReplicaId, SignatureCache, Transaction, TransactionLimits,
    VerifiedTransaction,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::inbox::ValidatorWork;
use crate::runtime::epoch::EpochViews;

/// Upper limit of jobs that wait for a thread. When it is reached, clients wait and gossip is
/// dropped; lost gossip is sent again.
const QUEUE: usize = 1024;

/// Upper limit of batches of one member among them. A member that floods fills only its own share,
/// and its further batches are dropped.
const BATCHES_PER_MEMBER: usize = 32;

/// Jobs that a thread takes at a time.
const TAKE: usize = 32;

/// One verification job.
pub(crate) enum Job {
    /// From a client that waits.
    Submit { transaction: Transaction, reply: oneshot::Sender<Result<Submission, Refusal>> },
    /// Relayed by a member, with its place in that member's share.
    Batch { transactions: Vec<Transaction>, _place: OwnedSemaphorePermit },
    /// A member's response to a request for transactions of this epoch.
    Fetched { epoch: Epoch, fetch: FetchId, from: ReplicaId, transactions: Vec<Transaction> },
}

/// Handle of the verification threads.
#[derive(Clone)]
pub(crate) struct Verifier {
    jobs: mpsc::Sender<Job>,
    /// A share for each member that a committee can have, by index.
    shares: Arc<[Arc<Semaphore>]>,
}

impl Verifier {
    /// Starts the threads. They use the limits of the epoch in force, and end when every sender of
    /// jobs is gone.
    pub(crate) fn start(
        threads: usize,
        cache: SignatureCache,
        epochs: &EpochViews,
        inbox: &mpsc::Sender<ValidatorWork>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let shared = Arc::new((Mutex::new(queue), cache));
        for number in 0..threads.max(1) {
            let worker = Worker { shared: Arc::clone(&shared), epochs: epochs.clone(), inbox: inbox.clone() };
            std::thread::Builder::new().name(format!("verify-{number}")).spawn(move || worker.run())?;
        }
        let share = || Arc::new(Semaphore::new(BATCHES_PER_MEMBER));
        Ok(Verifier { jobs, shares: std::iter::repeat_with(share).take(MAX_MEMBERS).collect() })
    }

    /// Queues a client's transaction; waits while the queue is full. The reply contains the result;
    /// it is dropped if the node is stopping.
    pub(crate) async fn submit(
        &self,
        transaction: Transaction,
    ) -> oneshot::Receiver<Result<Submission, Refusal>> {
        let (reply, outcome) = oneshot::channel();
        // If the threads are gone, the reply is dropped, with the same meaning.
        let _ = self.jobs.send(Job::Submit { transaction, reply }).await;
        outcome
    }

    /// Queues transactions that a member relayed, or drops them if its share or the queue is full.
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

    /// Queues a response; waits while the queue is full.
    pub(crate) async fn fetched(
        &self,
        epoch: Epoch,
        fetch: FetchId,
        from: ReplicaId,
        transactions: Vec<Transaction>,
    ) {
        let _ = self.jobs.send(Job::Fetched { epoch, fetch, from, transactions }).await;
    }
}

struct Worker {
    shared: Arc<(Mutex<mpsc::Receiver<Job>>, SignatureCache)>,
    epochs: EpochViews,
    inbox: mpsc::Sender<ValidatorWork>,
}

impl Worker {
    fn run(self) {
        let mut jobs = Vec::with_capacity(TAKE);
        loop {
            // The worker that holds the lock waits for jobs; the other workers wait for the lock.
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

    fn check(&self, job: Job) -> Option<ValidatorWork> {
        let (epoch, limits) = self.limits();
        match job {
            Job::Submit { transaction, reply } => match self.verify(transaction, &limits) {
                Ok(transaction) => Some(ValidatorWork::Submit { epoch, transaction, reply }),
                Err(refusal) => {
                    // A send error means that the client is gone.
                    let _ = reply.send(Err(refusal));
                    None
                }
            },
            Job::Batch { transactions, _place } => {
                let transactions = self.verify_all(transactions, &limits);
                (!transactions.is_empty()).then_some(ValidatorWork::Gossiped { epoch, transactions })
            }
            Job::Fetched { epoch, fetch, from, transactions } => {
                let answer = Some(Fetched::Transactions(self.verify_all(transactions, &limits)));
                Some(ValidatorWork::Event { epoch, event: Event::Answered { fetch, from, answer } })
            }
        }
    }

    /// Verifies transactions up to the first bad one. A correct member relays only transactions
    /// that it has verified, so the ones after a bad one are not worth verifying.
    fn verify_all(
        &self,
        transactions: Vec<Transaction>,
        limits: &TransactionLimits,
    ) -> Vec<VerifiedTransaction> {
        let check = |transaction| match self.verify(transaction, limits) {
            Ok(transaction) => Some(transaction),
            Err(refusal) => {
                tracing::debug!(%refusal, "a validator relayed an invalid transaction");
                None
            }
        };
        transactions.into_iter().map_while(check).collect()
    }

    /// The epoch in force, and its limits.
    fn limits(&self) -> (Epoch, TransactionLimits) {
        let epoch = self.epochs.borrow();
        (epoch.epoch(), epoch.engine.pbft.limits.transaction)
    }

    fn verify(
        &self,
        transaction: Transaction,
        limits: &TransactionLimits,
    ) -> Result<VerifiedTransaction, Refusal> {
        // First check what needs no signature, because that is cheap.
        transaction.check_form(limits)?;
        Ok(self.shared.1.verify(transaction)?)
    }
}
