//! Messages in flight, and the rules that lose or hold them.

use std::collections::VecDeque;

use quorate_ledger::{Ballot, Height, ReplicaId, View};
use quorate_pbft::Message;

/// One message in flight.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    pub(crate) from: ReplicaId,
    pub(crate) to: ReplicaId,
    pub(crate) message: Message,
}

impl Envelope {
    /// The ballot of the vote in it; `None` if it is no vote.
    pub(crate) fn ballot(&self) -> Option<Ballot> {
        match &self.message {
            Message::PrePrepare(proposal) => Some(proposal.vote.body.0),
            Message::Prepare(vote) => Some(vote.body.0),
            Message::Commit(vote) => Some(vote.body.0),
            _ => None,
        }
    }

    pub(crate) fn is_proposal(&self) -> bool {
        matches!(self.message, Message::PrePrepare(_))
    }

    pub(crate) fn is_prepare(&self) -> bool {
        matches!(self.message, Message::Prepare(_))
    }

    pub(crate) fn is_commit(&self) -> bool {
        matches!(self.message, Message::Commit(_))
    }

    pub(crate) fn is_status(&self) -> bool {
        matches!(self.message, Message::Status(_))
    }

    pub(crate) fn is_view_change(&self) -> bool {
        matches!(self.message, Message::ViewChange(_))
    }

    pub(crate) fn is_new_view(&self) -> bool {
        matches!(self.message, Message::NewView(_))
    }

    pub(crate) fn is_checkpoint(&self) -> bool {
        matches!(self.message, Message::Checkpoint(_))
    }

    pub(crate) fn is_seen(&self) -> bool {
        matches!(self.message, Message::Seen(_))
    }

    pub(crate) fn is_in_view(&self, view: u64) -> bool {
        self.ballot().is_some_and(|ballot| ballot.view == View(view))
    }

    pub(crate) fn is_at(&self, height: u64) -> bool {
        self.ballot().is_some_and(|ballot| ballot.height == Height(height) && ballot.view == View(0))
    }

    pub(crate) fn is_between(&self, from: u16, to: u16) -> bool {
        (self.from.0, self.to.0) == (from, to)
    }
}

/// More messages in flight than any test has. A mistake that multiplies messages ends the test
/// before it exhausts the machine.
const MANY: usize = 20_000;

type Rule = Box<dyn Fn(&Envelope) -> bool>;

/// All messages in flight, oldest first, and the rules that lose or hold some of them.
#[derive(Default)]
pub(crate) struct Links {
    queue: VecDeque<Envelope>,
    losing: Vec<Rule>,
    holding: Option<Rule>,
    held: Vec<Envelope>,
    /// How many messages of each kind were sent. The index is the number of the kind on the wire.
    pub(crate) sent: [usize; 9],
}

impl Links {
    pub(crate) fn send(&mut self, envelope: Envelope) {
        let kind = match envelope.message {
            Message::PrePrepare(_) => 0,
            Message::Prepare(_) => 1,
            Message::Commit(_) => 2,
            Message::Status(_) => 3,
            Message::ViewChange(_) => 4,
            Message::NewView(_) => 5,
            Message::Checkpoint(_) => 6,
            Message::Evidence(_) => 7,
            Message::Seen(_) => 8,
        };
        self.sent[kind] += 1;
        assert!(self.queue.len() < MANY, "the members send messages without end");
        self.queue.push_back(envelope);
    }

    /// Loses matching messages from now on.
    pub(crate) fn lose(&mut self, rule: impl Fn(&Envelope) -> bool + 'static) {
        self.losing.push(Box::new(rule));
    }

    /// Holds matching messages back until [`Links::release`].
    pub(crate) fn hold(&mut self, rule: impl Fn(&Envelope) -> bool + 'static) {
        self.holding = Some(Box::new(rule));
    }

    /// Puts all held messages back into the queue.
    pub(crate) fn release(&mut self) {
        self.holding = None;
        self.queue.extend(self.held.drain(..));
    }

    /// Removes all rules that lose messages.
    pub(crate) fn heal(&mut self) {
        self.losing.clear();
    }

    /// The next message to arrive: the oldest one.
    pub(crate) fn next(&mut self) -> Option<Envelope> {
        self.take(0)
    }

    /// The message at a place in the queue, or the next after it that is neither lost nor held.
    pub(crate) fn take(&mut self, index: usize) -> Option<Envelope> {
        while let Some(envelope) = self.queue.remove(index) {
            if self.losing.iter().any(|rule| rule(&envelope)) {
                continue;
            }
            if self.holding.as_ref().is_some_and(|rule| rule(&envelope)) {
                self.held.push(envelope);
                continue;
            }
            return Some(envelope);
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn queue_mut(&mut self) -> &mut VecDeque<Envelope> {
        &mut self.queue
    }

    /// Drops the messages in flight to a process that ended.
    pub(crate) fn cut_off(&mut self, node: ReplicaId) {
        self.queue.retain(|envelope| envelope.to != node);
    }
}
