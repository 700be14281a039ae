//! Other proposals at the heights with which a view begins.

use quorate_ledger::{Ballot, ReplicaId};
use quorate_pbft::{Message, NewViewMessage, PrePrepare, Proposal};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends a rival of every block that it knows at the heights of its NEW-VIEW: those below the
/// anchor, those proposed again and the next one. It sends them before the NEW-VIEW to some
/// members, and after it to others.
#[derive(Debug)]
pub(crate) struct ProposeAgain;

impl Strategy for ProposeAgain {
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
        let rivals = rivals(collusion, me, new_view);
        let utter = rivals
            .into_iter()
            .map(|rival| Outgoing { message: Message::PrePrepare(rival), ..outgoing.clone() });
        let before = collusion.random.permille(500);
        if before {
            out.extend(utter);
            out.push(outgoing);
        } else {
            let utter: Vec<_> = utter.collect();
            out.push(outgoing);
            out.extend(utter);
        }
    }
}

/// A rival of the latest proposed block at each height of the NEW-VIEW.
fn rivals(collusion: &Collusion, me: ReplicaId, new_view: &NewViewMessage) -> Vec<Proposal> {
    let view = new_view.vote.body.view;
    let root = collusion.keys.root.height;
    let accounts = new_view.view_changes.iter().map(|change| change.payload.anchor_height(root));
    let anchor = accounts.max().unwrap_or_default();
    let end = anchor.plus(new_view.pre_prepares.len() as u64);
    let mut latest = std::collections::BTreeMap::new();
    for (_, message) in collusion.memory() {
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
        let ballot =
            Ballot { epoch: collusion.keys.epoch, view, height: header.height, block: header.hash() };
        Proposal { vote: collusion.keys.sign(me, PrePrepare(ballot)), header, ids: known.ids.clone() }
    };
    latest.into_values().map(rival).collect()
}
