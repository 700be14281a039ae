//! Views that begin in a way that nobody may accept.

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, PrePrepare};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Signs a NEW-VIEW that does not follow from its view changes.
#[derive(Debug)]
pub(super) struct Misopen;

impl Strategy for Misopen {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::NewView(new_view) = &said.message else { return out.push(said) };
        if new_view.vote.signer != me {
            return out.push(said);
        }
        let view = new_view.vote.body.view;
        let (mut changes, mut proposals) = (new_view.view_changes.clone(), new_view.pre_prepares.clone());
        // Without blocks to propose again, one that nobody prepared is the best lie.
        let choice =
            if proposals.is_empty() { 3 + brain.random.between(0, 3) } else { brain.random.between(0, 5) };
        match choice {
            0 if !proposals.is_empty() => drop(proposals.pop()),
            1 if !proposals.is_empty() => drop(proposals.remove(0)),
            2 if !proposals.is_empty() => {
                let index = brain.random.index(proposals.len());
                let block = brain.no_block();
                let ballot = Ballot { block, ..proposals[index].body.0 };
                proposals[index] = brain.pen.sign(me, PrePrepare(ballot));
            }
            3 => drop(changes.pop()),
            4 | 5 => {
                let block = brain.no_block();
                let height = brain.tip.0.next();
                let ballot = Ballot { epoch: brain.pen.epoch, view, height, block };
                proposals.push(brain.pen.sign(me, PrePrepare(ballot)));
            }
            _ => {
                let twice = changes[0].clone();
                changes.push(twice);
            }
        }
        let message = Message::NewView(brain.sign_new_view(me, view, changes, proposals));
        out.push(Utterance { message, ..said });
    }
}
