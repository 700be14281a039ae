use std::sync::Arc;

use quorate_engine::{Answer, Ask, Event, Overview, Refusal, Submission};
use quorate_ledger::{TransactionId, VerifiedTransaction};
use quorate_pbft::Now;
use tokio::sync::oneshot;

/// Everything that the engine's thread may be asked to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// Something happened that nobody here waits for.
    Event(Event),
    /// A client's transaction, verified.
    Submit { transaction: VerifiedTransaction, reply: oneshot::Sender<Result<Submission, Refusal>> },
    /// A member's question for transactions in flight.
    Ask { ask: Ask, reply: oneshot::Sender<Answer> },
    /// Where a transaction stands that the ledger does not have.
    StatusOf { id: TransactionId, reply: oneshot::Sender<Standing> },
    /// Finish what was taken, make everything durable, and end.
    Stop,
}

/// What the engine knows of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Pending,
    Expired,
    Unknown,
}

/// What the engine's thread last said about itself.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) overview: Overview,
    pub(crate) at: Now,
}

/// The latest snapshot, shared with everyone who shows it.
pub(crate) type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

/// Most pieces of work that wait for the engine. Whoever adds one more waits: peers through the backpressure
/// of their streams, clients until their request times out.
pub(crate) const INBOX: usize = 4096;

/// Most pieces of work in one group, which share a sync.
pub(crate) const GROUP: usize = 512;
