use quorate_engine::{Event, FetchRequest, FetchResponse, Submission};
use quorate_ledger::{Refusal, TransactionId, VerifiedTransaction};
use tokio::sync::oneshot;

/// Everything that the engine's thread can process.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "work is moved once or twice, never kept")]
pub(crate) enum ValidatorWork {
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
