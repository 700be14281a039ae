//! A committee in memory: real engines on real stores, and a network that the test controls.
//!
//! Nodes have numbers, which are their indices in the committee of epoch 0. A [`ReplicaId`] in this
//! file names a node by its number. At the boundary to an engine, `epochs.rs` translates it to the
//! index in the engine's epoch.

mod craft;
mod delivery;
mod epochs;
mod parcel;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::time::Duration;

use quorate_engine::{
    Effects, Engine, EpochRole, Event, Fatal, FetchId, FetchRequest, FetchResponse, Notice, Overview,
    Submission, Ticket,
};
use quorate_genesis::{Genesis, Parameters, TestNetwork};
use quorate_ledger::{
    Block, Height, NotPermitted, Payload, Refusal, ReplicaId, SecretKey, Timestamp, Transaction,
    TransactionId, VerifiedTransaction, View,
};
use quorate_pbft::{Cause, Checked, Message, Moment, Now};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

pub(crate) use self::parcel::Parcel;

type Filter = Box<dyn Fn(ReplicaId, ReplicaId, &Parcel) -> bool>;
type Lie = Box<dyn Fn(&FetchRequest, FetchResponse) -> FetchResponse>;

/// A member loses power at the end of a call, after its records are durable and before or after its
/// messages have left. It starts again at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crash {
    pub(crate) member: usize,
    /// After this many more calls.
    pub(crate) calls: u32,
    pub(crate) messages_left: bool,
}

pub(crate) struct Node {
    pub(crate) engine: Option<Engine>,
    /// It was no member when it started last.
    pub(crate) starts_as_follower: bool,
    pub(crate) ledger: ForgetfulDisk,
    pub(crate) journal: ForgetfulDisk,
    /// Milliseconds by which the wall clock is ahead of true time.
    pub(crate) ahead_ms: i64,
    pub(crate) committed: Vec<Block>,
    /// The transactions that expired.
    pub(crate) ended: Vec<TransactionId>,
    /// The transactions that a change of the configuration excluded.
    pub(crate) rejected: Vec<(TransactionId, NotPermitted)>,
    pub(crate) notices: Vec<Notice>,
    /// The keys that it may sign votes with, newest last.
    pub(crate) keys: Vec<SecretKey>,
}

impl Node {
    fn new(key: SecretKey) -> Self {
        Node {
            engine: None,
            starts_as_follower: false,
            ledger: ForgetfulDisk::new(),
            journal: ForgetfulDisk::new(),
            ahead_ms: 0,
            committed: Vec::new(),
            ended: Vec::new(),
            rejected: Vec::new(),
            notices: Vec::new(),
            keys: vec![key],
        }
    }
}

pub(crate) struct Net {
    pub(crate) genesis: Genesis,
    pub(crate) keys: Vec<SecretKey>,
    /// The governance keys of the first members.
    pub(crate) governance: Vec<SecretKey>,
    pub(crate) client: SecretKey,
    pub(crate) nodes: Vec<Node>,
    pub(crate) now: Duration,
    /// Messages in flight, in order: from, to, message.
    pub(crate) queue: VecDeque<(ReplicaId, ReplicaId, Parcel)>,
    /// Every message that was sent and not lost, except STATUS.
    pub(crate) log: Vec<(ReplicaId, ReplicaId, Parcel)>,
    requests: Vec<(Ticket, ReplicaId, ReplicaId, FetchId, FetchRequest)>,
    tickets: u64,
    lost: Option<Filter>,
    /// A faulty member, and the function that changes its answers.
    pub(crate) faulty: Option<(usize, Lie)>,
    /// A member whose process is paused, as with SIGSTOP.
    stopped: Option<usize>,
    /// Messages that wait for the paused member.
    held: VecDeque<(ReplicaId, ReplicaId, Parcel)>,
    pub(crate) crash: Option<Crash>,
    crashed: Option<usize>,
    /// The message that was checked last. A message to all is checked once, since its signatures
    /// cost most of the time.
    checked: RefCell<Option<(ReplicaId, Message, Checked)>>,
}

impl Net {
    pub(crate) fn of(size: usize) -> Self {
        Net::with(size, |_| {})
    }

    /// A committee with other parameters than the default ones. All members run and are connected.
    pub(crate) fn with(size: usize, change: impl FnOnce(&mut Parameters)) -> Self {
        let network = TestNetwork::seeded(size, 7).with_parameters(change).unwrap();
        let governance = (0..size).map(|member| network.governance_key(id(member)).clone()).collect();
        let (genesis, keys) = network.into_parts();
        let nodes = keys.iter().map(|key| Node::new(key.clone())).collect();
        let mut net = Net {
            genesis,
            keys,
            governance,
            client: SecretKey::from_bytes(&[3; 32]).unwrap(),
            nodes,
            now: Duration::from_secs(10),
            queue: VecDeque::new(),
            log: Vec::new(),
            requests: Vec::new(),
            tickets: 0,
            lost: None,
            faulty: None,
            stopped: None,
            held: VecDeque::new(),
            crash: None,
            crashed: None,
            checked: RefCell::new(None),
        };
        for index in 0..size {
            net.create_files(index);
            net.open(index);
        }
        net.deliver_all();
        net
    }

