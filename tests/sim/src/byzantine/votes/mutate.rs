//! Votes that are slightly wrong.

use quorate_ledger::{Ballot, Commit, Height, ReplicaId, View};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Every third vote is for another view, another height or another block.
#[derive(Debug)]
pub(crate) struct Mutate;

fn off(collusion: &mut Collusion, ballot: Ballot) -> Ballot {
    match collusion.random.between(0, 4) {
        0 => Ballot { view: View(ballot.view.0.saturating_add(1)), ..ballot },
        1 => Ballot { view: View(ballot.view.0.saturating_sub(1)), ..ballot },
        2 => Ballot { height: ballot.height.next(), ..ballot },
        3 => Ballot { height: Height(ballot.height.0.saturating_sub(1)), ..ballot },
        _ => Ballot { block: collusion.no_block(), ..ballot },
    }
}

impl Strategy for Mutate {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        if !collusion.random.permille(300) {
            return out.push(outgoing);
        }
        let message = match outgoing.message {
            Message::Prepare(vote) => {
                let ballot = off(collusion, vote.body.0);
                Message::Prepare(collusion.keys.sign(me, Prepare(ballot)))
            }
            Message::Commit(vote) => {
                let ballot = off(collusion, vote.body.0);
                Message::Commit(collusion.keys.sign(me, Commit(ballot)))
            }
            other => other,
        };
        out.push(Outgoing { message, ..outgoing });
    }
}
