//! View changes without end.

use quorate_ledger::{ReplicaId, View};
use quorate_pbft::{Knowledge, Message};

use crate::byzantine::{Brain, Strategy, Utterance};

/// Leaves for the next view, for one a little later or for one far away; what it claims to know, and to whom,
/// is up to chance.
#[derive(Debug)]
pub(super) struct Spam;

impl Strategy for Spam {
    fn tick(&mut self, brain: &mut Brain, me: ReplicaId, out: &mut Vec<Utterance>) {
        let ahead = *brain.random.choose(&[1, 1, 2, 3, 1000, u64::MAX]);
        let view = View(brain.view.0.saturating_add(ahead));
        for to in brain.others(me) {
            if brain.random.permille(300) {
                continue;
            }
            let honest = brain.random.permille(500);
            let knowledge = if honest { brain.knowledge_of(me) } else { Knowledge::default() };
            out.push(Utterance::new(to, Message::ViewChange(brain.depart(me, view, knowledge))));
        }
    }
}
