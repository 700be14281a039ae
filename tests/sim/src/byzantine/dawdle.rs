//! A primary that is just not slow enough.

use std::time::Duration;

use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Brain, Strategy, Utterance};

/// Proposes when most of the timeout is over.
#[derive(Debug)]
pub(super) struct Dawdle(Duration);

impl Dawdle {
    /// By half of the timeout, or nearly all of it.
    pub(super) fn new(brain: &mut Brain) -> Self {
        Dawdle(brain.timeout * *brain.random.choose(&[5, 7, 9]) / 10)
    }
}

impl Strategy for Dawdle {
    fn utter(&mut self, _brain: &mut Brain, me: ReplicaId, said: Utterance, out: &mut Vec<Utterance>) {
        let own = matches!(&said.message, Message::PrePrepare(proposal) if proposal.vote.signer == me);
        let delay = if own { said.delay + self.0 } else { said.delay };
        out.push(Utterance { delay, ..said });
    }
}
