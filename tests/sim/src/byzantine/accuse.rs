//! Accusations without proof.

use quorate_ledger::ReplicaId;
use quorate_pbft::{Evidence, Message, Pair};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Puts together statements of others that do not contradict each other, and forges the one that would.
#[derive(Debug)]
pub(super) struct Accuse;

impl Strategy for Accuse {
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let votes: Vec<_> = brain
            .memory()
            .filter_map(|(_, message)| match message {
                Message::Prepare(vote) if !brain.pen.knows(vote.signer) => Some(vote.clone()),
                _ => None,
            })
            .collect();
        if votes.is_empty() {
            return;
        }
        let first = brain.random.choose(&votes).clone();
        let mut second = brain.random.choose(&votes).clone();
        if brain.random.permille(500) {
            second = first.clone();
            second.body.0.block = brain.no_block();
        }
        let evidence = Evidence::Prepare(Pair { first, second });
        for to in brain.others(me) {
            out.push(Utterance::new(to, Message::Evidence(evidence.clone())));
        }
    }
}
