//! The engine's thread: it passes events to the engine and distributes the resulting effects.

use std::sync::Arc;

use quorate_engine::{Engine, Event, Fatal, Notice, Submission, Ticket};
use quorate_pbft::Position;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::heads::HeadSender;
use super::inbox::{GROUP, TransactionState, Work};
use super::outgoing::Outgoing;
use crate::runtime::faults;
use crate::runtime::publisher::Publisher;
use crate::runtime::status::snapshot::Snapshot;

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) publisher: Publisher,
    pub(crate) outgoing: Outgoing,
    pub(crate) heads: HeadSender,
    /// For the threads that check messages.
    pub(crate) position: watch::Sender<Arc<Position>>,
}

impl Driver {
    /// Runs until it receives [`Work::Stop`].
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let deadline = self.engine.deadline(self.publisher.clock.now());
            let goes_on = self.publisher.wait(runtime, deadline, &mut group);
            if self.work(&mut group)? || !goes_on {
                return self.engine.close();
            }
        }
    }

    /// Processes one group. `true` when it contains a stop request.
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
                Work::Fetch { request, reply } => {
                    let ticket = Ticket(askers.len() as u64);
                    askers.push(Some(reply));
                    events.push(Event::Asked { ticket, ask: request });
                }
                Work::StatusOf { id, reply } => questions.push((id, reply)),
                Work::ObserverUp => self.heads.send_again(),
                // Validators do not use head statuses of other validators.
                Work::Head { .. } => {}
                Work::Stop => stop = true,
            }
        }
        let now = self.publisher.clock.now();
        let groups = self.engine.counters().groups;
        let mut effects = self.engine.handle(now, events)?;
        let wrote = self.engine.counters().groups > groups;
        if wrote {
            // Delay before any message leaves, as a slow disk would.
            std::thread::sleep(faults::disk_delay());
        }
        let done = self.publisher.clock.now();
        if wrote {
            self.publisher.measured.group(done.moment.since(now.moment));
        }
        // Before messages leave: replies to them are screened with this position.
        self.position.send_replace(Arc::new(self.engine.position()));
        // Send errors mean that the requester is gone.
        for (ticket, outcome) in effects.submissions.drain(..) {
            if let Some((id, reply)) = take(&mut submitters, ticket) {
                if outcome == Ok(Submission::Pending) {
                    self.publisher.stopwatch.taken(now.moment, id);
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
        if is_awaited || effects.notices.iter().any(is_urgent) {
            // Publish first: a client that receives the result of its transaction and then reads
            // the status must not see an older state.
            let before = Arc::clone(&self.publisher.snapshots.borrow());
            self.publisher.publish(Snapshot::of_engine(&self.engine, Some(&before), done));
        }
        self.publisher.record_metrics(done, &effects);
        self.publisher.notify_waiters(&effects);
        for (id, reply) in questions {
            let _ = reply.send(self.transaction_state(&id));
        }
        self.publisher.log(now.moment, &effects.notices);
        self.outgoing.send(effects);
        self.heads.send_if_due(now.moment, self.engine.head_claim());
        let engine = &self.engine;
        self.publisher.publish_if_due(now.moment, |before, at| Snapshot::of_engine(engine, Some(before), at));
        Ok(stop)
    }

    fn transaction_state(&self, id: &quorate_ledger::TransactionId) -> TransactionState {
        if self.engine.is_pending(id) {
            TransactionState::Pending
        } else if self.engine.has_expired(id) {
            TransactionState::Expired
        } else {
            TransactionState::Unknown
        }
    }
}

/// Whether status pages should show it at once.
fn is_urgent(notice: &Notice) -> bool {
    matches!(notice, Notice::LeftView(_) | Notice::EnteredView { .. } | Notice::Recovering { .. })
}

fn take<T>(replies: &mut [Option<T>], ticket: Ticket) -> Option<T> {
    replies.get_mut(usize::try_from(ticket.0).ok()?)?.take()
}
