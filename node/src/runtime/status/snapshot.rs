//! The last state that the engine's thread, or an observer's thread, has published.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::{Candidacy, PendingChange};
use quorate_engine::{Engine, Observer, ObserverOverview, Overview};
use quorate_governance::Config;
use quorate_ledger::{Height, ReplicaId, Verified};
use quorate_pbft::{CheckpointCertificate, Evidence, Now};
use quorate_rpc::pending_changes;
use quorate_store::Head;
use tokio::sync::watch;

use super::progress::Progress;
use crate::runtime::epoch::EpochView;

/// The latest snapshot, shared with all its readers.
pub(crate) type Latest<S> = watch::Receiver<Arc<S>>;

/// What the snapshots of validators and of observers both contain.
pub(crate) trait Snapshot {
    /// The time of the snapshot.
    fn at(&self) -> Now;

    /// The epoch in which it was taken. All member indices in it are indices of this epoch.
    fn epoch(&self) -> &Arc<EpochView>;

    /// The configuration in force at that time.
    fn config(&self) -> &Config;

    /// The newest block in the ledger at that time.
    fn head(&self) -> Head;

    /// The last final block.
    fn committed(&self) -> Height;

    /// The last block that the ledger file would still contain after a power cut.
    fn durable(&self) -> Height;

    /// Blocks fetched from other nodes since the start.
    fn fetched(&self) -> u64;

    /// The last committed heights of other validators, as they reported them.
    fn heads(&self) -> &BTreeMap<ReplicaId, Height>;

    /// What is proposed and decided.
    fn changes(&self) -> &Arc<[PendingChange]>;
}

/// The state of a validator at one moment.
#[derive(Debug)]
pub(crate) struct ValidatorSnapshot {
    at: Now,
    epoch: Arc<EpochView>,
    config: Config,
    changes: Arc<[PendingChange]>,
    pub(crate) overview: Overview,
    /// How long work has waited for a commit.
    pub(crate) progress: Progress,
    /// Evidence of equivocation. Shared with the previous snapshot unless there is more.
    pub(crate) evidence: Arc<[Verified<Evidence>]>,
    /// The stable checkpoint, if there is one. Shared like the evidence.
    pub(crate) checkpoint: Option<Arc<CheckpointCertificate>>,
}

impl ValidatorSnapshot {
    /// The current state of the engine in this epoch. `before` is the previous snapshot; one of
    /// another epoch is not used.
    pub(crate) fn of(
        engine: &Engine,
        epoch: &Arc<EpochView>,
        before: Option<&ValidatorSnapshot>,
        at: Now,
    ) -> Self {
        let overview = engine.overview(at);
        let before = before.filter(|before| Arc::ptr_eq(&before.epoch, epoch));
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
        ValidatorSnapshot {
            at,
            epoch: Arc::clone(epoch),
            config: epoch.config_in(engine.governance()),
            changes: pending_changes(engine.governance()).into(),
            overview,
            progress,
            evidence,
            checkpoint,
        }
    }
}

impl Snapshot for ValidatorSnapshot {
    fn at(&self) -> Now {
        self.at
    }

    fn epoch(&self) -> &Arc<EpochView> {
        &self.epoch
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn head(&self) -> Head {
        self.overview.head
    }

    fn committed(&self) -> Height {
        self.overview.pbft.committed
    }

    fn durable(&self) -> Height {
        self.overview.durable
    }

    fn fetched(&self) -> u64 {
        self.overview.counters.caught_up
    }

    fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        &self.overview.heads
    }

    fn changes(&self) -> &Arc<[PendingChange]> {
        &self.changes
    }
}

/// The state of an observer at one moment.
#[derive(Debug)]
pub(crate) struct ObserverSnapshot {
    at: Now,
    epoch: Arc<EpochView>,
    config: Config,
    changes: Arc<[PendingChange]>,
    pub(crate) overview: ObserverOverview,
    /// What a node that was configured as a validator still lacks to become a member.
    pub(crate) candidacy: Option<Arc<Candidacy>>,
}

impl ObserverSnapshot {
    /// The current state of an observer in this epoch.
    pub(crate) fn of(
        observer: &Observer,
        epoch: &Arc<EpochView>,
        candidacy: Option<Arc<Candidacy>>,
        at: Now,
    ) -> Self {
        ObserverSnapshot {
            at,
            epoch: Arc::clone(epoch),
            config: epoch.config_in(observer.governance()),
            changes: pending_changes(observer.governance()).into(),
            overview: observer.overview(at),
            candidacy,
        }
    }
}

impl Snapshot for ObserverSnapshot {
    fn at(&self) -> Now {
        self.at
    }

    fn epoch(&self) -> &Arc<EpochView> {
        &self.epoch
    }

    fn config(&self) -> &Config {
        &self.config
    }

    fn head(&self) -> Head {
        self.overview.head
    }

    fn committed(&self) -> Height {
        self.overview.committed
    }

    fn durable(&self) -> Height {
        self.overview.durable
    }

    fn fetched(&self) -> u64 {
        self.overview.fetched
    }

    fn heads(&self) -> &BTreeMap<ReplicaId, Height> {
        &self.overview.heads
    }

    fn changes(&self) -> &Arc<[PendingChange]> {
        &self.changes
    }
}