    /// Gives a node empty files.
    pub(crate) fn create_files(&mut self, index: usize) {
        let (identity, state) = (self.identity(index), self.genesis.governance_state());
        let node = &mut self.nodes[index];
        (node.ledger, node.journal) = (ForgetfulDisk::new(), ForgetfulDisk::new());
        Ledger::create_on(node.ledger.attach(), self.genesis.header(), &state).unwrap();
        Journal::create_on(node.journal.attach(), &identity).unwrap();
    }

    pub(crate) fn identity(&self, index: usize) -> JournalIdentity {
        let key = self.nodes[index].keys.last().unwrap();
        JournalIdentity { chain_id: self.genesis.chain_id(), validator: key.public() }
    }

    /// Starts a node on its files. It has no engine then if it is no member.
    pub(crate) fn open(&mut self, index: usize) {
        let engine = self.try_open(index).unwrap().into_member();
        self.nodes[index].starts_as_follower = engine.is_none();
        self.nodes[index].engine = engine;
        for other in (0..self.nodes.len()).filter(|other| *other != index) {
            self.connect(other, index);
            self.connect(index, other);
        }
    }

    pub(crate) fn try_open(&mut self, index: usize) -> Result<EpochRole, quorate_engine::OpenError> {
        let node = &self.nodes[index];
        let ledger = Ledger::open_on(node.ledger.attach(), self.genesis.header())?;
        let keys: Vec<_> = node.keys.iter().map(SecretKey::public).collect();
        let journal = Journal::open_on_of(node.journal.attach(), &self.identity(index), &keys)?;
        Engine::open(&node.keys, ledger, journal, None, self.time(index))
    }

    /// Cuts the power of a member's machine.
    pub(crate) fn power_loss(&mut self, index: usize) {
        self.nodes[index].ledger.power_loss();
        self.nodes[index].journal.power_loss();
        self.nodes[index].engine = None;
    }

    pub(crate) fn time(&self, index: usize) -> Now {
        let elapsed = i64::try_from(self.now.as_millis()).unwrap() + self.nodes[index].ahead_ms;
        let wall = self.genesis.time().0.checked_add_signed(elapsed).unwrap();
        Now { moment: Moment(self.now), wall: Timestamp(wall) }
    }

    /// True time.
    pub(crate) fn wall(&self) -> Timestamp {
        self.genesis.time().plus_ms(u64::try_from(self.now.as_millis()).unwrap())
    }

    pub(crate) fn engine(&self, index: usize) -> &Engine {
        self.nodes[index].engine.as_ref().unwrap()
    }

    /// The present state of a member.
    pub(crate) fn overview(&self, index: usize) -> Overview {
        self.engine(index).overview(self.time(index))
    }

    pub(crate) fn height(&self, index: usize) -> u64 {
        self.engine(index).reader().head().unwrap().height.0
    }

    /// Loses the messages that the filter selects, from now on.
    pub(crate) fn lose(&mut self, filter: impl Fn(ReplicaId, ReplicaId, &Parcel) -> bool + 'static) {
        self.lost = Some(Box::new(filter));
    }

    pub(crate) fn lose_nothing(&mut self) {
        self.lost = None;
    }

    /// A transaction that is valid for a minute.
    pub(crate) fn transaction(&self, nonce: u64) -> VerifiedTransaction {
        self.transaction_until(nonce, self.wall().plus_ms(60_000))
    }

    pub(crate) fn transaction_until(&self, nonce: u64, valid_until: Timestamp) -> VerifiedTransaction {
        self.transaction_of(&self.client, nonce, valid_until)
    }

