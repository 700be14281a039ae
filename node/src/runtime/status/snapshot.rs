//! The last state that the engine's thread, or an observer's thread, has published.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_api::{Candidacy, EvidenceJson, PendingChange};
use quorate_engine::{Engine, Observer, ObserverOverview, Overview};
use quorate_governance::Config;
use quorate_ledger::{Height, ReplicaId, Verified};
use quorate_pbft::{CheckpointCertificate, Evidence, Now};
use quorate_rpc::pending_changes;
use quorate_store::Head;
use tokio::sync::watch;

use super::ordering;
use super::progress::Progress;
use crate::runtime::epoch::EpochView;

/// Most entries of evidence of earlier epochs.
const PAST_EVIDENCE: usize = 64;

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
    /// Evidence of earlier epochs, in which the node was a member since its start: the last
    /// [`PAST_EVIDENCE`] entries. The engine of an epoch drops it with the epoch.
    pub(crate) past_evidence: Arc<[EvidenceJson]>,
    /// The stable checkpoint, if there is one. Shared like the evidence.
    pub(crate) checkpoint: Option<Arc<CheckpointCertificate>>,
}

impl ValidatorSnapshot {
    /// The current state of the engine in this epoch. `before` is the previous snapshot; of one of
    /// another epoch, only the past evidence is used.
    pub(crate) fn of(
        engine: &Engine,
        epoch: &Arc<EpochView>,
        before: Option<&ValidatorSnapshot>,
        at: Now,
    ) -> Self {
        let overview = engine.overview(at);
        let past_evidence = before.map(|before| Arc::clone(&before.past_evidence)).unwrap_or_default();
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
            past_evidence,
            checkpoint,
        }
    }

    /// The first snapshot of the next epoch, which keeps the evidence of this one.
    pub(crate) fn next_epoch(&self, engine: &Engine, epoch: &Arc<EpochView>, at: Now) -> Self {
        let of_now = self.evidence.iter().filter_map(|evidence| ordering::evidence(evidence, &self.epoch));
        let all: Vec<EvidenceJson> = self.past_evidence.iter().cloned().chain(of_now).collect();
        let past = newest(&all);
        ValidatorSnapshot { past_evidence: past, ..ValidatorSnapshot::of(engine, epoch, None, at) }
    }
}

/// The last entries of a list of evidence, as many as are kept.
fn newest(evidence: &[EvidenceJson]) -> Arc<[EvidenceJson]> {
    let dropped = evidence.len().saturating_sub(PAST_EVIDENCE);
    evidence[dropped..].into()
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

#[cfg(test)]
mod tests {
    use quorate_api::EvidenceKind;
    use quorate_genesis::TestNetwork;

    use super::*;

    #[test]
    fn the_newest_evidence_of_past_epochs_is_kept() {
        let key = TestNetwork::seeded(1, 1).keys()[0].public();
        let entry = |height| EvidenceJson {
            epoch: 0,
            validator: 1,
            name: "validator-1".to_owned(),
            public_key: key,
            kind: EvidenceKind::Prepare,
            view: 0,
            height,
            proof: Vec::new(),
        };
        assert!(newest(&[]).is_empty());
        let kept = newest(&(0..100).map(entry).collect::<Vec<_>>());
        assert_eq!((kept.len(), kept[0].height, kept[63].height), (PAST_EVIDENCE, 36, 99));
    }
}
