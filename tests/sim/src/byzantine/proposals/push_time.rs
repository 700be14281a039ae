//! Blocks with a future time.

use quorate_ledger::ReplicaId;

use crate::byzantine::proposals::block_versions::BlockVersions;
use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Shifts the time of every block that it proposes by the same amount.
#[derive(Debug)]
pub(crate) struct PushTime(BlockVersions);

impl PushTime {
    /// By up to a minute.
    pub(crate) fn new(collusion: &mut Collusion) -> Self {
        let shift = *collusion.random.choose(&[1, 100, 700, 5000, 60_000]);
        PushTime(BlockVersions::shifted(collusion.committee.size(), shift))
    }
}

impl Strategy for PushTime {
    fn on_send(
        &mut self,
        collusion: &mut Collusion,
        me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        let message = self.0.message(&collusion.keys, me, outgoing.to, outgoing.message);
        out.push(Outgoing { message, ..outgoing });
    }
}
