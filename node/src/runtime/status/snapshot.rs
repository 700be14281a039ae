//! The last state that the engine's thread, or an observer's thread, has published.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_engine::{Engine, Observer, ObserverOverview, Overview};
use quorate_ledger::{Height, ReplicaId, Verified};
use quorate_pbft::{CheckpointCertificate, Evidence, Now};
use quorate_store::Head;

use super::progress::Progress;

/// The state of a node at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Now,
    pub(crate) role: RoleSnapshot,
}

/// The part that depends on the role.
#[derive(Debug)]
pub(crate) enum RoleSnapshot {
    Validator(Box<ValidatorSnapshot>),
    Observer(ObserverOverview),
}

/// The state of a validator.
#[derive(Debug)]
pub(crate) struct ValidatorSnapshot {
    pub(crate) overview: Overview,
    /// How long work has waited for a commit.
    pub(crate) progress: Progress,
    /// Evidence of equivocation. Shared with the previous snapshot unless there is more.
    pub(crate) evidence: Arc<[Verified<Evidence>]>,
    /// The stable checkpoint, if there is one. Shared like the evidence.
    pub(crate) checkpoint: Option<Arc<CheckpointCertificate>>,
}

/// The latest snapshot, shared with all its readers.
pub(crate) type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

impl Snapshot {
    /// The current state of the engine. `before` is the previous snapshot.
    pub(crate) fn of_engine(engine: &Engine, before: Option<&Snapshot>, at: Now) -> Self {
        let overview = engine.overview(at);
        let before = before.and_then(Snapshot::ordering);
        let progress = before.map(|before| before.progress).unwrap_or_default();
        // Evidence is only added and never changed, so the same number means the same evidence.
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
        let ordering = ValidatorSnapshot { overview, progress, evidence, checkpoint };
        Snapshot { at, role: RoleSnapshot::Validator(Box::new(ordering)) }
    }

    /// The current state of an observer.
    pub(crate) fn of_observer(observer: &Observer, at: Now) -> Self {
        Snapshot { at, role: RoleSnapshot::Observer(observer.overview(at)) }
    }

    /// The part that only a validator has.
    pub(crate) fn ordering(&self) -> Option<&ValidatorSnapshot> {
        match &self.role {
            RoleSnapshot::Validator(ordering) => Some(ordering),
            RoleSnapshot::Observer(_) => None,
        }
    }

    /// The newest block in the ledger at that time.
    pub(crate) fn head(&self) -> Head {
        match &self.role {
            RoleSnapshot::Validator(ordering) => ordering.overview.head,
            RoleSnapshot::Observer(overview) => overview.head,
        }
    }

    /// The last final block.
    pub(crate) fn committed(&self) -> Height {
        match &self.role {
            RoleSnapshot::Validator(ordering) => ordering.overview.pbft.committed,
            RoleSnapshot::Observer(overview) => overview.committed,
        }
    }

    /// The last block that the ledger file would still contain after a power cut.
    pub(crate) fn durable(&self) -> Height {
        match &self.role {
            RoleSnapshot::Validator(ordering) => ordering.overview.durable,
            RoleSnapshot::Observer(overview) => overview.durable,
        }
    }

    /// Blocks fetched from other nodes since the start.
    pub(crate) fn fetched(&self) -> u64 {
        match &self.role {
            RoleSnapshot::Validator(ordering) => ordering.overview.counters.caught_up,
            RoleSnapshot::Observer(overview) => overview.fetched,
        }
    }

    /// The last committed heights of other validators, as they reported them.
    pub(crate) fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        match &self.role {
            RoleSnapshot::Validator(ordering) => &ordering.overview.heads,
            RoleSnapshot::Observer(overview) => &overview.heads,
        }
    }
}
