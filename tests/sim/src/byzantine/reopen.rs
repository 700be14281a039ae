//! One view that begins in several ways.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Makes another valid NEW-VIEW for about every second member, of another quorum and with accounts of liars that
/// hide what they know. Also begins views by itself, as early as it can.
#[derive(Debug)]
pub(super) struct Reopen;

impl Strategy for Reopen {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::NewView(new_view) = &said.message else { return out.push(said) };
        if new_view.vote.signer != me || brain.random.permille(500) {
            return out.push(said);
        }
        let message = match brain.open(me, new_view.vote.body.view) {
            Some(other) => Message::NewView(other),
            None => said.message,
        };
        out.push(Utterance { message, ..said });
    }

    fn hear(
        &mut self,
        brain: &mut Brain,
        me: ReplicaId,
        _from: ReplicaId,
        message: &Message,
        out: &mut Vec<Utterance>,
    ) {
        let Message::ViewChange(change) = message else { return };
        let view = change.vote.body.view;
        if brain.committee.primary(brain.pen.epoch, view) != me || brain.random.permille(700) {
            return;
        }
        if let Some(new_view) = brain.open(me, view)
            && let Some(to) = brain.some_other(me)
        {
            out.push(Utterance::new(to, Message::NewView(new_view)));
        }
    }
}
