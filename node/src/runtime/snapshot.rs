//! What the engine's thread, or an observer's, last said about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_engine::{Engine, Observer, ObserverOverview, Overview};
use quorate_ledger::{Height, ReplicaId, Verified};
use quorate_pbft::{CheckpointCertificate, Evidence, Now};
use quorate_store::Head;

use super::progress::Progress;

/// Where a node stands.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Now,
    pub(crate) stands: Stands,
}

/// The same, by its role.
#[derive(Debug)]
pub(crate) enum Stands {
    Validator(Box<Ordering>),
    Observer(ObserverOverview),
}

/// Where a validator stands.
#[derive(Debug)]
pub(crate) struct Ordering {
    pub(crate) overview: Overview,
    /// How long there has been something to wait for.
    pub(crate) progress: Progress,
    /// Lies that were proven. Shared with the snapshot before, unless there are more of them.
    pub(crate) evidence: Arc<[Verified<Evidence>]>,
    /// The stable checkpoint, once there is one. Shared like the evidence.
    pub(crate) checkpoint: Option<Arc<CheckpointCertificate>>,
}

/// The latest snapshot, shared with everyone who shows it.
pub(crate) type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

impl Snapshot {
    /// What the engine says now, given what it said before.
    pub(crate) fn of_engine(engine: &Engine, before: Option<&Snapshot>, at: Now) -> Self {
        let overview = engine.overview(at);
        let before = before.and_then(Snapshot::ordering);
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
        let ordering = Ordering { overview, progress, evidence, checkpoint };
        Snapshot { at, stands: Stands::Validator(Box::new(ordering)) }
    }

    /// What an observer says now.
    pub(crate) fn of_observer(observer: &Observer, at: Now) -> Self {
        Snapshot { at, stands: Stands::Observer(observer.overview(at)) }
    }

    /// What only a validator has.
    pub(crate) fn ordering(&self) -> Option<&Ordering> {
        match &self.stands {
            Stands::Validator(ordering) => Some(ordering),
            Stands::Observer(_) => None,
        }
    }

    /// The newest block in the ledger at that time.
    pub(crate) fn head(&self) -> Head {
        match &self.stands {
            Stands::Validator(ordering) => ordering.overview.head,
            Stands::Observer(overview) => overview.head,
        }
    }

    /// The last final block.
    pub(crate) fn committed(&self) -> Height {
        match &self.stands {
            Stands::Validator(ordering) => ordering.overview.pbft.committed,
            Stands::Observer(overview) => overview.committed,
        }
    }

    /// The last block that the ledger would keep in a power cut.
    pub(crate) fn durable(&self) -> Height {
        match &self.stands {
            Stands::Validator(ordering) => ordering.overview.durable,
            Stands::Observer(overview) => overview.durable,
        }
    }

    /// Blocks fetched from others since the start.
    pub(crate) fn fetched(&self) -> u64 {
        match &self.stands {
            Stands::Validator(ordering) => ordering.overview.counters.caught_up,
            Stands::Observer(overview) => overview.fetched,
        }
    }

    /// Last committed height of other validators, as they said themselves.
    pub(crate) fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        match &self.stands {
            Stands::Validator(ordering) => &ordering.overview.heads,
            Stands::Observer(overview) => &overview.heads,
        }
    }
}
