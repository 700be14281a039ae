//! Messages of the past.

use quorate_ledger::ReplicaId;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Messages said again at a time.
const AT_ONCE: usize = 3;

/// Sends what it or others said before, to anybody.
#[derive(Debug)]
pub(super) struct Replay;

impl Strategy for Replay {
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        for _ in 0..AT_ONCE {
            if let Some((_, message)) = brain.recall()
                && let Some(to) = brain.some_other(me)
            {
                out.push(Utterance::new(to, message));
            }
        }
    }
}
