//! Makes one member leave its view alone.

use quorate_ledger::{ReplicaId, View};
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends VIEW-CHANGEs for the next view and the one after that to one victim only, and sends it no
/// votes. All Byzantine members of a run have the same victim.
#[derive(Debug)]
pub(crate) struct HelpOne {
    victim: Option<ReplicaId>,
    further: u64,
}

impl HelpOne {
    /// The victim is the first correct member.
    pub(crate) fn new(_me: ReplicaId, collusion: &mut Collusion) -> Self {
        let victim = collusion.committee.replicas().find(|member| !collusion.keys.knows(*member));
        HelpOne { victim, further: collusion.random.between(1, 3) }
    }
}

impl Strategy for HelpOne {
    fn on_send(
        &mut self,
        _collusion: &mut Collusion,
        _me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let vote = matches!(outgoing.message, Message::Prepare(_) | Message::Commit(_));
        if !(vote && Some(outgoing.to) == self.victim) {
            out.push(outgoing);
        }
    }

    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let Some(victim) = self.victim else { return };
        let view = View(collusion.view.0.saturating_add(self.further));
        let change = collusion.depart(me, view, collusion.payload_of(me));
        out.push(Outgoing::new(victim, Message::ViewChange(change)));
    }
}
