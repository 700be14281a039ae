//! What others in the node learn from the engine's thread, or an observer's.

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
use super::snapshot::Snapshot;
use super::waiters::Waiters;
use super::work::{GROUP, Work};

/// A snapshot for status pages is made at most this often.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// The thread looks at itself this often even if it has nothing to do, so that silence means trouble.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Warnings about the same thing are repeated at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// The thread's work, and whom it tells what came of it.
pub(crate) struct Desk {
    pub(crate) clock: Clock,
    /// To look into what was appended.
    pub(crate) ledger: LedgerReader,
    pub(crate) inbox: mpsc::Receiver<Work>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) members: Arc<Members>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    /// Height of the newest block in the ledger, for whoever reads on there.
    pub(crate) committed: watch::Sender<Height>,
    pub(crate) snapshot_due: Option<Moment>,
    pub(crate) warned: Option<Moment>,
    pub(crate) stopwatch: Stopwatch,
    pub(crate) measured: Measured,
}

impl Desk {
    /// Waits for work or for this deadline, then takes all that is there. `false` if there will be no more work: the
    /// node was dropped without being stopped.
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
        // Inside the block, because the timer belongs to the runtime. Time-out or not, what is there is there.
        runtime.block_on(async { timeout_at(until, received).await }) != Ok(0)
    }

    /// Tells whoever waits for blocks or for the end of a transaction.
    pub(crate) fn tell_waiters(&self, effects: &Effects) {
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

    /// Counts what happened.
    pub(crate) fn measure(&mut self, now: Now, effects: &Effects) {
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

    /// Shows where the node stands: at once.
    pub(crate) fn show(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    /// Shows it when the last time is some while ago. `take` is given what was shown before.
    pub(crate) fn publish(&mut self, moment: Moment, take: impl FnOnce(&Snapshot, Now) -> Snapshot) {
        match self.snapshot_due {
            Some(due) if moment < due => {}
            Some(_) => {
                let before = Arc::clone(&self.snapshots.borrow());
                self.show(take(&before, self.clock.now()));
                self.snapshot_due = None;
            }
            None => self.snapshot_due = Some(moment.after(SNAPSHOT_INTERVAL)),
        }
    }

    /// Says what operators should hear about.
    pub(crate) fn log(&mut self, moment: Moment, notices: &[Notice]) {
        for notice in notices {
            let quiet = self.warned.is_some_and(|last| moment.since(last) < WARNING_INTERVAL);
            match notice {
                Notice::Contradiction { replica, subject } => {
                    let (name, kind) = (self.members.name(*replica), subject.kind);
                    let (view, height) = (subject.view, subject.height);
                    tracing::error!(
                        validator = name,
                        ?kind,
                        %view,
                        %height,
                        "a validator signed two statements that contradict each other; the proof is kept"
                    );
                }
                Notice::BadProposal { primary, height, reason } => {
                    let primary = self.members.name(*primary);
                    tracing::error!(%height, primary, reason, "the primary proposed an invalid block");
                }
                Notice::BadBlocks { height, reason } => {
                    tracing::error!(%height, reason, "certified blocks of another validator break a rule");
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
                        "RECOVERING: other validators have seen this one sign what its journal does not \
                         remember, so the journal is older than the validator. It follows the chain and \
                         signs nothing. Stop it and put its newest journal back"
                    );
                }
            }
        }
    }
}
