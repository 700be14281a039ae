//! Two proposals for one height to the same member.

use std::time::Duration;

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Delays proposals at odd heights, so that those at even heights wait for their parents at the
/// receiver, and sends a second version of the latter.
#[derive(Debug)]
pub(crate) struct ProposeTwice;

/// How much later a parent is proposed than its child.
const DELAY: Duration = Duration::from_millis(40);

impl Strategy for ProposeTwice {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::PrePrepare(proposal) = &outgoing.message else { return out.push(outgoing) };
        if proposal.vote.signer != me {
            return out.push(outgoing);
        }
        if proposal.header.height.0 % 2 == 1 {
            return out.push(Outgoing { delay: outgoing.delay + DELAY, ..outgoing });
        }
        let mut header = proposal.header.clone();
        header.timestamp = header.timestamp.plus_ms(1);
        let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
        let vote = collusion.keys.sign(me, PrePrepare(ballot));
        let second = Proposal { vote, header, ids: proposal.ids.clone() };
        out.push(outgoing.clone());
        out.push(Outgoing { message: Message::PrePrepare(second), ..outgoing });
    }
}
