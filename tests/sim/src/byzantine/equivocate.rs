//! Different blocks to different members, and votes to match.

use quorate_ledger::ReplicaId;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Proposes several blocks; all who do so agree on who gets which.
#[derive(Debug)]
pub(super) struct Equivocate;

impl Strategy for Equivocate {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let message = brain.split.message(&brain.pen, me, said.to, said.message);
        out.push(Utterance { message, ..said });
    }
}
