//! Publishes the results of the engine's thread, or of an observer's thread, to waiters, snapshots,
//! metrics and logs.

use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{Effects, Notice};
use quorate_ledger::Height;
use quorate_pbft::{Moment, Now};
use quorate_store::LedgerReader;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout_at;

use super::clock::Clock;
use super::members::Members;
use super::metrics::{Measured, Stopwatch};
use crate::runtime::serving::waiters::Waiters;
use crate::runtime::status::snapshot::Snapshot;
use crate::runtime::validator::inbox::{GROUP, Work};

/// Minimum interval between two snapshots for status pages.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// The thread wakes up this often even without work, so that a stale snapshot means that the thread
/// is stuck.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Minimum interval between two warnings about the same thing.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The inbox of the thread, and the receivers of its results.
pub(crate) struct Publisher {
    pub(crate) clock: Clock,
    /// To read what was appended.
    pub(crate) ledger: LedgerReader,
    pub(crate) inbox: mpsc::Receiver<Work>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) members: Arc<Members>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// Height of the newest block in the ledger, for tasks that wait for the next block.
    pub(crate) committed: watch::Sender<Height>,
    pub(crate) snapshot_due: Option<Moment>,
    pub(crate) warned: Option<Moment>,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) measured: Measured,
}

impl Publisher {
    /// Waits for work or for the deadline, then takes everything in the inbox. `false` if there
    /// will be no more work: the node was dropped without being stopped.
    pub(crate) fn wait(
        &mut self,
        runtime: &Runtime,
        deadline: Option<Moment>,
        group: &mut Vec<Work>,
    ) -> bool {
        let deadline = deadline.into_iter().chain(self.snapshot_due).min();
        let heartbeat = self.clock.now().moment.after(HEARTBEAT);
        let until = self.clock.instant(deadline.map_or(heartbeat, |deadline| deadline.min(heartbeat)));
        let received = self.inbox.recv_many(group, GROUP);
        // The timer must be created inside the runtime. The work is taken whether the wait timed
        // out or not.
        runtime.block_on(async { timeout_at(until, received).await }) != Ok(0)
    }

    /// Notifies tasks that wait for blocks or for the end of a transaction.
    pub(crate) fn notify_waiters(&self, effects: &Effects) {
        for block in &effects.committed {
            self.waiters.committed(block);
        }
        if let Some(last) = effects.committed.last() {
            self.committed.send_replace(last.height());
        }
        for ended in &effects.ended {
            self.waiters.expired(&ended.id);
        }
    }

    /// Records metrics of the effects.
    pub(crate) fn record_metrics(&mut self, now: Now, effects: &Effects) {
        for (to, message) in &effects.messages {
            self.stopwatch.says(now.moment, *to, message);
        }
        for block in &effects.committed {
            self.stopwatch.committed(now.moment, block.height(), block.body().ids());
        }
        for ended in &effects.ended {
            self.stopwatch.ended(&ended.id);
        }
        let Some(newest) = effects.committed.last() else { return };
        if let Ok(Some(certificate)) = self.ledger.certificate(newest.height()) {
            self.measured.certified(certificate.votes().signers(), &self.members);
        }
    }

    /// Publishes a snapshot immediately.
    pub(crate) fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Publishes a snapshot if the last one is at least [`SNAPSHOT_INTERVAL`] old. `take` receives
    /// the previous snapshot.
    pub(crate) fn publish_if_due(&mut self, moment: Moment, take: impl FnOnce(&Snapshot, Now) -> Snapshot) {
        match self.snapshot_due {
            Some(due) if moment < due => {}
            Some(_) => {
                let before = Arc::clone(&self.snapshots.borrow());
                self.publish(take(&before, self.clock.now()));
                self.snapshot_due = None;
            }
            None => self.snapshot_due = Some(moment.after(SNAPSHOT_INTERVAL)),
        }
    }

    /// Logs what operators should know.
    pub(crate) fn log(&mut self, moment: Moment, notices: &[Notice]) {
        for notice in notices {
            let quiet = self.warned.is_some_and(|last| moment.since(last) < WARNING_INTERVAL);
            match notice {
                Notice::Equivocation { replica, subject } => {
                    let (name, kind) = (self.members.name(*replica), subject.kind);
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
                    let primary = self.members.name(*primary);
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
                Notice::LeftView(departure) => {
                    let primary = self.members.name(departure.primary);
                    let (from, to) = (departure.from, departure.to);
                    tracing::warn!(%from, %to, primary, reason = %departure.cause, "left the view");
                }
                Notice::EnteredView { view, primary } => {
                    tracing::info!(%view, primary = self.members.name(*primary), "entered the view");
                }
                Notice::Stable(height) => tracing::debug!(%height, "the checkpoint is stable"),
                Notice::Recovering { seen, remembered } => {
                    tracing::error!(
                        ?seen,
                        ?remembered,
                        "RECOVERING: other validators have received messages that this validator signed and its \
                         journal does not contain, so the journal is an old copy. The validator follows the \
                         chain and signs nothing. Stop it and restore its newest journal"
                    );
                }
            }
        }
    }
}
