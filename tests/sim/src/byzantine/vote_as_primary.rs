//! A primary that votes for its own proposals.

use quorate_ledger::ReplicaId;
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Sends a PREPARE with each of its own proposals. A receiver that counts it counts the primary twice.
#[derive(Debug)]
pub(super) struct VoteAsPrimary;

impl Strategy for VoteAsPrimary {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        if let Message::PrePrepare(proposal) = &said.message
            && proposal.vote.signer == me
        {
            let vote = brain.pen.sign(me, Prepare(proposal.vote.body.0));
            brain.note(me, &Message::Prepare(vote.clone()));
            out.push(Utterance { message: Message::Prepare(vote), ..said.clone() });
        }
        out.push(said);
    }
}
