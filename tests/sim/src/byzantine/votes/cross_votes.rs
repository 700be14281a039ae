//! A COMMIT for another block than the one that was accepted or proposed.

use quorate_ledger::{Ballot, Commit, ReplicaId};
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends a COMMIT for a block that does not exist with each of its own PREPAREs and PRE-PREPAREs,
/// before or after it. Sends no other COMMIT, so that it does not commit to two blocks.
#[derive(Debug)]
pub(crate) struct CrossVotes;

impl Strategy for CrossVotes {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let (signer, accepted) = match &outgoing.message {
            Message::PrePrepare(proposal) => (proposal.vote.signer, proposal.vote.body.0),
            Message::Prepare(vote) => (vote.signer, vote.body.0),
            Message::Commit(vote) if vote.signer == me => return,
            _ => return out.push(outgoing),
        };
        if signer != me {
            return out.push(outgoing);
        }
        let ballot = Ballot { block: collusion.no_block(), ..accepted };
        let message = Message::Commit(collusion.keys.sign(me, Commit(ballot)));
        let commit = Outgoing { message, ..outgoing };
        let both = if collusion.random.permille(500) { [commit, outgoing] } else { [outgoing, commit] };
        out.extend(both);
    }
}
