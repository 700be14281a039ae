use quorate_engine::{Answer, Ask, Event, HeadClaim, Refusal, Submission};
use quorate_ledger::{ReplicaId, TransactionId, VerifiedTransaction};
use tokio::sync::oneshot;

/// Everything that the engine's thread, or an observer's, may be asked to do.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "work is moved once or twice, never kept")]
pub(crate) enum Work {
    /// Something happened that nobody here waits for.
    Event(Event),
    /// A client's transaction, verified.
    Submit { transaction: VerifiedTransaction, reply: oneshot::Sender<Result<Submission, Refusal>> },
    /// A member's question for transactions in flight.
    Ask { ask: Ask, reply: oneshot::Sender<Answer> },
    /// Where a transaction stands that the ledger does not have.
    StatusOf { id: TransactionId, reply: oneshot::Sender<Standing> },
    /// An observer has connected, and is to be told where this validator stands.
    ObserverUp,
    /// To an observer: a validator says where it stands.
    Head { from: ReplicaId, claim: HeadClaim },
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

/// Most pieces of work that wait for the engine. Whoever adds one more waits: peers through the backpressure
/// of their streams, clients until their request times out.
pub(crate) const INBOX: usize = 4096;

/// Most pieces of work in one group, which share a sync.
pub(crate) const GROUP: usize = 512;
