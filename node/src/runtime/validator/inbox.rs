use quorate_engine::{End, Event, FetchRequest, FetchResponse, Submission};
use quorate_ledger::{Epoch, Refusal, TransactionId, VerifiedTransaction};
use quorate_network::PeerKey;
use tokio::sync::oneshot;

/// Everything that the engine's thread can process.
///
/// The same index is another member in another epoch. So work that names a member by its index says
/// in which epoch the index was read, and the thread drops it in any other epoch. Work without an
/// index is valid in every epoch.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "work is moved once or twice, never kept")]
pub(crate) enum ValidatorWork {
    /// An event without a reply, whose member indices are those of this epoch.
    Event { epoch: Epoch, event: Event },
    /// Transactions that another node relayed, checked with the limits of this epoch.
    Gossiped { epoch: Epoch, transactions: Vec<VerifiedTransaction> },
    /// A client's transaction, checked with the limits of this epoch.
    Submit {
        epoch: Epoch,
        transaction: VerifiedTransaction,
        reply: oneshot::Sender<Result<Submission, Refusal>>,
    },
    /// A member's request for transactions in flight.
    Fetch { request: FetchRequest, reply: oneshot::Sender<FetchResponse> },
    /// The state of a transaction that is not in the ledger.
    StatusOf { id: TransactionId, reply: oneshot::Sender<TransactionState> },
    /// A channel to another node was established. The network reports it before any message of this
    /// channel.
    PeerUp(PeerKey),
    /// The channel to another node was closed.
    PeerDown(PeerKey),
    /// Finish the accepted work, make everything durable, and end.
    Stop,
}

/// The state of a transaction at the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TransactionState {
    Pending,
    /// It ended here without being ordered.
    Ended(End),
    Unknown,
}
