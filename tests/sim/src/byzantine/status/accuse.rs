//! Evidence that proves nothing.

use quorate_ledger::ReplicaId;
use quorate_pbft::{Evidence, Message, Pair};

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Combines statements of others that do not contradict each other, and forges one that would.
#[derive(Debug)]
pub(crate) struct Accuse;

impl Strategy for Accuse {
    fn tick(&mut self, collusion: &mut Collusion, me: ReplicaId, out: &mut Vec<Outgoing>) {
        let votes: Vec<_> = collusion
            .memory()
            .filter_map(|(_, message)| match message {
                Message::Prepare(vote) if !collusion.keys.knows(vote.signer) => Some(vote.clone()),
                _ => None,
            })
            .collect();
        if votes.is_empty() {
            return;
        }
        let first = collusion.random.choose(&votes).clone();
        let mut second = collusion.random.choose(&votes).clone();
        if collusion.random.permille(500) {
            second = first.clone();
            second.body.0.block = collusion.no_block();
        }
        let evidence = Evidence::Prepare(Pair { first, second });
        for to in collusion.others(me) {
            out.push(Outgoing::new(to, Message::Evidence(evidence.clone())));
        }
    }
}
