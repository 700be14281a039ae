//! A primary that proposes just before the timeout.

use std::time::Duration;

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Proposes when most of the timeout has passed.
#[derive(Debug)]
pub(crate) struct Dawdle(Duration);

impl Dawdle {
    /// Delays by half of the timeout, or by nearly all of it.
    pub(crate) fn new(collusion: &mut Collusion) -> Self {
        Dawdle(collusion.timeout * *collusion.random.choose(&[5, 7, 9]) / 10)
    }
}

impl Strategy for Dawdle {
    fn on_send(
        &mut self,
        _collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let own = matches!(&outgoing.message, Message::PrePrepare(proposal) if proposal.vote.signer == me);
        let delay = if own { outgoing.delay + self.0 } else { outgoing.delay };
        out.push(Outgoing { delay, ..outgoing });
    }
}
