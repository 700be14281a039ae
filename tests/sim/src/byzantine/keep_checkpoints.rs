//! Checkpoints that a member does not get.

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Sends no CHECKPOINT, so that ordering must wait at the watermark for the slowest correct member.
#[derive(Debug)]
pub(super) struct KeepCheckpoints;

impl Strategy for KeepCheckpoints {
    fn utter(&mut self, _brain: &mut Brain, _me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        if !matches!(said.message, Message::Checkpoint(_)) {
            out.push(said);
        }
    }
}
