//! Publishes the results of the engine's thread, or of an observer's thread, to snapshots, metrics
//! and logs.

use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{Effects, Notice};
use quorate_ledger::Height;
use quorate_pbft::{Moment, Now};
use quorate_store::LedgerReader;
use tokio::sync::watch;

use super::clock::Clock;
use super::epoch::EpochView;
use super::metrics::{Measured, Stopwatch};
use super::status::snapshot::{Latest, Snapshot};

/// Minimum interval between two snapshots for status pages.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// Minimum interval between two warnings about the same thing.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The receivers of the results of an ordering thread. `S` is the snapshot of the node's role.
pub(crate) struct Publisher<S> {
    clock: Clock,
    /// To read what was appended.
    ledger: LedgerReader,
    snapshots: watch::Sender<Arc<S>>,
    /// Height of the newest block in the ledger, for tasks that wait for the next block.
    committed: watch::Sender<Height>,
    snapshot_due: Option<Moment>,
    warned: Option<Moment>,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) measured: Measured,
}

impl<S: Snapshot> Publisher<S> {
    /// A publisher with a first snapshot, and the receivers of snapshots and of the newest height.
    pub(crate) fn new(
        clock: Clock,
        ledger: LedgerReader,
        first: S,
        measured: Measured,
    ) -> (Self, Latest<S>, watch::Receiver<Height>) {
        let (committed, newest) = watch::channel(first.head().height);
        let (snapshots, latest) = watch::channel(Arc::new(first));
        let publisher = Publisher {
            clock,
            ledger,
            snapshots,
            committed,
            snapshot_due: None,
            warned: None,
            stopwatch: Stopwatch::new(measured.clone()),
            measured,
        };
        (publisher, latest, newest)
    }

    /// The last published snapshot.
    pub(crate) fn latest(&self) -> Arc<S> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// When the next snapshot is due, if one is.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        self.snapshot_due
    }

    /// Publishes the height of the newest block, if there are new ones.
    pub(crate) fn publish_height(&self, effects: &Effects) {
        if let Some(last) = effects.committed.last() {
            self.committed.send_replace(last.height());
        }
    }

    /// Records metrics of effects in this epoch.
    pub(crate) fn record_metrics(&mut self, epoch: &EpochView, now: Now, effects: &Effects) {
        for (to, message) in &effects.messages {
            self.stopwatch.says(now.moment, *to, message);
        }
        for block in &effects.committed {
            self.stopwatch.committed(now.moment, block.height(), block.body().ids());
        }
        for ended in &effects.ended {
            self.stopwatch.ended(&ended.id);
            self.measured.ended(ended.end);
        }
        self.record_outcomes(effects);
        let Some(newest) = effects.committed.last() else { return };
        if let Ok(Some(certificate)) = self.ledger.certificate(newest.height()) {
            self.measured.certified(certificate.votes().signers(), &epoch.members);
        }
    }

    fn record_outcomes(&self, effects: &Effects) {
        for block in &effects.committed {
            if block.body().governance().next().is_some() {
                // A counter is not worth an error: readers of the ledger report damage.
                let outcomes = self.ledger.outcomes(block.height()).unwrap_or_default();
                outcomes.iter().for_each(|(_, outcome)| self.measured.operation(*outcome));
            }
        }
    }

    /// Publishes a snapshot immediately.
    pub(crate) fn publish(&self, snapshot: S) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Publishes a snapshot if the last one is at least [`SNAPSHOT_INTERVAL`] old. `take` receives
    /// the previous snapshot.
    pub(crate) fn publish_if_due(&mut self, moment: Moment, take: impl FnOnce(&S, Now) -> S) {
        match self.snapshot_due {
            Some(due) if moment < due => {}
            Some(_) => {
                self.publish(take(&self.latest(), self.clock.now()));
                self.snapshot_due = None;
            }
            None => self.snapshot_due = Some(moment.after(SNAPSHOT_INTERVAL)),
        }
    }

    /// Logs what operators should know of this epoch.
    pub(crate) fn log(&mut self, epoch: &EpochView, moment: Moment, notices: &[Notice]) {
        let members = &epoch.members;
        for notice in notices {
            let quiet = self.warned.is_some_and(|last| moment.since(last) < WARNING_INTERVAL);
            match notice {
                Notice::Equivocation { replica, subject } => {
                    let (name, kind) = (members.name(*replica), subject.kind);
                    let (view, height) = (subject.view, subject.height);
                    tracing::error!(
                        validator = name,
                        ?kind,
                        %view,
                        %height,
                        "equivocation: a validator signed two contradicting statements, so it is faulty or \
                         its key is used twice; the evidence is kept (consensus_evidence)"
                    );
                }
                Notice::BadProposal { primary, height, reason } => {
                    let primary = members.name(*primary);
                    tracing::error!(%height, primary, reason, "the primary proposed an invalid block: this \
                         node does not vote for it");
                }
                Notice::BadBlocks { height, reason } => {
                    tracing::error!(%height, reason, "certified blocks from another validator are invalid: \
                         they are not stored");
                }
                Notice::CatchingUp { height, target } if !quiet => {
                    tracing::info!(%height, %target, "fetching blocks from other validators");
                    self.warned = Some(moment);
                }
                Notice::CatchingUp { .. } => {}
                Notice::EnteredEpoch { epoch, start } => {
                    let members = members.keys().len();
                    tracing::info!(epoch = epoch.0, %start, members, "the next epoch begins");
                }
                Notice::LeftView(departure) => {
                    let primary = members.name(departure.primary);
                    let (from, to) = (departure.from, departure.to);
                    tracing::warn!(%from, %to, primary, reason = %departure.cause, "left the view");
                }
                Notice::EnteredView { view, primary } => {
                    tracing::info!(%view, primary = members.name(*primary), "entered the view");
                }
                Notice::Stable(height) => tracing::debug!(%height, "the checkpoint is stable"),
                Notice::Recovering { seen, remembered } => {
                    tracing::error!(
                        ?seen,
                        ?remembered,
                        "RECOVERING: other validators have received messages that this validator signed and its \
                         journal does not contain, so the journal is new, or an older copy. The validator follows \
                         the chain and signs nothing in this epoch. If the newest journal still exists, stop the \
                         validator and put it back. Otherwise begin a new epoch with its governance key: quorate \
                         validator renew"
                    );
                }
            }
        }
    }
}
