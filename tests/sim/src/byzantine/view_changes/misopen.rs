//! Invalid NEW-VIEWs.

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, PrePrepare};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Signs a NEW-VIEW that does not follow from its VIEW-CHANGEs.
#[derive(Debug)]
pub(crate) struct Misopen;

impl Strategy for Misopen {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::NewView(new_view) = &outgoing.message else { return out.push(outgoing) };
        if new_view.vote.signer != me {
            return out.push(outgoing);
        }
        let view = new_view.vote.body.view;
        let (mut changes, mut proposals) = (new_view.view_changes.clone(), new_view.pre_prepares.clone());
        // If there are no blocks to propose again, add one that was not prepared.
        let choice = if proposals.is_empty() {
            3 + collusion.random.between(0, 3)
        } else {
            collusion.random.between(0, 5)
        };
        match choice {
            0 if !proposals.is_empty() => drop(proposals.pop()),
            1 if !proposals.is_empty() => drop(proposals.remove(0)),
            2 if !proposals.is_empty() => {
                let index = collusion.random.index(proposals.len());
                let block = collusion.no_block();
                let ballot = Ballot { block, ..proposals[index].body.0 };
                proposals[index] = collusion.keys.sign(me, PrePrepare(ballot));
            }
            3 => drop(changes.pop()),
            4 | 5 => {
                let block = collusion.no_block();
                let height = collusion.tip.0.next();
                let ballot = Ballot { epoch: collusion.keys.epoch, view, height, block };
                proposals.push(collusion.keys.sign(me, PrePrepare(ballot)));
            }
            _ => {
                let twice = changes[0].clone();
                changes.push(twice);
            }
        }
        let message = Message::NewView(collusion.sign_new_view(me, view, changes, proposals));
        out.push(Outgoing { message, ..outgoing });
    }
}
