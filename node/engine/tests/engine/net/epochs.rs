//! Epochs of the nodes: the change at the boundary, and the members' indices on both sides of it.

use std::time::Duration;

use quorate_engine::{EpochRole, Event, Fatal};
use quorate_governance::{Change, Operation};
use quorate_ledger::{Payload, ReplicaId, SecretKey, Transaction, TransactionId, VerifiedTransaction};
use quorate_pbft::Message;
use quorate_store::{Journal, Ledger};

use super::{Net, Node, id};

impl Net {
    /// Begins the next epoch at a node whose epoch is over.
    pub(super) fn change_epoch(&mut self, index: usize) -> Result<(), Fatal> {
        while self.engine(index).epoch_is_over() {
            let (time, keys) = (self.time(index), self.nodes[index].keys.clone());
            let engine = self.nodes[index].engine.take().expect("it runs");
            let (next, mut effects) = engine.next_epoch(&keys, time)?;
            self.send(index, &mut effects);
            let EpochRole::Member(engine) = next else { return Ok(()) };
            self.nodes[index].engine = Some(engine);
            for other in (0..self.nodes.len()).filter(|other| *other != index) {
                self.connect(index, other);
            }
        }
        Ok(())
    }

    /// Reports to a node that another one, which runs and is a member of its epoch, is connected.
    pub(super) fn connect(&mut self, index: usize, other: usize) {
        if self.nodes[index].engine.is_none() || self.nodes[other].engine.is_none() {
            return;
        }
        if let Some(peer) = self.index_at(index, id(other)) {
            self.handle(index, [Event::PeerUp(peer)]);
        }
    }

    /// The index of a node in the epoch of the engine at `index`.
    pub(super) fn index_at(&self, index: usize, node: ReplicaId) -> Option<ReplicaId> {
        let committee = &self.nodes[index].engine.as_ref()?.config().pbft.context.committee;
        let keys = self.nodes[node.index()].keys.iter();
        keys.filter_map(|key| committee.index_of(&key.public())).next()
    }

    /// The node that has this index in the epoch of the engine at `index`.
    pub(super) fn node_at(&self, index: usize, replica: ReplicaId) -> ReplicaId {
        let of = |node: &usize| self.index_at(index, id(*node)) == Some(replica);
        id((0..self.nodes.len()).find(of).expect("every member has a node"))
    }

    /// What a protocol message from a node is to the engine at `index`: nothing, if its sender is no
    /// member of this epoch, or the message is of another epoch.
    pub(super) fn arrived(&self, index: usize, from: ReplicaId, message: Message) -> Option<Event> {
        let from = self.index_at(index, from)?;
        let epoch = self.engine(index).epoch();
        if message.epoch() == epoch {
            return Some(Event::Consensus { from, message: self.check_at(index, from, message) });
        }
        match message {
            Message::Status(status) if status.epoch > epoch => {
                Some(Event::Ahead { from, committed: status.committed })
            }
            _ => None,
        }
    }

    /// A governance transaction of this key, valid for a minute.
    pub(crate) fn operation(
        &self,
        key: &SecretKey,
        nonce: u64,
        operation: &Operation,
    ) -> VerifiedTransaction {
        let (chain, until) = (self.genesis.chain_id(), self.wall().plus_ms(60_000));
        let payload = Payload::Governance(operation.to_bytes());
        Transaction::sign(&chain, key, nonce, until, payload).verify(&chain).unwrap()
    }

    /// The epoch of a node.
    pub(crate) fn epoch(&self, index: usize) -> u64 {
        self.engine(index).epoch().0
    }

    /// Adds a node with this key and empty files, which does not run. Returns its number.
    pub(crate) fn add_node(&mut self, key: SecretKey) -> usize {
        self.nodes.push(Node::new(key));
        let index = self.nodes.len() - 1;
        self.create_files(index);
        index
    }

    /// Copies the ledger of a running node to one that does not run, which has an empty journal
    /// then: as a candidate has them when it becomes a member.
    pub(crate) fn copy_ledger(&mut self, from: usize, to: usize) {
        let [ledger, _] = self.copy_of_files(from);
        self.create_files(to);
        self.nodes[to].ledger = ledger;
        drop(Ledger::open_on(self.nodes[to].ledger.attach(), self.genesis.header()).unwrap());
        drop(Journal::open_on(self.nodes[to].journal.attach(), &self.identity(to)).unwrap());
    }

    /// Proposes these changes. Returns the id.
    pub(crate) fn propose(&mut self, nonce: u64, changes: Vec<Change>) -> TransactionId {
        let key = self.governance[0].clone();
        let proposal = self.operation(&key, nonce, &Operation::Propose { changes });
        self.submit(0, &proposal).unwrap();
        self.pass(Duration::from_secs(1));
        proposal.id()
    }

    /// Proposes these changes, and lets four members approve them.
    pub(crate) fn decide(&mut self, nonce: u64, changes: Vec<Change>) {
        let proposal = self.propose(nonce, changes);
        self.approve(nonce, proposal);
    }

    /// Three more members approve a proposal.
    pub(crate) fn approve(&mut self, nonce: u64, proposal: TransactionId) {
        for key in self.governance.clone()[1..4].iter() {
            let approval = self.operation(key, nonce, &Operation::Approve(proposal));
            self.submit(0, &approval).unwrap();
        }
        self.pass(Duration::from_secs(2));
    }
}
