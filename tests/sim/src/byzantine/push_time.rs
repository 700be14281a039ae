//! Blocks of the future.

use quorate_ledger::ReplicaId;

use crate::byzantine::disguise::Disguise;
use crate::byzantine::{Brain, Strategy, Utterance};

/// Shifts the time of every block it proposes by the same amount.
#[derive(Debug)]
pub(super) struct PushTime(Disguise);

impl PushTime {
    /// By up to a minute.
    pub(super) fn new(brain: &mut Brain) -> Self {
        let shift = *brain.random.choose(&[1, 100, 700, 5000, 60_000]);
        PushTime(Disguise::shifted(brain.committee.size(), shift))
    }
}

impl Strategy for PushTime {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let message = self.0.message(&brain.pen, me, said.to, said.message);
        out.push(Utterance { message, ..said });
    }
}
