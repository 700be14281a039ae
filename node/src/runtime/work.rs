use std::sync::Arc;

use quorate_engine::{Answer, Ask, Engine, Event, Overview, Refusal, Submission};
use quorate_ledger::{TransactionId, Verified, VerifiedTransaction};
use quorate_pbft::{CheckpointCertificate, Evidence, Now};
use tokio::sync::oneshot;

use super::progress::Progress;

/// Everything that the engine's thread may be asked to do.
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
    /// How long there has been something to wait for.
    pub(crate) progress: Progress,
    /// Lies that were proven. Shared with the snapshot before, unless there are more of them.
    pub(crate) evidence: Arc<[Verified<Evidence>]>,
    /// The stable checkpoint, once there is one. Shared like the evidence.
    pub(crate) checkpoint: Option<Arc<CheckpointCertificate>>,
    pub(crate) at: Now,
}

impl Snapshot {
    /// What the engine says now, given what it said before.
    pub(crate) fn take(engine: &Engine, before: Option<&Snapshot>, at: Now) -> Self {
        let overview = engine.overview(at);
        let progress = before.map(|before| before.progress).unwrap_or_default();
        // Evidence is only ever added.
        let evidence = before
            .filter(|before| before.evidence.len() == engine.evidence().len())
            .map_or_else(|| engine.evidence().into(), |before| Arc::clone(&before.evidence));
        let checkpoint = engine.stable_checkpoint().map(|stable| {
            let known = before.and_then(|before| before.checkpoint.as_ref());
            let same = known.filter(|known| known.checkpoint() == stable.checkpoint());
            same.map_or_else(|| Arc::new((**stable).clone()), Arc::clone)
        });
        let pooled = overview.mempool.transactions > 0;
        let progress = progress.next(&overview.pbft, pooled, at.moment);
        Snapshot { progress, overview, evidence, checkpoint, at }
    }
}

/// The latest snapshot, shared with everyone who shows it.
pub(crate) type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

/// Most pieces of work that wait for the engine. Whoever adds one more waits: peers through the backpressure
/// of their streams, clients until their request times out.
pub(crate) const INBOX: usize = 4096;

/// Most pieces of work in one group, which share a sync.
pub(crate) const GROUP: usize = 512;
