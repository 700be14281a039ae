//! A primary that votes for its own proposals.

use quorate_ledger::ReplicaId;
use quorate_pbft::{Message, Prepare};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends a PREPARE with each of its own proposals. A receiver that counts it would count the
/// primary twice.
#[derive(Debug)]
pub(crate) struct VoteAsPrimary;

impl Strategy for VoteAsPrimary {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        if let Message::PrePrepare(proposal) = &outgoing.message
            && proposal.vote.signer == me
        {
            let vote = collusion.keys.sign(me, Prepare(proposal.vote.body.0));
            collusion.note(me, &Message::Prepare(vote.clone()));
            out.push(Outgoing { message: Message::Prepare(vote), ..outgoing.clone() });
        }
        out.push(outgoing);
    }
}
