//! A replica with the engine, disk and clock that it needs, all in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quorate_ledger::{
    BlockHash, BlockSkeleton, CommitCertificate, Header, Height, ReplicaId, SecretKey, Verified,
};
use quorate_pbft::{
    CheckedProposal, Config, Finalised, Input, Message, Moment, Now, Record, Replica, Request, Signer, Steps,
    To, Verdict,
};

use super::executor::Executor;
use super::journal::{live, read_back};

/// When a crash happens, relative to the writing of a group of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// The crash comes before the write: records and messages are lost.
    BeforePersist,
    /// The crash comes after the write: the records are durable, the messages are never sent.
    AfterPersist,
}

mod starts;

#[derive(Debug)]
struct PowerCut;

pub(crate) struct Node {
    pub(crate) me: ReplicaId,
    config: Config,
    key: SecretKey,
    /// `None` while the process does not run.
    replica: Option<Replica>,
    steps: Steps,
    /// The governance state of its engine.
    pub(crate) executor: Executor,

    /// These fields survive a crash: records in the order of writing, the bodies that belong to
    /// them, the chain up to `durable`, and the certificates of those blocks that have one.
    pub(crate) journal: Vec<Record>,
    pub(crate) bodies: BTreeMap<BlockHash, BlockSkeleton>,
    pub(crate) chain: Vec<Header>,
    pub(crate) certificates: BTreeMap<Height, Verified<CommitCertificate>>,
    durable: usize,
    /// The journal has collected the records about heights up to here (R13c).
    collected: Height,

    /// Blocks whose transactions this node cannot get until the test supplies them.
    pub(crate) withheld: BTreeSet<BlockHash>,
    /// Blocks that its validation refuses, with the reason.
    pub(crate) faults: BTreeMap<BlockHash, String>,
    /// Proposals that wait for their transactions.
    examining: Vec<CheckedProposal>,
    /// Blocks proposed again whose ids it requests.
    pub(crate) wanted: Vec<Header>,
    /// Requests of the replica to the engine that tests look at.
    pub(crate) requests: Vec<Request>,
    /// What this node finalised by votes, in order. Fetched blocks are not in it.
    pub(crate) finalised: Vec<Finalised>,
    /// Last committed height that each member claims in its STATUS. `certain` is the highest height
    /// for which a certificate is known.
    pub(crate) heads: BTreeMap<ReplicaId, Height>,
    pub(crate) certain: Height,
    pub(crate) behind_since: Option<Moment>,

    /// While set, the ledger is not synced: the node reports no durable heights.
    pub(crate) ledger_lags: bool,
    /// Error of this node's wall clock in milliseconds; positive means ahead.
    pub(crate) clock_error_ms: i64,
    /// Its process has left this epoch: it began the next one, or is no member of it.
    pub(crate) retired: bool,
    /// Crash at the n-th group of records from now (0 is the next), at this boundary.
    pub(crate) crash_at: Option<(usize, Boundary)>,
    /// How often it fetched blocks from another node.
    pub(crate) caught_up: usize,
    /// How many groups of records were written.
    pub(crate) groups: usize,
}

/// What is on a node's disk.
#[derive(Clone)]
pub(crate) struct Files {
    journal: Vec<Record>,
    bodies: BTreeMap<BlockHash, BlockSkeleton>,
    chain: Vec<Header>,
    certificates: BTreeMap<Height, Verified<CommitCertificate>>,
    durable: usize,
    collected: Height,
}

impl Node {
    pub(crate) fn new(
        me: ReplicaId,
        config: Config,
        key: SecretKey,
        root: Header,
        executor: Executor,
    ) -> Self {
        let mut node = Node::absent(me, config, key, root.clone(), executor);
        let signer = Signer::new(&node.config.context, node.key.clone(), me);
        node.replica = Some(Replica::new(node.config.clone(), signer, root, node.executor.schedule()));
        node
    }

    /// A node that does not run yet, on a chain that ends in this block.
    pub(crate) fn absent(
        me: ReplicaId,
        config: Config,
        key: SecretKey,
        root: Header,
        executor: Executor,
    ) -> Self {
        Node {
            me,
            replica: None,
            executor,
            config,
            key,
            steps: Steps::default(),
            journal: Vec::new(),
            bodies: BTreeMap::new(),
            chain: vec![root],
            certificates: BTreeMap::new(),
            durable: 1,
            collected: Height(0),
            withheld: BTreeSet::new(),
            faults: BTreeMap::new(),
            examining: Vec::new(),
            wanted: Vec::new(),
            requests: Vec::new(),
            finalised: Vec::new(),
            heads: BTreeMap::new(),
            certain: Height(0),
            behind_since: None,
            ledger_lags: false,
            clock_error_ms: 0,
            retired: false,
            crash_at: None,
            caught_up: 0,
            groups: 0,
        }
    }

