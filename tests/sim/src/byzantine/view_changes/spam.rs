//! Endless VIEW-CHANGEs.

use quorate_ledger::{ReplicaId, View};
use quorate_pbft::{Message, ViewChangePayload};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Leaves for the next view, for a slightly later one or for one far ahead. The payload and the
/// receivers are random.
#[derive(Debug)]
pub(crate) struct Spam;

impl Strategy for Spam {
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let ahead = *collusion.random.choose(&[1, 1, 2, 3, 1000, u64::MAX]);
        let view = View(collusion.view.0.saturating_add(ahead));
        for to in collusion.others(me) {
            if collusion.random.permille(300) {
                continue;
            }
            let correct = collusion.random.permille(500);
            let payload = if correct { collusion.payload_of(me) } else { ViewChangePayload::default() };
            out.push(Outgoing::new(to, Message::ViewChange(collusion.depart(me, view, payload))));
        }
    }
}
