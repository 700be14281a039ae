//! How messages reach other members: queued, lost or delivered, and checked as in production.

use quorate_engine::{
    CheckedRange, Effects, End, Ended, EngineConfig, Event, FetchRequest, FetchResponse, Fetched,
    MemberMessage, serve_committed,
};
use quorate_ledger::ReplicaId;
use quorate_pbft::{Checked, EpochContext, Message, To};

use super::{Net, Parcel, id};

impl Net {
    /// Puts the messages of a member in flight.
    pub(super) fn send(&mut self, from: usize, effects: &mut Effects) {
        let node = &mut self.nodes[from];
        node.committed.append(&mut effects.committed);
        for Ended { id, end } in &effects.ended {
            match end {
                End::Expired => node.ended.push(*id),
                End::Rejected(reason) => node.rejected.push((*id, *reason)),
            }
        }
        node.notices.append(&mut effects.notices);
        for (to, message) in std::mem::take(&mut effects.messages) {
            match to {
                To::All => self.put_all(from, &Parcel::Consensus(message)),
                To::One(to) => {
                    let to = self.node_at(from, to);
                    self.put(id(from), to, Parcel::Consensus(message));
                }
            }
        }
        for batch in std::mem::take(&mut effects.gossip) {
            self.put_all(from, &Parcel::Gossip(batch));
        }
        if !effects.resends.is_empty() {
            self.put_all(from, &Parcel::Resend(std::mem::take(&mut effects.resends)));
        }
        for (to, fetch, ask) in std::mem::take(&mut effects.asks) {
            let to = self.node_at(from, to);
            self.put(id(from), to, Parcel::Ask(fetch, ask));
        }
        for (ticket, answer) in std::mem::take(&mut effects.answers) {
            match self.requests.iter().position(|(known, ..)| *known == ticket) {
                Some(place) => {
                    let (_, by, to, fetch, ask) = self.requests.swap_remove(place);
                    let mut answer = self.or_committed(by.index(), answer, &ask);
                    if let Some((_, lie)) = self.faulty.as_ref().filter(|(faulty, _)| *faulty == by.index()) {
                        answer = lie(&ask, answer);
                    }
                    self.put(by, to, Parcel::FetchResponse(fetch, answer));
                }
                None => effects.answers.push((ticket, answer)), // asked by the test itself
            }
        }
    }

    /// The answer of the node around an engine if the engine has nothing in flight.
    pub(crate) fn or_committed(&self, by: usize, answer: FetchResponse, ask: &FetchRequest) -> FetchResponse {
        match answer {
            FetchResponse::Nothing => serve_committed(&self.engine(by).reader(), ask).unwrap(),
            answer => answer,
        }
    }

    fn put_all(&mut self, from: usize, parcel: &Parcel) {
        for to in (0..self.nodes.len()).filter(|to| *to != from) {
            self.put(id(from), id(to), parcel.clone());
        }
    }

    fn put(&mut self, from: ReplicaId, to: ReplicaId, parcel: Parcel) {
        if self.lost.as_ref().is_some_and(|lost| lost(from, to, &parcel)) {
            return;
        }
        if !parcel.is_status() {
            self.log.push((from, to, parcel.clone()));
        }
        self.queue.push_back((from, to, parcel));
    }

    /// Delivers messages until none is in flight. Time does not pass.
    pub(crate) fn deliver_all(&mut self) {
        while let Some((from, to, parcel)) = self.queue.pop_front() {
            self.deliver(from, to, parcel);
            self.revive();
        }
    }

    fn deliver(&mut self, from: ReplicaId, to: ReplicaId, parcel: Parcel) {
        let index = to.index();
        if self.nodes[index].engine.is_none() {
            return;
        }
        if self.stopped == Some(index) {
            self.held.push_back((from, to, parcel));
            return;
        }
        let event = match parcel {
            Parcel::Consensus(message) => match self.arrived(index, from, message) {
                Some(event) => event,
                None => return,
            },
            Parcel::Gossip(transactions) | Parcel::Resend(transactions) => Event::Gossiped(transactions),
            Parcel::Ask(fetch, ask) => {
                let ticket = self.ticket();
                self.requests.push((ticket, to, from, fetch, ask.clone()));
                Event::Asked { ticket, ask }
            }
            Parcel::FetchResponse(fetch, answer) => {
                let Some(sender) = self.index_at(index, from) else { return };
                Event::Answered { fetch, from: sender, answer: self.read(index, answer) }
            }
        };
        self.handle(index, [event]);
    }

    /// What a node checks messages against. Without an engine, that of epoch 0.
    fn context_at(&self, index: usize) -> EpochContext {
        let engine = self.nodes[index].engine.as_ref();
        engine.map_or_else(|| self.context(), |engine| engine.config().pbft.context.clone())
    }

    /// What messages and ranges of epoch 0 are checked against.
    pub(crate) fn context(&self) -> EpochContext {
        EngineConfig::of(&self.genesis).pbft.context
    }

    /// Checks a message after encoding and decoding it, as production does.
    pub(crate) fn check(&self, from: ReplicaId, message: Message) -> Checked {
        self.check_at(0, from, message)
    }

    /// Like [`Net::check`], in the epoch of the engine at `index`, with the index of `from` in it.
    pub(super) fn check_at(&self, index: usize, from: ReplicaId, message: Message) -> Checked {
        if let Some((by, known, checked)) = &*self.checked.borrow()
            && (*by, known) == (from, &message)
        {
            return checked.clone();
        }
        let bytes = MemberMessage::consensus(message.clone());
        let MemberMessage::Consensus(read) = MemberMessage::from_bytes(&bytes).unwrap() else {
            panic!("a protocol message decodes as one");
        };
        let checked = read.check(from, &self.context_at(index)).unwrap();
        *self.checked.borrow_mut() = Some((from, message, checked.clone()));
        checked
    }

    fn read(&self, index: usize, answer: FetchResponse) -> Option<Fetched> {
        let chain = self.genesis.chain_id();
        match answer {
            FetchResponse::Nothing => None,
            FetchResponse::Transactions(transactions) => {
                let verified = transactions.into_iter().map(|claim| claim.verify(&chain).unwrap());
                Some(Fetched::Transactions(verified.collect()))
            }
            FetchResponse::Ids(ids) => Some(Fetched::Ids(ids)),
            FetchResponse::Blocks(run) => {
                let checked = CheckedRange::check(run, &self.context_at(index));
                assert!(checked.is_ok() || self.faulty.is_some(), "{checked:?}");
                checked.ok().map(Fetched::Range)
            }
        }
    }
}
