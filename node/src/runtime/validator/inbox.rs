use quorate_engine::{Event, FetchRequest, FetchResponse, HeadStatus, Refusal, Submission};
use quorate_ledger::{ReplicaId, TransactionId, VerifiedTransaction};
use tokio::sync::oneshot;

/// Everything that the engine's thread, or an observer's thread, can process.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "work is moved once or twice, never kept")]
pub(crate) enum Work {
    /// An event without a reply.
    Event(Event),
    /// A client's verified transaction.
    Submit { transaction: VerifiedTransaction, reply: oneshot::Sender<Result<Submission, Refusal>> },
    /// A member's request for transactions in flight.
    Fetch { request: FetchRequest, reply: oneshot::Sender<FetchResponse> },
    /// The state of a transaction that is not in the ledger.
    StatusOf { id: TransactionId, reply: oneshot::Sender<TransactionState> },
    /// An observer has connected and needs the head status of this validator.
    ObserverUp,
    /// For an observer: the head status of a validator.
    Head { from: ReplicaId, claim: HeadStatus },
    /// Finish the accepted work, make everything durable, and end.
    Stop,
}

/// The state of a transaction at the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Pending,
    Expired,
    Unknown,
}

/// Upper limit of pieces of work that wait for the engine. When it is reached, senders wait: peers
/// through the backpressure of their streams, clients until their requests time out.
pub(crate) const INBOX: usize = 4096;

/// Upper limit of pieces of work in one group. A group shares one disk sync.
pub(crate) const GROUP: usize = 512;
