//! Help for one to leave its view alone.

use quorate_ledger::{ReplicaId, View};
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Tells one victim, and nobody else, that it leaves for the next view, and the one after that; and shows it no
/// votes. Liars of one run have the same victim.
#[derive(Debug)]
pub(super) struct HelpOne {
    victim: Option<ReplicaId>,
    further: u64,
}

impl HelpOne {
    /// The victim is the first member that does not lie.
    pub(super) fn new(_me: ReplicaId, brain: &mut Brain) -> Self {
        let victim = brain.committee.replicas().find(|member| !brain.pen.knows(*member));
        HelpOne { victim, further: brain.random.between(1, 3) }
    }
}

impl Strategy for HelpOne {
    fn utter(&mut self, _brain: &mut Brain, _me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let vote = matches!(said.message, Message::Prepare(_) | Message::Commit(_));
        if !(vote && Some(said.to) == self.victim) {
            out.push(said);
        }
    }

    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let Some(victim) = self.victim else { return };
        let view = View(brain.view.0.saturating_add(self.further));
        let change = brain.depart(me, view, brain.knowledge_of(me));
        out.push(Utterance::new(victim, Message::ViewChange(change)));
    }
}
