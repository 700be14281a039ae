//! Other proposals at the heights that a view begins with.

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, NewViewMessage, PrePrepare, Proposal};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Sends a rival of every block that it knows at the heights of which its NEW-VIEW speaks: those below the base, those
/// proposed again and the next one; before the NEW-VIEW to some members, after it to others.
#[derive(Debug)]
pub(super) struct ProposeAgain;

impl Strategy for ProposeAgain {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::NewView(new_view) = &said.message else { return out.push(said) };
        if new_view.vote.signer != me {
            return out.push(said);
        }
        let rivals = rivals(brain, me, new_view);
        let utter =
            rivals.into_iter().map(|rival| Utterance { message: Message::PrePrepare(rival), ..said.clone() });
        let before = brain.random.permille(500);
        if before {
            out.extend(utter);
            out.push(said);
        } else {
            let utter: Vec<_> = utter.collect();
            out.push(said);
            out.extend(utter);
        }
    }
}

/// A rival of the latest block that was proposed at each height of which the view speaks.
fn rivals(brain: &Brain, me: ReplicaId, new_view: &NewViewMessage) -> Vec<Proposal> {
    let view = new_view.vote.body.view;
    let accounts = new_view.view_changes.iter().map(|change| change.knowledge.base_height());
    let base = accounts.max().unwrap_or_default();
    let end = base.plus(new_view.pre_prepares.len() as u64);
    let mut latest = std::collections::BTreeMap::new();
    for (_, message) in brain.memory() {
        if let Message::PrePrepare(proposal) = message
            && proposal.header.height <= end
        {
            latest.insert(proposal.header.height, proposal);
        }
    }
    let rival = |known: &Proposal| {
        let mut header = known.header.clone();
        header.timestamp = header.timestamp.plus_ms(3);
        header.proposer = me;
        let ballot = Ballot { epoch: brain.pen.epoch, view, height: header.height, block: header.hash() };
        Proposal { vote: brain.pen.sign(me, PrePrepare(ballot)), header, ids: known.ids.clone() }
    };
    latest.into_values().map(rival).collect()
}
