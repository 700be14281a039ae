//! Different blocks for different members, with matching votes.

use quorate_ledger::ReplicaId;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Proposes several blocks. All Byzantine members with this behaviour use the same versions for the
/// same receivers.
#[derive(Debug)]
pub(crate) struct Equivocate;

impl Strategy for Equivocate {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let message = collusion.split.message(&collusion.keys, me, outgoing.to, outgoing.message);
        out.push(Outgoing { message, ..outgoing });
    }
}
