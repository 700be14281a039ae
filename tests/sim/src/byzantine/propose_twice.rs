//! Two proposals for one height to the same member.

use std::time::Duration;

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, PrePrepare, Proposal};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Delays proposals at odd heights, so that those at even heights wait for their parents at the receiver, and sends
/// a second version of these.
#[derive(Debug)]
pub(super) struct ProposeTwice;

/// How much later a parent is proposed than its child.
const DELAY: Duration = Duration::from_millis(40);

impl Strategy for ProposeTwice {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::PrePrepare(proposal) = &said.message else { return out.push(said) };
        if proposal.vote.signer != me {
            return out.push(said);
        }
        if proposal.header.height.0 % 2 == 1 {
            return out.push(Utterance { delay: said.delay + DELAY, ..said });
        }
        let mut header = proposal.header.clone();
        header.timestamp = header.timestamp.plus_ms(1);
        let ballot = Ballot { block: header.hash(), ..proposal.vote.body.0 };
        let vote = brain.pen.sign(me, PrePrepare(ballot));
        let second = Proposal { vote, header, ids: proposal.ids.clone() };
        out.push(said.clone());
        out.push(Utterance { message: Message::PrePrepare(second), ..said });
    }
}
