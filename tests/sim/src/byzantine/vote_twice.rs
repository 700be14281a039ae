//! Votes for everything.

use quorate_ledger::{Ballot, Commit, ReplicaId};
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Votes both PREPARE and COMMIT for whatever is proposed, in the version that suits the receiver, and now
/// and then for a block that nobody proposed.
#[derive(Debug)]
pub(super) struct VoteTwice;

impl Strategy for VoteTwice {
    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Utterance>,
    ) {
        let heard: Vec<Ballot> = match message {
            Message::PrePrepare(proposal) => vec![proposal.vote.body.0],
            Message::NewView(new_view) => new_view.pre_prepares.iter().map(|vote| vote.body.0).collect(),
            _ => return,
        };
        for ballot in heard {
            for to in brain.others(me) {
                let nothing = brain.random.permille(100);
                let block = if nothing { brain.no_block() } else { brain.split.block(to, ballot.block) };
                let ballot = Ballot { block, ..ballot };
                out.push(Utterance::new(to, Message::Prepare(brain.pen.sign(me, Prepare(ballot)))));
                out.push(Utterance::new(to, Message::Commit(brain.pen.sign(me, Commit(ballot)))));
            }
        }
    }
}
