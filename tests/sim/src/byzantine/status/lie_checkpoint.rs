//! Checkpoints of wrong states.

use quorate_ledger::{Hash, Height, ReplicaId};
use quorate_pbft::{Checkpoint, Message};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Signs checkpoints of wrong states, and of heights that no member has reached.
#[derive(Debug)]
pub(crate) struct LieInCheckpoints;

impl Strategy for LieInCheckpoints {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::Checkpoint(vote) = &outgoing.message else { return out.push(outgoing) };
        let mut body = vote.body;
        match collusion.random.between(0, 3) {
            0 => body.state_root = Hash::from_bytes([7; 32]),
            1 => body.block = collusion.no_block(),
            2 => return, // sends nothing
            _ => {}
        }
        out.push(Outgoing { message: Message::Checkpoint(collusion.keys.sign(me, body)), ..outgoing });
    }

    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let ahead = *collusion.random.choose(&[1, 1, 2, 50]);
        let height = Height((collusion.tip.0.0 / collusion.interval + ahead) * collusion.interval);
        let block = collusion.no_block();
        let body = Checkpoint { epoch: collusion.keys.epoch, height, block, state_root: Hash::ZERO };
        for to in collusion.others(me) {
            out.push(Outgoing::new(to, Message::Checkpoint(collusion.keys.sign(me, body))));
        }
    }
}
