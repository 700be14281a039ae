//! Votes for everything.

use quorate_ledger::{Ballot, Commit, ReplicaId};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends both PREPARE and COMMIT for every proposal, in the version that the receiver has, and
/// sometimes for a block that was never proposed.
#[derive(Debug)]
pub(crate) struct VoteTwice;

impl Strategy for VoteTwice {
    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let heard: Vec<Ballot> = match message {
            Message::PrePrepare(proposal) => vec![proposal.vote.body.0],
            Message::NewView(new_view) => new_view.pre_prepares.iter().map(|vote| vote.body.0).collect(),
            _ => return,
        };
        for ballot in heard {
            for to in collusion.others(me) {
                let nothing = collusion.random.permille(100);
                let block =
                    if nothing { collusion.no_block() } else { collusion.split.block(to, ballot.block) };
                let ballot = Ballot { block, ..ballot };
                out.push(Outgoing::new(to, Message::Prepare(collusion.keys.sign(me, Prepare(ballot)))));
                out.push(Outgoing::new(to, Message::Commit(collusion.keys.sign(me, Commit(ballot)))));
            }
        }
    }
}
