//! The engine's thread: takes what has happened, lets the engine work through it, passes on what comes of it.

use std::sync::Arc;

use quorate_engine::{Engine, Event, Fatal, Notice, Submission, Ticket};
use quorate_pbft::Position;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::desk::Desk;
use super::faults;
use super::heads::Heads;
use super::outgoing::Outgoing;
use super::snapshot::Snapshot;
use super::work::{GROUP, Standing, Work};

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) desk: Desk,
    pub(crate) outgoing: Outgoing,
    pub(crate) heads: Heads,
    /// For the threads that check messages.
    pub(crate) position: watch::Sender<Arc<Position>>,
}

impl Driver {
    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let deadline = self.engine.deadline(self.desk.clock.now());
            let goes_on = self.desk.wait(runtime, deadline, &mut group);
            if self.work(&mut group)? || !goes_on {
                return self.engine.close();
            }
        }
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
                Work::ObserverUp => self.heads.greet(),
                // Nobody tells a validator.
                Work::Head { .. } => {}
                Work::Stop => stop = true,
            }
        }
        let now = self.desk.clock.now();
        let groups = self.engine.counters().groups;
        let mut effects = self.engine.handle(now, events)?;
        let wrote = self.engine.counters().groups > groups;
        if wrote {
            // Before anything leaves, as a disk that takes so long would have it.
            std::thread::sleep(faults::disk_delay());
        }
        let done = self.desk.clock.now();
        if wrote {
            self.desk.measured.group(done.moment.since(now.moment));
        }
        // Before anything leaves: what comes back is checked by those who know where we stand.
        self.position.send_replace(Arc::new(self.engine.position()));
        // An error means that whoever asked is gone.
        for (ticket, outcome) in effects.submissions.drain(..) {
            if let Some((id, reply)) = take(&mut submitters, ticket) {
                if outcome == Ok(Submission::Pending) {
                    self.desk.stopwatch.taken(now.moment, id);
                }
                let _ = reply.send(outcome);
            }
        }
        for (ticket, answer) in effects.answers.drain(..) {
            if let Some(reply) = take(&mut askers, ticket) {
                let _ = reply.send(answer);
            }
        }
        let is_awaited = !effects.committed.is_empty() || !effects.ended.is_empty();
        if is_awaited || effects.notices.iter().any(is_turn) {
            // A client that receives the answer to its transaction and asks where the node stands must not see the state
            // before it.
            let before = Arc::clone(&self.desk.snapshots.borrow());
            self.desk.show(Snapshot::of_engine(&self.engine, Some(&before), done));
        }
        self.desk.measure(done, &effects);
        self.desk.tell_waiters(&effects);
        for (id, reply) in questions {
            let _ = reply.send(self.standing(&id));
        }
        self.desk.log(now.moment, &effects.notices);
        self.outgoing.send(effects);
        self.heads.tell(now.moment, self.engine.head_claim());
        let engine = &self.engine;
        self.desk.publish(now.moment, |before, at| Snapshot::of_engine(engine, Some(before), at));
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
}

/// Whether status pages should tell of it at once.
fn is_turn(notice: &Notice) -> bool {
    matches!(notice, Notice::LeftView(_) | Notice::EnteredView { .. } | Notice::Recovering { .. })
}

fn take<T>(replies: &mut [Option<T>], ticket: Ticket) -> Option<T> {
    replies.get_mut(usize::try_from(ticket.0).ok()?)?.take()
}
