//! Byzantine members: a correct engine whose outgoing messages, and sometimes incoming ones, are
//! changed.
//!
//! A Byzantine member runs the production engine, so it always knows which messages a correct
//! member would send. Its [`Strategy`]s decide what it actually sends; each is one small file. All
//! Byzantine members of a run share a [`Collusion`]: every one of them may use what another one
//! received or signed. They have only their own keys.
//!
//! Receivers may refuse a message of a Byzantine member unread. That is counted, and is not a
//! violation.

mod adversary;
mod collusion;
mod delivery;
mod lie;
mod proposals;
mod status;
mod sync;
mod view_changes;
mod votes;

use std::fmt;
use std::time::Duration;

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::Message;

pub use adversary::Adversary;
pub use collusion::Collusion;
pub use lie::Lie;

/// A message that a Byzantine member sends to one member.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The receiver.
    pub to: ReplicaId,
    /// The message.
    pub message: Message,
    /// The delay before it is sent.
    pub delay: Duration,
}

impl Outgoing {
    /// A message without delay.
    pub fn new(to: ReplicaId, message: Message) -> Self {
        Outgoing { to, message, delay: Duration::ZERO }
    }
}

/// One Byzantine behaviour. The default of every method is what a correct member does.
pub trait Strategy: fmt::Debug {
    /// Changes a message that the engine sends.
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let _ = (collusion, me);
        out.push(outgoing);
    }

    /// Sends messages in response to a message that it received.
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let _ = (collusion, me, from, message, out);
    }

    /// Sends messages at regular times, about once per status interval.
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let _ = (collusion, me, out);
    }

    /// The response to a request, instead of the engine's response.
    fn answer(
        &mut self,
        collusion: &mut Collusion,
        to: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        let _ = (collusion, to, ask);
        answer
    }

    /// Whether its engine receives a transaction.
    fn accepts_transaction(&mut self, collusion: &mut Collusion, transaction: &VerifiedTransaction) -> bool {
        let _ = (collusion, transaction);
        true
    }

    /// Whether it relays transactions to a member.
    fn relays_to(&mut self, collusion: &mut Collusion, to: ReplicaId) -> bool {
        let _ = (collusion, to);
        true
    }
}
