//! One Byzantine member: its strategies, applied one after the other.

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::{ReplicaId, VerifiedTransaction};
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Lie, Outgoing, Strategy};

/// The strategies of one Byzantine member.
#[derive(Debug)]
pub struct Adversary {
    me: ReplicaId,
    strategies: Vec<(Lie, Box<dyn Strategy>)>,
}

impl Adversary {
    /// A Byzantine member with these behaviours.
    pub fn new(me: ReplicaId, lies: &[Lie], collusion: &mut Collusion) -> Self {
        let strategies = lies.iter().filter_map(|lie| Some((*lie, lie.strategy(me, collusion)?))).collect();
        Adversary { me, strategies }
    }

    /// It has another index in the present epoch.
    pub fn sit(&mut self, seat: ReplicaId) {
        self.me = seat;
    }

    /// The messages that it sends instead of one message of its engine. `occurred` is called for
    /// each behaviour that changed the message.
    pub fn on_send(
        &mut self,
        collusion: &mut Collusion,
        outgoing: Outgoing,
        mut occurred: impl FnMut(Lie),
    ) -> Vec<Outgoing> {
        let mut messages = vec![outgoing];
        for (lie, strategy) in &mut self.strategies {
            let mut next = Vec::new();
            for utterance in messages {
                let (to, before) = (utterance.to, utterance.message.clone());
                let start = next.len();
                strategy.on_send(collusion, self.me, utterance, &mut next);
                let unchanged = matches!(&next[start..], [one]
                    if one.to == to && one.delay.is_zero() && one.message == before);
                if !unchanged {
                    occurred(*lie);
                }
            }
            messages = next;
        }
        messages
    }

    /// The messages that it sends in response to a received message.
    pub fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        from: ReplicaId,
        message: &Message,
        mut occurred: impl FnMut(Lie),
    ) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.on_receive(collusion, self.me, from, message, &mut out);
            if out.len() > before {
                occurred(*lie);
            }
        }
        out
    }

    /// The messages that it sends at regular times.
    pub fn tick(&mut self, collusion: &mut Collusion, mut occurred: impl FnMut(Lie)) -> Vec<Outgoing> {
        let mut out = Vec::new();
        for (lie, strategy) in &mut self.strategies {
            let before = out.len();
            strategy.tick(collusion, self.me, &mut out);
            if out.len() > before {
                occurred(*lie);
            }
        }
        out
    }

    /// The response that it sends to a request.
    pub fn answer(
        &mut self,
        collusion: &mut Collusion,
        to: ReplicaId,
        ask: &FetchRequest,
        answer: FetchResponse,
        mut occurred: impl FnMut(Lie),
    ) -> FetchResponse {
        let mut answer = answer;
        for (lie, strategy) in &mut self.strategies {
            let before = answer.clone();
            answer = strategy.answer(collusion, to, ask, answer);
            if answer != before {
                occurred(*lie);
            }
        }
        answer
    }

    /// Whether its engine receives a transaction.
    pub fn accepts_transaction(
        &mut self,
        collusion: &mut Collusion,
        transaction: &VerifiedTransaction,
        mut occurred: impl FnMut(Lie),
    ) -> bool {
        self.strategies.iter_mut().all(|(lie, strategy)| {
            let takes = strategy.accepts_transaction(collusion, transaction);
            if !takes {
                occurred(*lie);
            }
            takes
        })
    }

    /// Whether it relays transactions to a member.
    pub fn relays_to(&mut self, collusion: &mut Collusion, to: ReplicaId) -> bool {
        self.strategies.iter_mut().all(|(_, strategy)| strategy.relays_to(collusion, to))
    }
}
