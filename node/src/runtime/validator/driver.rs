//! The engine's thread: it passes events to the engine and distributes the resulting effects.

use std::sync::Arc;

use quorate_engine::{Effects, Engine, Event, Fatal, FetchResponse, Notice, Submission, Ticket};
use quorate_ledger::{Refusal, TransactionId};
use quorate_pbft::{Moment, Now, Position};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};

use super::heads::HeadSender;
use super::inbox::{TransactionState, ValidatorWork};
use super::outgoing::Outgoing;
use crate::runtime::clock::Clock;
use crate::runtime::faults;
use crate::runtime::inbox::Inbox;
use crate::runtime::metrics::Stopwatch;
use crate::runtime::publisher::Publisher;
use crate::runtime::serving::waiters::Waiters;
use crate::runtime::status::snapshot::ValidatorSnapshot;

pub(crate) struct Driver {
    pub(crate) engine: Engine,
    pub(crate) clock: Clock,
    pub(crate) inbox: Inbox<ValidatorWork>,
    pub(crate) publisher: Publisher<ValidatorSnapshot>,
    pub(crate) waiters: Arc<Waiters>,
    pub(crate) outgoing: Outgoing,
    pub(crate) heads: HeadSender,
    /// For the threads that check messages.
    pub(crate) position: watch::Sender<Arc<Position>>,
}

impl Driver {
    /// Runs until it receives [`ValidatorWork::Stop`].
    ///
    /// # Errors
    /// [`Fatal`]: the node must end.
    pub(crate) fn run(mut self, runtime: &Runtime) -> Result<(), Fatal> {
        let mut waiting = Vec::new();
        loop {
            let deadline =
                self.engine.deadline(self.clock.now()).into_iter().chain(self.publisher.deadline());
            let goes_on = self.inbox.wait(runtime, deadline.min(), &mut waiting);
            if self.work(Group::of(waiting.drain(..)))? || !goes_on {
                return self.engine.close();
            }
        }
    }

    /// Processes one group. `true` when it contains a stop request.
    fn work(&mut self, mut group: Group) -> Result<bool, Fatal> {
        if group.observer_connected {
            self.heads.send_again();
        }
        let now = self.clock.now();
        let (mut effects, done) = self.handle(now, std::mem::take(&mut group.events))?;
        // Before messages leave: replies to them are screened with this position.
        self.position.send_replace(Arc::new(self.engine.position()));
        group.reply(now.moment, &mut effects, &mut self.publisher.stopwatch);
        if is_awaited(&effects) {
            // Publish first: a client that receives the result of its transaction and then reads
            // the status must not see an older state.
            let before = self.publisher.latest();
            self.publisher.publish(ValidatorSnapshot::of(&self.engine, Some(&before), done));
        }
        self.publisher.record_metrics(done, &effects);
        self.notify_waiters(&effects);
        for (id, reply) in group.questions {
            let _ = reply.send(self.transaction_state(&id));
        }
        self.publisher.log(now.moment, &effects.notices);
        self.outgoing.send(effects);
        self.heads.send_if_due(now.moment, self.engine.head_claim());
        let engine = &self.engine;
        let snapshot = |before: &_, at| ValidatorSnapshot::of(engine, Some(before), at);
        self.publisher.publish_if_due(now.moment, snapshot);
        Ok(group.stop)
    }

    /// Calls the engine. Returns its effects and the time after the call, which is measured if it
    /// wrote to the journal.
    fn handle(&mut self, now: Now, events: Vec<Event>) -> Result<(Effects, Now), Fatal> {
        let groups = self.engine.counters().groups;
        let effects = self.engine.handle(now, events)?;
        let wrote = self.engine.counters().groups > groups;
        if wrote {
            // Delay before any message leaves, as a slow disk would.
            std::thread::sleep(faults::disk_delay());
        }
        let done = self.clock.now();
        if wrote {
            self.publisher.measured.group(done.moment.since(now.moment));
        }
        Ok((effects, done))
    }

    /// Notifies tasks that wait for blocks or for the end of a transaction.
    fn notify_waiters(&self, effects: &Effects) {
        for block in &effects.committed {
            self.waiters.committed(block);
        }
        self.publisher.publish_height(effects);
        for ended in &effects.ended {
            self.waiters.expired(&ended.id);
        }
    }

    fn transaction_state(&self, id: &TransactionId) -> TransactionState {
        if self.engine.is_pending(id) {
            TransactionState::Pending
        } else if self.engine.has_expired(id) {
            TransactionState::Expired
        } else {
            TransactionState::Unknown
        }
    }
}

/// A client's transaction, and where the outcome of its submission goes.
type Submitter = (TransactionId, oneshot::Sender<Result<Submission, Refusal>>);

/// A group of work: the events for the engine, and where the outcomes of requests go.
#[derive(Default)]
struct Group {
    events: Vec<Event>,
    /// By ticket.
    submitters: Vec<Option<Submitter>>,
    /// By ticket.
    askers: Vec<Option<oneshot::Sender<FetchResponse>>>,
    questions: Vec<(TransactionId, oneshot::Sender<TransactionState>)>,
    observer_connected: bool,
    stop: bool,
}

impl Group {
    fn of(work: impl Iterator<Item = ValidatorWork>) -> Self {
        let mut group = Group::default();
        for work in work {
            match work {
                ValidatorWork::Event(event) => group.events.push(event),
                ValidatorWork::Submit { transaction, reply } => {
                    let ticket = Ticket(group.submitters.len() as u64);
                    group.submitters.push(Some((transaction.id(), reply)));
                    group.events.push(Event::Submitted { ticket, transaction });
                }
                ValidatorWork::Fetch { request, reply } => {
                    let ticket = Ticket(group.askers.len() as u64);
                    group.askers.push(Some(reply));
                    group.events.push(Event::Asked { ticket, ask: request });
                }
                ValidatorWork::StatusOf { id, reply } => group.questions.push((id, reply)),
                ValidatorWork::ObserverUp => group.observer_connected = true,
                ValidatorWork::Stop => group.stop = true,
            }
        }
        group
    }

    /// Replies to clients and members. Send errors mean that the requester is gone.
    fn reply(&mut self, now: Moment, effects: &mut Effects, stopwatch: &mut Stopwatch) {
        for (ticket, outcome) in effects.submissions.drain(..) {
            if let Some((id, reply)) = take(&mut self.submitters, ticket) {
                if outcome == Ok(Submission::Pending) {
                    stopwatch.taken(now, id);
                }
                let _ = reply.send(outcome);
            }
        }
        for (ticket, answer) in effects.answers.drain(..) {
            if let Some(reply) = take(&mut self.askers, ticket) {
                let _ = reply.send(answer);
            }
        }
    }
}

/// Whether clients wait for an effect, or status pages should show it at once.
fn is_awaited(effects: &Effects) -> bool {
    let is_urgent = |notice: &Notice| {
        matches!(notice, Notice::LeftView(_) | Notice::EnteredView { .. } | Notice::Recovering { .. })
    };
    !effects.committed.is_empty() || !effects.ended.is_empty() || effects.notices.iter().any(is_urgent)
}

fn take<T>(replies: &mut [Option<T>], ticket: Ticket) -> Option<T> {
    replies.get_mut(usize::try_from(ticket.0).ok()?)?.take()
}
