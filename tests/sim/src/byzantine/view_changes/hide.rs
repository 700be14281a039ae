//! VIEW-CHANGEs that omit what a later view must contain.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// What is omitted.
#[derive(Debug, Clone, Copy)]
enum Hidden {
    Everything,
    Prepared,
    First,
    Last,
}

/// Leaves views with incomplete payloads; to all members, or to some only.
#[derive(Debug)]
pub(crate) struct Hide {
    hidden: Hidden,
    from_all: bool,
}

impl Hide {
    /// Chooses what to omit.
    pub(crate) fn new(collusion: &mut Collusion) -> Self {
        let hidden = *collusion.random.choose(&[
            Hidden::Everything,
            Hidden::Prepared,
            Hidden::First,
            Hidden::First,
            Hidden::Last,
        ]);
        Hide { hidden, from_all: collusion.random.permille(700) }
    }
}

impl Strategy for Hide {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let Message::ViewChange(change) = &outgoing.message else { return out.push(outgoing) };
        if change.vote.signer != me || !self.from_all && collusion.random.permille(500) {
            return out.push(outgoing);
        }
        let mut payload = change.payload.clone();
        match self.hidden {
            Hidden::Everything => payload = quorate_pbft::ViewChangePayload::default(),
            Hidden::Prepared => payload.prepared.clear(),
            Hidden::First if !payload.prepared.is_empty() => drop(payload.prepared.remove(0)),
            Hidden::Last => drop(payload.prepared.pop()),
            Hidden::First => {}
        }
        let message = Message::ViewChange(collusion.depart(me, change.vote.body.view, payload));
        collusion.note(me, &message);
        out.push(Outgoing { message, ..outgoing });
    }
}