    /// Whether its process was never in this epoch.
    pub(crate) fn is_new(&self) -> bool {
        !self.runs() && self.chain[0].height > Height(0)
    }

    /// Whether its process crashed in this epoch.
    pub(crate) fn is_down(&self) -> bool {
        !self.runs() && !self.retired && !self.is_new()
    }

    pub(crate) fn runs(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) fn replica(&self) -> &Replica {
        self.replica.as_ref().expect("the node runs")
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn tip(&self) -> &Header {
        self.chain.last().expect("a chain has its root")
    }

    /// Steps through an input and the answers of the engine to its requests. Nothing is written or
    /// sent yet.
    pub(crate) fn input(&mut self, now: Now, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(replica) = &mut self.replica else { return };
            let mut step = replica.step(now, input);
            for request in step.take_requests() {
                inputs.extend(self.serve(request));
            }
            self.steps.absorb(step);
            if inputs.is_empty() && !self.executor.late {
                inputs.extend(self.executed(self.tip().height));
            }
        }
    }

    /// A late engine executes the final blocks up to this height.
    pub(crate) fn execute(&mut self, now: Now, height: Height) {
        let executed = self.executed(height.min(self.tip().height));
        executed.into_iter().for_each(|input| self.input(now, input));
    }

    /// What the engine tells the replica when it has executed the blocks up to this height.
    fn executed(&mut self, height: Height) -> Vec<Input> {
        let mut inputs: Vec<Input> =
            self.executor.execute(height).map(Input::Scheduled).into_iter().collect();
        inputs.extend(self.executor.new_roots(&self.chain, self.config.checkpoint_interval, height));
        inputs
    }

    fn serve(&mut self, request: Request) -> Option<Input> {
        match request {
            Request::Examine { proposal, .. } => return self.examine(proposal),
            Request::Finalise(finalised) => self.append(finalised),
            Request::CatchUp { height } => {
                self.certain = self.certain.max(height);
                self.requests.push(request);
            }
            Request::FetchSkeleton { header, .. } => self.wanted.push(header),
            Request::Left(_) => {
                self.examining.clear();
                self.wanted.clear();
                self.requests.push(request);
            }
            // The body is deleted together with its record, in one write.
            Request::Forget(block) => {
                assert!(self.bodies.contains_key(&block), "the body was kept until now");
            }
            Request::Entered { .. }
            | Request::Evidence(_)
            | Request::BadProposal { .. }
            | Request::Stable(_)
            | Request::Recovering { .. }
            | Request::SecondInstance => self.requests.push(request),
        }
        None
    }

    fn examine(&mut self, proposal: CheckedProposal) -> Option<Input> {
        let (ballot, skeleton) = (*proposal.ballot(), proposal.skeleton());
        if self.withheld.contains(&ballot.block) {
            self.examining.push(proposal);
            return None;
        }
        let verdict = match self.faults.get(&ballot.block) {
            Some(fault) => Verdict::Bad(fault.clone()),
            None => {
                self.bodies.insert(ballot.block, skeleton.clone());
                Verdict::Good
            }
        };
        Some(Input::Examined { ballot, verdict })
    }

    /// Supplies the transactions of all withheld blocks.
    pub(crate) fn supply(&mut self, now: Now) {
        self.withheld.clear();
        for proposal in std::mem::take(&mut self.examining) {
            let input = self.examine(proposal).expect("nothing is withheld any more");
            self.input(now, input);
        }
    }

    fn append(&mut self, finalised: Finalised) {
        for hash in &finalised.blocks {
            let skeleton =
                self.bodies.get(hash).expect("only accepted blocks are finalised, and their bodies kept");
            let header = skeleton.header();
            assert_eq!(header.parent, self.tip().hash(), "blocks are finalised in order and without a gap");
            self.chain.push(header.clone());
        }
        let certificate = finalised.certificate.clone();
        assert_eq!(self.tip().hash(), certificate.ballot().block, "the certificate is for the last");
        self.certificates.insert(self.tip().height, certificate);
        self.finalised.push(finalised);
    }

