//! Silence to some.

use std::collections::BTreeSet;

use quorate_engine::{Answer, Ask};
use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Kinds of messages, in the order of [`kind`].
const KINDS: usize = 6;

fn kind(message: &Message) -> usize {
    match message {
        Message::PrePrepare(_) => 0,
        Message::Prepare(_) => 1,
        Message::Commit(_) => 2,
        Message::ViewChange(_) => 3,
        Message::NewView(_) => 4,
        _ => 5,
    }
}

/// Keeps some kinds of messages from f members, or from all; and answers and transactions too.
#[derive(Debug)]
pub(super) struct Withhold {
    victims: BTreeSet<ReplicaId>,
    kinds: [bool; KINDS],
    answers: bool,
}

impl Withhold {
    /// Victims and kinds by chance.
    pub(super) fn new(me: ReplicaId, brain: &mut Brain) -> Self {
        let mut others = brain.others(me);
        let starved = brain.committee.faults().max(1);
        let count = if brain.random.permille(200) { others.len() } else { starved.min(others.len()) };
        let mut victims = BTreeSet::new();
        while victims.len() < count {
            let index = brain.random.index(others.len());
            victims.insert(others.swap_remove(index));
        }
        let kinds = std::array::from_fn(|_| brain.random.permille(500));
        Withhold { victims, kinds, answers: brain.random.permille(700) }
    }
}

impl Strategy for Withhold {
    fn utter(&mut self, _brain: &mut Brain, _me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        if !(self.victims.contains(&said.to) && self.kinds[kind(&said.message)]) {
            out.push(said);
        }
    }

    fn answer(&mut self, _brain: &mut Brain, to: ReplicaId, _ask: &Ask, answer: Answer) -> Answer {
        if self.answers && self.victims.contains(&to) { Answer::Nothing } else { answer }
    }

    fn shares(&mut self, _brain: &mut Brain, to: ReplicaId) -> bool {
        !(self.answers && self.victims.contains(&to))
    }
}
