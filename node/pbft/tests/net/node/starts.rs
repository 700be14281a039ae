//! How a process starts: on its files, or with the replica of the next epoch.

use quorate_ledger::{Epoch, Height};
use quorate_pbft::{ChainEnd, Continuation, Input, Now, Record, Replica, Signer};

use super::{Files, Node, read_back};
use crate::net::state_root;

impl Node {
    /// The engine replaces the replica of the epoch before, which ends in the last block here. The
    /// journal of the new epoch has no rows.
    pub(crate) fn begin(&mut self, now: Now, files: Files, previous: Continuation) {
        assert!(!self.runs(), "a replica lives for one epoch");
        self.put_back(Files { journal: Vec::new(), ..files });
        self.collected = self.durable();
        self.begin_on_files(now, previous);
    }

    fn begin_on_files(&mut self, now: Now, previous: Continuation) {
        let signer = Signer::new(&self.config.context, self.key.clone(), self.me);
        self.executor.reset(self.tip().height);
        let (end, schedule) = (self.chain_end(), self.executor.schedule());
        self.replica = Some(Replica::begin(self.config.clone(), signer, end, previous, schedule));
        self.input(now, Input::Durable(self.durable()));
    }

    fn chain_end(&self) -> ChainEnd {
        let interval = self.config.checkpoint_interval;
        ChainEnd {
            tip: self.tip().clone(),
            certificate: self.certificates.get(&self.tip().height).cloned(),
            checkpoint: self
                .chain
                .iter()
                .rfind(|header| header.height > Height(0) && header.height.0.is_multiple_of(interval))
                .map(|header| (header.clone(), state_root(header))),
            forgotten_through: self.collected,
        }
    }

    /// The process starts again from its durable data, read back from bytes.
    pub(crate) fn restart(&mut self, now: Now) {
        assert!(!self.runs(), "only a stopped node starts");
        let rows = self.rows();
        let started = rows.iter().any(|record| matches!(record, Record::EpochStart(_)));
        if self.config.context.epoch() > Epoch(0) && !started {
            return self.begin_on_files(now, Continuation::unknown());
        }
        self.executor.reset(self.tip().height);
        let signer = Signer::new(&self.config.context, self.key.clone(), self.me);
        let root = self.config.context.root;
        let records: Vec<Record> = rows.iter().map(|record| read_back(record, &self.bodies, root)).collect();
        let end = self.chain_end();
        let restored = Replica::restore(self.config.clone(), signer, end, self.executor.schedule(), records)
            .expect("the journal is what this node wrote");
        for skeleton in &restored.accepted {
            assert!(self.bodies.contains_key(&skeleton.hash()), "the body is durable with its record");
        }
        self.replica = Some(restored.replica);
        self.input(now, Input::Durable(self.durable()));
    }
}