    /// Appends certified blocks from another node's chain.
    pub(crate) fn catch_up_from(
        &mut self,
        now: Now,
        chain: &[Header],
        certificate: Verified<CommitCertificate>,
    ) {
        self.caught_up += 1;
        let common = self.chain.len();
        assert_eq!(chain[common - 1].hash(), self.tip().hash(), "the same chain");
        self.chain.extend_from_slice(&chain[common..]);
        self.certificates.insert(self.tip().height, certificate.clone());
        self.durable = self.chain.len();
        self.input(now, Input::CaughtUp { headers: chain[common..].to_vec(), certificate });
        self.input(now, Input::Durable(self.tip().height));
    }

    /// Writes one group of records and returns the messages that depend on it (R13a). A planned
    /// crash happens here.
    pub(crate) fn flush(&mut self) -> Vec<(To, Message)> {
        let steps = std::mem::take(&mut self.steps);
        let (journal, bodies, durable) = (&mut self.journal, &mut self.bodies, &mut self.durable);
        let mut wrote = false;
        let crash = match self.crash_at {
            Some((0, boundary)) => Some(boundary),
            _ => None,
        };
        let messages = steps.persist(|records| {
            wrote = !records.is_empty();
            if wrote && crash == Some(Boundary::BeforePersist) {
                return Err(PowerCut);
            }
            for record in records {
                if let Record::Finalised(certificate) = record {
                    *durable = usize::try_from(certificate.ballot().height.0).expect("a short chain") + 1;
                }
                if let Record::Dropped { block, with_body: true, .. } = record {
                    bodies.remove(block);
                }
                journal.push(record.clone());
            }
            Ok(())
        });
        if wrote {
            self.groups += 1;
            self.crash_at = self.crash_at.map(|(groups, boundary)| (groups.saturating_sub(1), boundary));
        }
        if wrote && crash.is_some() {
            let lost = crash == Some(Boundary::BeforePersist);
            assert_eq!(messages.is_err(), lost, "R13: a write that fails releases no message");
            self.crash();
            return Vec::new();
        }
        messages.expect("only a planned crash keeps records from being written")
    }

    /// The rows of the journal, without those that it has collected (R13c).
    fn rows(&self) -> Vec<Record> {
        let open = |record: &Record| record.height().is_none_or(|height| height > self.collected);
        live(&self.journal).into_iter().filter(open).collect()
    }

    /// The height up to which the chain survives a crash.
    pub(crate) fn durable(&self) -> Height {
        Height(self.durable as u64 - 1)
    }

    /// A copy of all files.
    pub(crate) fn files(&self) -> Files {
        let Node { journal, bodies, chain, certificates, durable, collected, .. } = self;
        Files {
            journal: journal.clone(),
            bodies: bodies.clone(),
            chain: chain.clone(),
            certificates: certificates.clone(),
            durable: *durable,
            collected: *collected,
        }
    }

    /// Replaces the files of a stopped node.
    pub(crate) fn put_back(&mut self, files: Files) {
        assert!(!self.runs(), "only a stopped node's files are replaced");
        let Files { journal, bodies, chain, certificates, durable, collected } = files;
        (self.journal, self.bodies, self.chain) = (journal, bodies, chain);
        (self.certificates, self.durable, self.collected) = (certificates, durable, collected);
    }

    /// Replaces only the ledger of a stopped node.
    pub(crate) fn put_back_ledger(&mut self, files: Files) {
        assert!(!self.runs(), "only a stopped node's files are replaced");
        (self.chain, self.certificates, self.durable) = (files.chain, files.certificates, files.durable);
    }

    /// The process ends. Only durable data is left.
    pub(crate) fn crash(&mut self) {
        self.replica = None;
        self.steps = Steps::default();
        self.crash_at = None;
        self.chain.truncate(self.durable);
        self.collected = self.durable();
        let tip = self.tip().height;
        self.certificates.retain(|height, _| *height <= tip);
        let accepted: BTreeSet<BlockHash> = self.rows().iter().filter_map(accepted_block).collect();
        self.bodies.retain(|hash, _| accepted.contains(hash));
        self.examining.clear();
        self.wanted.clear();
        self.heads.clear();
        self.certain = Height(0);
        self.behind_since = None;
    }
}

fn accepted_block(record: &Record) -> Option<BlockHash> {
    match record {
        Record::Accepted(proposal) => Some(proposal.skeleton().hash()),
        _ => None,
    }
}
