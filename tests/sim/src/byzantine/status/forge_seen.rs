//! SEEN messages without signatures.

use quorate_ledger::{Ballot, Commit, ReplicaId, Signed, View};
use quorate_pbft::{Message, Seen};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Claims that a member committed to more than it did. A member that accepts this without a
/// signature stops signing.
#[derive(Debug)]
pub(crate) struct ForgeSeen;

impl Strategy for ForgeSeen {
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let Some(victim) = collusion.some_other(me) else { return };
        let view = View(collusion.view.0.saturating_add(1));
        let height = collusion.tip.0.plus(1);
        let ballot = Ballot { epoch: collusion.keys.epoch, view, height, block: collusion.no_block() };
        let vote = collusion.keys.sign(me, Commit(ballot));
        let commit = Some(Signed { signer: victim, ..vote });
        out.push(Outgoing::new(
            victim,
            Message::Seen(Seen { commit, ..Seen::nothing(collusion.keys.epoch) }),
        ));
    }
}
