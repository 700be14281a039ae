//! Withheld messages.

use std::collections::BTreeSet;

use quorate_engine::{FetchRequest, FetchResponse};
use quorate_ledger::ReplicaId;
use quorate_pbft::Message;

use crate::byzantine::{Collusion, Outgoing, Strategy};

/// Kinds of messages, in the order of [`kind`].
const KINDS: usize = 6;

fn kind(message: &Message) -> usize {
    match message {
        Message::PrePrepare(_) => 0,
        Message::Prepare(_) => 1,
        Message::Commit(_) => 2,
        Message::ViewChange(_) => 3,
        Message::NewView(_) => 4,
        _ => 5,
    }
}

/// Withholds some kinds of messages from f members, or from all; also responses and transactions.
#[derive(Debug)]
pub(crate) struct Withhold {
    victims: BTreeSet<ReplicaId>,
    kinds: [bool; KINDS],
    answers: bool,
}

impl Withhold {
    /// Random victims and kinds.
    pub(crate) fn new(me: ReplicaId, collusion: &mut Collusion) -> Self {
        let mut others = collusion.others(me);
        let censored = collusion.committee.faults().max(1);
        let count = if collusion.random.permille(200) { others.len() } else { censored.min(others.len()) };
        let mut victims = BTreeSet::new();
        while victims.len() < count {
            let index = collusion.random.index(others.len());
            victims.insert(others.swap_remove(index));
        }
        let kinds = std::array::from_fn(|_| collusion.random.permille(500));
        Withhold { victims, kinds, answers: collusion.random.permille(700) }
    }
}

impl Strategy for Withhold {
    fn on_send(
        &mut self,
        _collusion: &mut Collusion,
        _me: ReplicaId,
        outgoing: Outgoing,
        out: &mut Vec<Outgoing>,
    ) {
        if !(self.victims.contains(&outgoing.to) && self.kinds[kind(&outgoing.message)]) {
            out.push(outgoing);
        }
    }

    fn answer(
        &mut self,
        _collusion: &mut Collusion,
        to: ReplicaId,
        _ask: &FetchRequest,
        answer: FetchResponse,
    ) -> FetchResponse {
        if self.answers && self.victims.contains(&to) { FetchResponse::Nothing } else { answer }
    }

    fn relays_to(&mut self, _collusion: &mut Collusion, to: ReplicaId) -> bool {
        !(self.answers && self.victims.contains(&to))
    }
}
