//! View changes that hide what a later view must know.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// What is left out.
#[derive(Debug, Clone, Copy)]
enum Hidden {
    Everything,
    Prepared,
    First,
    Last,
}

/// Leaves views without a part of what it knows; to all, or to some only.
#[derive(Debug)]
pub(super) struct Hide {
    hidden: Hidden,
    from_all: bool,
}

impl Hide {
    /// A way to hide.
    pub(super) fn new(brain: &mut Brain) -> Self {
        let hidden = *brain.random.choose(&[
            Hidden::Everything,
            Hidden::Prepared,
            Hidden::First,
            Hidden::First,
            Hidden::Last,
        ]);
        Hide { hidden, from_all: brain.random.permille(700) }
    }
}

impl Strategy for Hide {
    fn utter(&mut self, brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let Message::ViewChange(change) = &said.message else { return out.push(said) };
        if change.vote.signer != me || !self.from_all && brain.random.permille(500) {
            return out.push(said);
        }
        let mut knowledge = change.knowledge.clone();
        match self.hidden {
            Hidden::Everything => knowledge = quorate_pbft::Knowledge::default(),
            Hidden::Prepared => knowledge.prepared.clear(),
            Hidden::First if !knowledge.prepared.is_empty() => drop(knowledge.prepared.remove(0)),
            Hidden::Last => drop(knowledge.prepared.pop()),
            Hidden::First => {}
        }
        let message = Message::ViewChange(brain.depart(me, change.vote.body.view, knowledge));
        brain.note(me, &message);
        out.push(Utterance { message, ..said });
    }
}
