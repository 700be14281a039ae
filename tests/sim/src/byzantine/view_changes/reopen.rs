//! One view with several NEW-VIEWs.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Creates another valid NEW-VIEW for about every second member, from another quorum and with
/// incomplete payloads of Byzantine members. It also begins views itself, as early as possible.
#[derive(Debug)]
pub(crate) struct Reopen;

impl Strategy for Reopen {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::NewView(new_view) = &outgoing.message else { return out.push(outgoing) };
        if new_view.vote.signer != me || collusion.random.permille(500) {
            return out.push(outgoing);
        }
        let message = match collusion.open(me, new_view.vote.body.view) {
            Some(other) => Message::NewView(other),
            None => outgoing.message,
        };
        out.push(Outgoing { message, ..outgoing });
    }

    fn on_receive(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::ViewChange(change) = message else { return };
        let view = change.vote.body.view;
        if collusion.committee.primary(view) != me || collusion.random.permille(700) {
            return;
        }
        if let Some(new_view) = collusion.open(me, view)
            && let Some(to) = collusion.some_other(me)
        {
            out.push(Outgoing::new(to, Message::NewView(new_view)));
        }
    }
}
