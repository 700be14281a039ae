//! States that are not.

use quorate_ledger::{Hash, Height, ReplicaId};
use quorate_pbft::{Checkpoint, Message};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Signs checkpoints of wrong states, and of heights that nobody has reached.
#[derive(Debug)]
pub(super) struct LieInCheckpoints;

impl Strategy for LieInCheckpoints {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::Checkpoint(vote) = &said.message else { return out.push(said) };
        let mut body = vote.body;
        match brain.random.between(0, 3) {
            0 => body.state_root = Hash::from_bytes([7; 32]),
            1 => body.block = brain.no_block(),
            2 => return, // says nothing
            _ => {}
        }
        out.push(Utterance { message: Message::Checkpoint(brain.pen.sign(me, body)), ..said });
    }

    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let ahead = *brain.random.choose(&[1, 1, 2, 50]);
        let height = Height((brain.tip.0.0 / brain.interval + ahead) * brain.interval);
        let block = brain.no_block();
        let body = Checkpoint { epoch: brain.pen.epoch, height, block, state_root: Hash::ZERO };
        for to in brain.others(me) {
            out.push(Utterance::new(to, Message::Checkpoint(brain.pen.sign(me, body))));
        }
    }
}
