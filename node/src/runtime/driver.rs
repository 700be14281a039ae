//! The engine's thread: takes what has happened, lets the engine work through it, passes on what comes of it.

use std::sync::Arc;
use std::time::Duration;

use quorate_engine::{Effects, Engine, Event, Fatal, Notice, Submission, Ticket};
use quorate_ledger::Height;
use quorate_pbft::{Moment, Now};
use quorate_store::LedgerReader;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout_at;

use super::clock::Clock;
use super::faults;
use super::members::Members;
use super::metrics::{Measured, Stopwatch};
use super::outgoing::Outgoing;
use super::waiters::Waiters;
use super::work::{GROUP, Snapshot, Standing, Work};

/// A snapshot for status pages is made at most this often.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(20);

/// The engine is looked at this often even if it has nothing to do, so that silence means trouble.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Warnings about the same thing are repeated at most this often.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    /// To look into what the engine has appended.
    pub(crate) ledger: LedgerReader,
    pub(crate) inbox: mpsc::Receiver<Work>,
    pub(crate) outgoing: Outgoing,
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

impl Driver {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Handle) -> Result<(), Fatal> {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            self.wait(runtime, &mut group);
            if self.work(&mut group)? {
                return self.engine.close();
            }
        }
    }

    /// Waits for work or for the next deadline, then takes all that is there.
    fn wait(&mut self, runtime: &Handle, group: &mut Vec<Work>) {
        let now = self.clock.now();
        let deadline = self.engine.deadline(now).into_iter().chain(self.snapshot_due).min();
        let heartbeat = now.moment.after(HEARTBEAT);
        let until = self.clock.instant(deadline.map_or(heartbeat, |deadline| deadline.min(heartbeat)));
        let received = self.inbox.recv_many(group, GROUP);
        // Inside the block, because the timer belongs to the runtime. Time-out or not, what is there is there.
        let _ = runtime.block_on(async { timeout_at(until, received).await });
    }

    /// One group. `true` when it was told to stop.
    fn work(&mut self, group: &mut Vec<Work>) -> Result<bool, Fatal> {
        let mut events = Vec::with_capacity(group.len());
        let mut submitters = Vec::new();
        let mut askers = Vec::new();
        let mut questions = Vec::new();
        let mut stop = false;
        for work in group.drain(..) {
            match work {
                Work::Event(event) => events.push(event),
                Work::Submit { transaction, reply } => {
                    let ticket = Ticket(submitters.len() as u64);
                    submitters.push(Some((transaction.id(), reply)));
                    events.push(Event::Submitted { ticket, transaction });
                }
                Work::Ask { ask, reply } => {
                    let ticket = Ticket(askers.len() as u64);
                    askers.push(Some(reply));
                    events.push(Event::Asked { ticket, ask });
                }
                Work::StatusOf { id, reply } => questions.push((id, reply)),
                Work::Stop => stop = true,
            }
        }
        let now = self.clock.now();
        let groups = self.engine.counters().groups;
        let mut effects = self.engine.handle(now, events)?;
        let wrote = self.engine.counters().groups > groups;
        if wrote {
            // Before anything leaves, as a disk that takes so long would have it.
            std::thread::sleep(faults::disk_delay());
        }
        let done = self.clock.now();
        if wrote {
            self.measured.group(done.moment.since(now.moment));
        }
        // An error means that whoever asked is gone.
        for (ticket, outcome) in effects.submissions.drain(..) {
            if let Some((id, reply)) = take(&mut submitters, ticket) {
                if outcome == Ok(Submission::Pending) {
                    self.stopwatch.taken(now.moment, id);
                }
                let _ = reply.send(outcome);
            }
        }
        for (ticket, answer) in effects.answers.drain(..) {
            if let Some(reply) = take(&mut askers, ticket) {
                let _ = reply.send(answer);
            }
        }
        if effects.notices.iter().any(is_turn) {
            // Whoever hears of a commit and asks for the view must not be told an old one.
            self.take_snapshot();
        }
        self.measure(done, &effects);
        self.tell_waiters(&effects);
        for (id, reply) in questions {
            let _ = reply.send(self.standing(&id));
        }
        self.log(now.moment, &effects.notices);
        self.outgoing.send(effects);
        self.publish(now.moment);
        Ok(stop)
    }

    fn standing(&self, id: &quorate_ledger::TransactionId) -> Standing {
        if self.engine.is_pending(id) {
            Standing::Pending
        } else if self.engine.has_expired(id) {
            Standing::Expired
        } else {
            Standing::Unknown
        }
    }

    fn tell_waiters(&self, effects: &Effects) {
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

    fn measure(&mut self, now: Now, effects: &Effects) {
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

    fn take_snapshot(&self) {
        let before = Arc::clone(&self.snapshots.borrow());
        let snapshot = Snapshot::take(&self.engine, Some(&before), self.clock.now());
        self.snapshots.send_replace(Arc::new(snapshot));
    }

    fn publish(&mut self, moment: Moment) {
        match self.snapshot_due {
            Some(due) if moment < due => {}
            Some(_) => {
                self.take_snapshot();
                self.snapshot_due = None;
            }
            None => self.snapshot_due = Some(moment.after(SNAPSHOT_INTERVAL)),
        }
    }

    fn log(&mut self, moment: Moment, notices: &[Notice]) {
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
                        "a validator signed two different statements; the proof is kept"
                    );
                }
                Notice::BadProposal { height, reason } => {
                    tracing::error!(%height, reason, "the primary proposed an invalid block");
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

/// Whether status pages should tell of it at once.
fn is_turn(notice: &Notice) -> bool {
    matches!(notice, Notice::LeftView(_) | Notice::EnteredView { .. } | Notice::Recovering { .. })
}

fn take<T>(replies: &mut [Option<T>], ticket: Ticket) -> Option<T> {
    replies.get_mut(usize::try_from(ticket.0).ok()?)?.take()
}
