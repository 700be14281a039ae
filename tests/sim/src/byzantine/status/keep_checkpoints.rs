//! Withheld CHECKPOINTs.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Sends no CHECKPOINT, so that ordering must wait at the watermark for the slowest correct member.
#[derive(Debug)]
pub(crate) struct KeepCheckpoints;

impl Strategy for KeepCheckpoints {
    fn on_send(
        &mut self,
        _collusion: &mut Collusion,
        _me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        if !matches!(outgoing.message, Message::Checkpoint(_)) {
            out.push(outgoing);
        }
    }
}