    pub(crate) fn transaction_of(
        &self,
        sender: &SecretKey,
        nonce: u64,
        valid_until: Timestamp,
    ) -> VerifiedTransaction {
        let chain = self.genesis.chain_id();
        let payload = Payload::Data(nonce.to_be_bytes().to_vec());
        Transaction::sign(&chain, sender, nonce, valid_until, payload).verify(&chain).unwrap()
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Submits a transaction. The messages that follow are in flight, not delivered.
    pub(crate) fn submit(
        &mut self,
        index: usize,
        transaction: &VerifiedTransaction,
    ) -> Result<Submission, Refusal> {
        let ticket = self.ticket();
        let effects = self.outcome(index, [Event::Submitted { ticket, transaction: transaction.clone() }]);
        let [(answered, outcome)] = <[_; 1]>::try_from(effects.submissions).unwrap();
        assert_eq!(answered, ticket);
        outcome
    }

    /// Lets a member handle events. Its messages are in flight afterwards.
    pub(crate) fn handle(&mut self, index: usize, events: impl IntoIterator<Item = Event>) {
        drop(self.outcome(index, events));
    }

    /// As [`Net::handle`]. Returns the effects that are for the test and not for other members.
    pub(crate) fn outcome(&mut self, index: usize, events: impl IntoIterator<Item = Event>) -> Effects {
        self.try_handle(index, events).unwrap()
    }

    pub(crate) fn try_handle(
        &mut self,
        index: usize,
        events: impl IntoIterator<Item = Event>,
    ) -> Result<Effects, Fatal> {
        let time = self.time(index);
        let engine = self.nodes[index].engine.as_mut().expect("it runs");
        let mut effects = engine.handle(time, events)?;
        let crashes = self.crash.is_some_and(|crash| crash.member == index && crash.calls == 0);
        if let Some(crash) = self.crash.as_mut().filter(|crash| crash.member == index) {
            crash.calls = crash.calls.saturating_sub(1);
        }
        if crashes && let Some(crash) = self.crash.take() {
            self.crashed = Some(index);
            if !crash.messages_left {
                return Ok(Effects::default());
            }
        }
        self.send(index, &mut effects);
        self.change_epoch(index)?;
        Ok(effects)
    }

    /// Restarts a member that has crashed.
    fn revive(&mut self) {
        if let Some(index) = self.crashed.take() {
            self.power_loss(index);
            self.open(index);
        }
    }

    /// Pauses a member's process.
    pub(crate) fn stop(&mut self, index: usize) {
        self.stopped = Some(index);
    }

    /// Continues it: the process wakes up late, and then reads the messages that have arrived
    /// meanwhile.
    pub(crate) fn go_on(&mut self) {
        if let Some(index) = self.stopped.take() {
            self.handle(index, []);
            self.queue.append(&mut self.held);
        }
    }

    /// A copy of a member's files.
    pub(crate) fn copy_of_files(&self, index: usize) -> [ForgetfulDisk; 2] {
        let node = &self.nodes[index];
        [&node.ledger, &node.journal].map(|disk| ForgetfulDisk::with_contents(disk.contents()))
    }

    /// Lets time pass. Members wake only at their deadlines, and messages arrive at once.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        self.deliver_all();
        loop {
            let deadlines: Vec<Option<Duration>> = (0..self.nodes.len())
                .map(|index| {
                    let engine = self.nodes[index].engine.as_ref().filter(|_| self.stopped != Some(index))?;
                    engine.deadline(self.time(index)).map(|deadline| deadline.0)
                })
                .collect();
            let next = deadlines.iter().flatten().min().copied();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            for (index, deadline) in deadlines.iter().enumerate() {
                if deadline.is_some_and(|deadline| deadline <= self.now) {
                    self.handle(index, []);
                    if self.crashed.is_some() {
                        self.revive();
                        continue;
                    }
                    let again = self.engine(index).deadline(self.time(index));
                    assert!(
                        again.is_none_or(|again| again.0 > self.now),
                        "member {index} has handled its deadline, and its next one is not later"
                    );
                }
            }
            self.deliver_all();
        }
        self.now = end;
    }

    /// Submits transactions to the primary, one after the other, so that each has its own block.
    pub(crate) fn commit_each(&mut self, nonces: std::ops::Range<u64>) {
        for nonce in nonces {
            let transaction = self.transaction(nonce);
            assert_eq!(self.submit(0, &transaction), Ok(Submission::Pending));
            self.deliver_all();
            self.pass(Duration::from_millis(20));
        }
    }

    /// The views that a member left for, and why, during the whole test.
    pub(crate) fn departures(&self, index: usize) -> Vec<(View, Cause)> {
        let left = self.nodes[index].notices.iter().filter_map(|notice| match notice {
            Notice::LeftView(departure) => Some((departure.to, departure.cause)),
            _ => None,
        });
        left.collect()
    }

    /// The ids of a member's chain in order.
    pub(crate) fn ids(&self, index: usize) -> Vec<TransactionId> {
        let reader = self.engine(index).reader();
        let blocks = (1..=self.height(index)).map(|height| reader.block(Height(height)).unwrap().unwrap());
        blocks.flat_map(|block| block.body().ids().to_vec()).collect()
    }
}

pub(crate) fn id(index: usize) -> ReplicaId {
    ReplicaId(u16::try_from(index).unwrap())
}
