//! Replayed messages.

use quorate_ledger::ReplicaId;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Messages that are replayed at a time.
const AT_ONCE: usize = 3;

/// Sends earlier messages, its own or those of others, to any member.
#[derive(Debug)]
pub(crate) struct Replay;

impl Strategy for Replay {
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        for _ in 0..AT_ONCE {
            if let Some((_, message)) = collusion.recall()
                && let Some(to) = collusion.some_other(me)
            {
                out.push(Outgoing::new(to, message));
            }
        }
    }
}
