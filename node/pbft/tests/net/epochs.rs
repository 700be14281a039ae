//! Epochs that follow each other: one [`Net`] for each, and processes that move from one to the
//! next.

use std::time::Duration;

use quorate_ledger::{Committee, Epoch, Height, SecretKey};
use quorate_pbft::{Config, Continuation, EpochContext, EpochRoot};

use super::{Boundary, Executor, Net, Node, Plan, id};

/// The committee of the next epoch, and the block that decides it.
#[derive(Clone)]
pub(crate) struct Next {
    keys: Vec<SecretKey>,
    /// For each member, its index in the epoch before; `None` if it is new.
    before: Vec<Option<usize>>,
    pub(crate) decided: u64,
}

impl Next {
    /// The members are given by the seeds of their keys, each with its index in the epoch before.
    pub(crate) fn of(decided: u64, members: &[(u8, Option<usize>)]) -> Self {
        let key = |seed: u8| SecretKey::from_bytes(&[seed; 32]).unwrap();
        let mut members: Vec<_> = members.iter().map(|(seed, before)| (key(*seed), *before)).collect();
        members.sort_by_key(|(key, _)| key.public());
        let (keys, before) = members.into_iter().unzip();
        Next { keys, before, decided }
    }

    /// The members of a committee stay, with the same keys.
    pub(crate) fn renewed(decided: u64, net: &Net) -> Self {
        Next { keys: net.keys.clone(), before: (0..net.size()).map(Some).collect(), decided }
    }

    fn committee(&self, epoch: Epoch) -> Committee {
        Committee::new(epoch, self.keys.iter().map(SecretKey::public).collect()).unwrap()
    }
}

/// The epochs of a run, and what ends each of them.
pub(crate) struct Epochs {
    pub(crate) nets: Vec<Net>,
    nexts: Vec<Next>,
    /// A member that crashes at the n-th group of records of the epoch that it begins next, at this
    /// boundary.
    pub(crate) crash_on_begin: Option<(usize, (usize, Boundary))>,
}

impl Epochs {
    /// A committee at rest in epoch 0, whose configuration may change.
    pub(crate) fn of(size: usize, adjust: impl FnOnce(&mut Config)) -> Self {
        Epochs { nets: vec![Net::governed(size, adjust)], nexts: Vec::new(), crash_on_begin: None }
    }

    /// The latest epoch that has begun anywhere.
    pub(crate) fn last(&mut self) -> &mut Net {
        self.nets.last_mut().unwrap()
    }

    /// A block of the latest epoch decides its end.
    pub(crate) fn plan(&mut self, next: Next) {
        assert_eq!(self.nexts.len() + 1, self.nets.len(), "the epoch has one end");
        let net = self.nets.last_mut().unwrap();
        let epoch = net.config.context.epoch().next();
        let plan = Plan { decided: Height(next.decided), next_committee: Some(next.committee(epoch).hash()) };
        for node in &mut net.nodes {
            node.executor.plan = Some(plan);
        }
        let last = plan.decided.plus(net.config.context.window);
        net.oracle.heights = Some((net.config.context.root.height, last));
        self.nexts.push(next);
    }

    /// Makes the committee of the epoch after this one. No member runs.
    fn make(&mut self, epoch: usize, root: &quorate_ledger::Header) {
        let (old, next) = (&self.nets[epoch], &self.nexts[epoch]);
        let context = EpochContext {
            committee: next.committee(root.epoch.next()),
            root: EpochRoot::of(root),
            ..old.config.context.clone()
        };
        let config = Config { context, ..old.config.clone() };
        let node = |(index, key): (usize, &SecretKey)| {
            let executor = Executor::on(config.context.window, root.height, None);
            Node::absent(id(index), config.clone(), key.clone(), root.clone(), executor)
        };
        let nodes = next.keys.iter().enumerate().map(node).collect();
        let mut net = Net::assemble(next.keys.clone(), config.clone(), root.clone(), nodes);
        (net.moment, net.oracle.heights) = (old.moment, Some((root.height, Height(u64::MAX))));
        self.nets.push(net);
    }

    /// The latest epoch, if nothing has decided its end yet.
    pub(crate) fn is_open_ended(&self) -> bool {
        self.nexts.len() < self.nets.len()
    }

    /// Starts every process that crashed.
    pub(crate) fn restart_crashed(&mut self) {
        for net in &mut self.nets {
            for node in 0..net.size() {
                net.nodes[node].crash_at = None;
                if net.nodes[node].is_down() {
                    net.restart(node);
                }
            }
        }
    }

