//! Votes that are off by a little.

use quorate_ledger::{Ballot, Commit, Height, ReplicaId, View};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Every third vote is for another view, another height or another block.
#[derive(Debug)]
pub(super) struct Mutate;

fn off(brain: &mut Brain, ballot: Ballot) -> Ballot {
    match brain.random.between(0, 4) {
        0 => Ballot { view: View(ballot.view.0.saturating_add(1)), ..ballot },
        1 => Ballot { view: View(ballot.view.0.saturating_sub(1)), ..ballot },
        2 => Ballot { height: ballot.height.next(), ..ballot },
        3 => Ballot { height: Height(ballot.height.0.saturating_sub(1)), ..ballot },
        _ => Ballot { block: brain.no_block(), ..ballot },
    }
}

impl Strategy for Mutate {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        if !brain.random.permille(300) {
            return out.push(said);
        }
        let message = match said.message {
            Message::Prepare(vote) => {
                let ballot = off(brain, vote.body.0);
                Message::Prepare(brain.pen.sign(me, Prepare(ballot)))
            }
            Message::Commit(vote) => {
                let ballot = off(brain, vote.body.0);
                Message::Commit(brain.pen.sign(me, Commit(ballot)))
            }
            other => other,
        };
        out.push(Utterance { message, ..said });
    }
}
