//! SEEN that was never signed.

use quorate_ledger::{Ballot, Commit, ReplicaId, Signed, View};
use quorate_pbft::{Message, Seen};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Claims that a member committed to more than it did. A member that believes this without a signature falls silent.
#[derive(Debug)]
pub(super) struct ForgeSeen;

impl Strategy for ForgeSeen {
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let Some(victim) = brain.some_other(me) else { return };
        let view = View(brain.view.0.saturating_add(1));
        let height = brain.tip.0.plus(1);
        let ballot = Ballot { epoch: brain.pen.epoch, view, height, block: brain.no_block() };
        let vote = brain.pen.sign(me, Commit(ballot));
        let commit = Some(Signed { signer: victim, ..vote });
        out.push(Utterance::new(victim, Message::Seen(Seen { commit, ..Seen::default() })));
    }
}