    /// Every process whose epoch is over begins the next one.
    pub(crate) fn advance(&mut self) {
        for epoch in 0..self.nexts.len() {
            for before in 0..self.nets[epoch].size() {
                self.advance_member(epoch, before);
            }
        }
    }

    /// A process whose epoch is over begins the next one, if it is a member. `true` if it does.
    pub(crate) fn advance_member(&mut self, epoch: usize, before: usize) -> bool {
        let node = &self.nets[epoch].nodes[before];
        if !node.runs() || !node.replica().epoch_is_over() || node.durable() < node.tip().height {
            return false;
        }
        let (root, files) = (node.tip().clone(), node.files());
        let previous = node.replica().continuation();
        let next = &self.nexts[epoch];
        let joins = next.before.iter().position(|member| *member == Some(before));
        let newcomers: Vec<usize> =
            (0..next.before.len()).filter(|new| next.before[*new].is_none()).collect();
        if self.nets.len() == epoch + 1 {
            self.make(epoch, &root);
        }
        self.nets[epoch].retire(before);
        let net = &mut self.nets[epoch + 1];
        if let Some(member) = joins {
            if let Some((_, crash)) = self.crash_on_begin.take_if(|(at, _)| *at == member) {
                net.nodes[member].crash_at = Some(crash);
            }
            net.begin(member, files.clone(), previous);
        }
        // New members have followed the chain as observers.
        for member in newcomers.into_iter().filter(|new| net.nodes[*new].is_new()).collect::<Vec<_>>() {
            net.begin(member, files.clone(), Continuation::unknown());
        }
        joins.is_some()
    }

    /// Processes that are behind in an epoch fetch certified blocks up to its end, from any process
    /// that has passed it.
    pub(crate) fn serve(&mut self) {
        for epoch in 0..self.nets.len() - 1 {
            let root = self.nets[epoch + 1].root.clone();
            let passed = self.nets[epoch + 1].nodes.iter().chain(&self.nets[epoch].nodes);
            let Some(source) = passed.into_iter().find(|node| node.certificates.contains_key(&root.height))
            else {
                continue;
            };
            let end = usize::try_from(root.height.0).unwrap();
            let (chain, certificate) =
                (source.chain[..=end].to_vec(), source.certificates[&root.height].clone());
            for node in 0..self.nets[epoch].size() {
                self.nets[epoch].fetch(node, &chain, &certificate);
            }
        }
    }

    /// Lets time pass in all epochs. The engines fill heights as scheduled.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let pace = super::STATUS / 4;
        let mut passed = Duration::ZERO;
        while passed < duration {
            self.pause(pace);
            passed += pace;
        }
    }

    fn pause(&mut self, pace: Duration) {
        for net in &mut self.nets {
            net.fill();
            net.pass(pace);
        }
        self.serve();
        self.advance();
    }

    /// The latest epoch orders this many blocks, and time passes meanwhile.
    pub(crate) fn order(&mut self, prefix: &str, count: usize) {
        let mut proposed = 0;
        for _ in 0..40 * count {
            while proposed < count && self.last().try_propose(&format!("{prefix}{proposed}")).is_some() {
                proposed += 1;
            }
            self.pause(super::STATUS / 8);
            if proposed == count {
                return;
            }
        }
        panic!("only {proposed} of {count} blocks were proposed");
    }

    /// Asserts that all members of the latest epoch run, are in it, and have equal chains of this
    /// height.
    pub(crate) fn assert_heights(&mut self, height: u64) {
        let net = self.last();
        assert_eq!(net.heights(), vec![height; net.size()]);
        assert!(net.nodes.iter().all(Node::runs), "all members have begun");
    }
}

impl Net {
    /// A process leaves this epoch: it begins the next one, or is no member of it.
    fn retire(&mut self, node: usize) {
        self.crash(node);
        self.nodes[node].retired = true;
    }

    /// A process begins this epoch.
    fn begin(&mut self, node: usize, files: super::Files, previous: Continuation) {
        let now = self.now(node);
        self.nodes[node].begin(now, files, previous);
        self.started(node);
    }

    /// A node that is behind appends these certified blocks.
    fn fetch(
        &mut self,
        node: usize,
        chain: &[quorate_ledger::Header],
        certificate: &quorate_ledger::Verified<quorate_ledger::CommitCertificate>,
    ) {
        if !self.nodes[node].runs() || self.nodes[node].chain.len() >= chain.len() {
            return;
        }
        let (now, before) = (self.now(node), self.nodes[node].finalised.len());
        self.nodes[node].catch_up_from(now, chain, certificate.clone());
        self.flush(node, before);
    }
}
