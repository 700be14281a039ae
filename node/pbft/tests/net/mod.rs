//! A whole committee in memory, in lock-step: the network does nothing on its own.
//!
//! Messages travel as bytes and are checked on arrival, as in production. Every node has its own
//! durable records, chain and clock. An oracle checks every vote, record and final block. So each
//! scenario also checks agreement, COMMITs in height order (R10) and "durable before sent" (R13).
#![allow(clippy::unwrap_used)]
#![allow(dead_code, unused_imports, reason = "every scenario file uses another part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_ledger::{
    Ballot, BlockHash, BlockLimits, BlockSkeleton, ChainId, Committee, Epoch, Hash, Header, Height,
    PROTOCOL_VERSION, ReplicaId, SecretKey, Signable, SignatureMemo, Signed, Signers, Timestamp,
    TransactionId, TransactionLimits, Verified, View, decode, encode, merkle_root,
};
use quorate_pbft::{
    Checked, CheckedContent, Config, Dropped, EpochContext, HighWaterMark, Input, Message, Moment, NewView,
    NewViewMessage, Now, Position, PrePrepare, Prepare, PreparedCertificate, Proposal, Rejected, Request,
    Screen, Seen, Selection, To, ViewChange, ViewChangeMessage, ViewChangePayload, Work,
};

mod forge;
mod journal;
mod links;
mod look;
mod node;
mod oracle;
mod random;

pub(crate) use forge::payload_of;
pub(crate) use links::{Envelope, Links};
pub(crate) use node::{Boundary, Files, Node};
pub(crate) use oracle::Oracle;
pub(crate) use random::Random;

pub(crate) const CHAIN: ChainId = ChainId::from_bytes([0xc4; 32]);
pub(crate) const STATUS: Duration = Duration::from_secs(1);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(4);
pub(crate) const NEW_VIEW_TIMEOUT: Duration = Duration::from_secs(3);
pub(crate) const TIMEOUT_CAP: Duration = Duration::from_secs(20);
pub(crate) const TOLERANCE: Duration = Duration::from_millis(500);
pub(crate) const WINDOW: u64 = 4;
/// Milliseconds on all wall clocks when a test begins.
const START_MS: u64 = 1_000_000;

/// The messages with which Byzantine members answer a message that reached one of them.
pub(crate) type Byzantine = Box<dyn FnMut(&Net, &Envelope) -> Vec<Envelope>>;

pub(crate) struct Net {
    pub(crate) config: Config,
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) links: Links,
    pub(crate) oracle: Oracle,
    pub(crate) moment: Moment,
    /// Whether engines fetch certified blocks.
    pub(crate) catching_up: bool,
    /// Whether engines find the ids of blocks that are proposed again (R12c).
    pub(crate) finding_skeletons: bool,
    /// Answers of the Byzantine members. They arrive before all messages in flight.
    pub(crate) byzantine: Option<Byzantine>,
    /// Whether messages are screened before they are checked, as in production (R25).
    pub(crate) screening: bool,
    /// Position of each node before its last input. A screen must work with a position that is a
    /// little old (R25a).
    positions: Vec<Position>,
    screens: BTreeMap<(ReplicaId, ReplicaId), Screen>,
    /// How many messages the screens dropped before the check, by reason.
    pub(crate) dropped: BTreeMap<Dropped, usize>,
    names: BTreeMap<BlockHash, String>,
    /// Messages that passed the check before, with their sender. Signatures take most of a test's
    /// time, so each message is verified once.
    checked: BTreeMap<(ReplicaId, Vec<u8>), Checked>,
    /// For each member, a SEEN with a statement of it. To all others, it says nothing.
    seen_of: Vec<Checked>,
}

pub(crate) fn id(index: usize) -> ReplicaId {
    ReplicaId(u16::try_from(index).unwrap())
}

/// Keys of a committee in its order.
pub(crate) fn keys(size: usize) -> Vec<SecretKey> {
    let mut keys: Vec<SecretKey> =
        (1..=u8::try_from(size).unwrap()).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

pub(crate) fn config(keys: &[SecretKey]) -> Config {
    Config {
        context: EpochContext {
            chain: CHAIN,
            epoch: Epoch(0),
            committee: Committee::new(keys.iter().map(SecretKey::public).collect()).unwrap(),
            window: WINDOW,
            memo: Some(Arc::new(SignatureMemo::new(20_000))),
        },
        limits: BlockLimits {
            max_transactions: 100,
            max_body_bytes: 10_000,
            transaction: TransactionLimits { max_bytes: 1000, max_lifetime_ms: 120_000 },
            empty_block_gap_ms: 10_000,
        },
        clock_tolerance: TOLERANCE,
        request_timeout: TIMEOUT,
        new_view_timeout: NEW_VIEW_TIMEOUT,
        timeout_cap: TIMEOUT_CAP,
        checkpoint_interval: 128,
        log_window: 512,
        status_interval: STATUS,
    }
}

/// SEEN with a statement of this member.
fn seen_of(index: usize, keys: &[SecretKey], config: &Config) -> Checked {
    let statement = ViewChange { epoch: Epoch(0), view: View(1), content: Hash::ZERO };
    let view_change = Signed::sign(&CHAIN, &keys[index], id(index), statement).into_inner();
    let seen = Seen { view_change: Some(view_change), ..Seen::default() };
    Message::Seen(seen).check(id(index), &config.context).unwrap()
}

pub(crate) fn root(config: &Config) -> Header {
    Header::genesis(config.context.chain, config.context.committee.hash(), Timestamp(START_MS - 1))
}

/// A block with one transaction, whose id is made from the name.
pub(crate) fn block(parent: &Header, name: &str, time: Timestamp, proposer: ReplicaId) -> BlockSkeleton {
    let mut bytes = [0; 32];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    let ids = vec![TransactionId::from_bytes(bytes)];
    let header = Header {
        version: PROTOCOL_VERSION,
        height: parent.height.next(),
        parent: parent.hash(),
        transactions_root: merkle_root(&ids),
        transaction_count: 1,
        body_bytes: 200,
        timestamp: time.max(parent.timestamp.plus_ms(1)),
        proposer,
        ..parent.clone()
    };
    BlockSkeleton::new(header, ids).unwrap()
}

/// The ballot for a block in a view.
pub(crate) fn ballot(skeleton: &BlockSkeleton, view: u64) -> Ballot {
    Ballot { epoch: Epoch(0), view: View(view), height: skeleton.height(), block: skeleton.hash() }
}

impl Net {
    /// A committee of this size at rest: all members are connected and have exchanged STATUS.
    pub(crate) fn of(size: usize) -> Self {
        Net::with(size, |_| {})
    }

    /// The same with other parameters.
    pub(crate) fn with(size: usize, adjust: impl FnOnce(&mut Config)) -> Self {
        let keys = keys(size);
        let mut config = config(&keys);
        adjust(&mut config);
        let root = root(&config);
        let node = |(index, key): (usize, &SecretKey)| {
            Node::new(id(index), config.clone(), key.clone(), root.clone())
        };
        let seen_of = (0..size).map(|index| seen_of(index, &keys, &config)).collect();
        let mut net = Net {
            nodes: keys.iter().enumerate().map(node).collect(),
            oracle: Oracle::of(size),
            keys,
            config,
            links: Links::default(),
            moment: Moment::default(),
            catching_up: true,
            finding_skeletons: true,
            byzantine: None,
            screening: true,
            positions: Vec::new(),
            screens: BTreeMap::new(),
            dropped: BTreeMap::new(),
            names: BTreeMap::new(),
            checked: BTreeMap::new(),
            seen_of,
        };
        net.positions = net.nodes.iter().map(|node| node.replica().position()).collect();
        net.pass(Duration::ZERO);
        net
    }

    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The time as this node sees it.
    pub(crate) fn now(&self, node: usize) -> Now {
        let passed = u64::try_from(self.moment.0.as_millis()).unwrap();
        let wall = (START_MS + passed).saturating_add_signed(self.nodes[node].clock_error_ms);
        Now { moment: self.moment, wall: Timestamp(wall) }
    }

    // ---- inputs and delivery

    /// Gives one node an input, then writes its records and sends its messages.
    pub(crate) fn input(&mut self, node: usize, input: Input) {
        let now = self.now(node);
        let before = self.nodes[node].finalised.len();
        if self.nodes[node].runs() {
            self.positions[node] = self.nodes[node].replica().position();
        }
        self.nodes[node].input(now, input);
        self.flush(node, before);
    }

    /// Screens a message for the node that it is sent to, as R25 says.
    fn admit(&mut self, from: ReplicaId, to: ReplicaId, message: &mut Message) -> Result<(), Dropped> {
        let config = &self.config;
        let new = || Screen::new(config.clone(), to, from);
        let screen = self.screens.entry((to, from)).or_insert_with(new);
        screen.useful(&self.positions[to.index()], message)?;
        screen.admit(self.moment, &self.nodes[to.index()].replica().position(), message)
    }

    /// R25: a message that the screen calls useless changes nothing when the replica receives it.
    fn assert_useless(&mut self, node: usize, from: ReplicaId, message: Checked) {
        // First give the replica an input without content. It lets time and contact take effect, so
        // a difference after the second input comes from the message. STATUS brings contact, too,
        // and the screen never drops it.
        let nothing = self.seen_of[self.another_member_than(node).index()].clone();
        self.input(node, Input::Received { from, message: nothing });
        if !self.nodes[node].runs() {
            return;
        }
        let (position, sent) = (self.nodes[node].replica().position(), self.links.sent);
        let text = format!("{message:?}");
        let proofs = self.proofs_of_hiding(node, from);
        self.input(node, Input::Received { from, message });
        // The exception in R25b: a late COMMIT or an old VIEW-CHANGE that proves a hidden
        // certificate. The screen may drop it although the position does not show what it proves.
        if self.proofs_of_hiding(node, from) > proofs {
            return;
        }
        assert_eq!(self.nodes[node].replica().position(), position, "{text}");
        assert_eq!(self.links.sent, sent, "{text}");
    }

    fn another_member_than(&self, node: usize) -> ReplicaId {
        id((node + 1) % self.size())
    }

    fn flush(&mut self, node: usize, finalised_before: usize) {
        for finalised in &self.nodes[node].finalised[finalised_before..] {
            self.oracle.certified(&self.nodes[node], finalised);
        }
        let (ran, before) = (self.nodes[node].runs(), self.nodes[node].durable());
        let messages = self.nodes[node].flush();
        self.oracle.agrees(&self.nodes[node]);
        self.oracle.wrote(&self.nodes[node]);
        for (to, message) in messages {
            self.oracle.sends(&self.nodes[node], &message);
            self.post(id(node), to, &message);
        }
        if ran && !self.nodes[node].runs() {
            self.links.cut_off(id(node));
        }
        let durable = self.nodes[node].durable();
        if durable > before && self.nodes[node].runs() && !self.nodes[node].ledger_lags {
            self.input(node, Input::Durable(durable));
        }
    }

    fn post(&mut self, from: ReplicaId, to: To, message: &Message) {
        for member in self.config.context.committee.replicas() {
            if member != from && (to == To::All || to == To::One(member)) {
                self.links.send(Envelope { from, to: member, message: message.clone() });
            }
        }
    }

    /// The node that may propose now. If several may, the one in the latest view.
    pub(crate) fn proposer(&self) -> Option<usize> {
        let ready =
            self.nodes.iter().filter(|node| node.runs() && node.replica().proposal_parent().is_some());
        ready.max_by_key(|node| node.replica().view()).map(|node| node.me.index())
    }

    /// The primary makes a block of this name, if its window has room.
    pub(crate) fn try_propose(&mut self, name: &str) -> Option<BlockSkeleton> {
        let primary = self.proposer()?;
        Some(self.propose_by(primary, name))
    }

    /// This node makes a block of this name. It must be a primary with room in its window.
    pub(crate) fn propose_by(&mut self, primary: usize, name: &str) -> BlockSkeleton {
        let parent = self.nodes[primary].replica().proposal_parent().expect("a primary with room").clone();
        let skeleton = block(&parent, name, self.now(primary).wall, id(primary));
        self.names.insert(skeleton.hash(), name.to_owned());
        self.nodes[primary].bodies.insert(skeleton.hash(), skeleton.clone());
        self.input(primary, Input::Proposed(skeleton.clone()));
        skeleton
    }

    pub(crate) fn propose(&mut self, name: &str) -> BlockSkeleton {
        self.try_propose(name).expect("the primary runs and has room")
    }

    /// The member becomes Byzantine: its correct process ends, and the test sends messages in its
    /// name.
    pub(crate) fn corrupt(&mut self, node: usize) {
        self.nodes[node].crash();
        self.links.cut_off(id(node));
    }

    /// Sends a message that no correct node made.
    pub(crate) fn inject(&mut self, from: usize, to: usize, message: Message) {
        self.oracle.injected(&message);
        self.links.send(Envelope { from: id(from), to: id(to), message });
    }

    /// Delivers a message at once. Returns why the check refused it, if it did.
    pub(crate) fn receive(&mut self, envelope: Envelope) -> Result<(), Rejected> {
        let Envelope { from, to, mut message } = envelope;
        let node = to.index();
        if !self.nodes[node].runs() {
            return Ok(());
        }
        let admitted = if self.screening { self.admit(from, to, &mut message) } else { Ok(()) };
        if let Err(why) = admitted {
            *self.dropped.entry(why).or_default() += 1;
            if why != Dropped::Useless {
                return Ok(());
            }
        }
        // These messages prove themselves: the result of the check does not depend on the sender.
        let proves_itself = matches!(
            message,
            Message::PrePrepare(_) | Message::NewView(_) | Message::Evidence(_) | Message::Seen(_)
        );
        let claimant = if proves_itself { ReplicaId(0) } else { from };
        let key = (claimant, encode(&message));
        let checked = match self.checked.get(&key) {
            Some(checked) => checked.clone(),
            None => {
                let message: Message = decode(&key.1).unwrap();
                let checked = message.check(from, &self.config.context)?;
                self.checked.insert(key, checked.clone());
                checked
            }
        };
        if admitted.is_err() {
            self.assert_useless(node, from, checked);
            return Ok(());
        }
        if let CheckedContent::Status(status) = checked.content() {
            self.nodes[node].heads.insert(from, status.claim().committed);
        }
        self.input(node, Input::Received { from, message: checked });
        Ok(())
    }

    /// Delivers until no message is in flight. Fails if a correct member sends a message that
    /// another refuses.
    pub(crate) fn deliver_all(&mut self) {
        while let Some(envelope) = self.links.next() {
            self.answer_as_byzantine(&envelope);
            let corrupt = !self.nodes[envelope.from.index()].runs();
            let delivered = self.receive(envelope);
            assert!(corrupt || delivered.is_ok(), "{delivered:?}");
            self.catch_up();
            self.find_skeletons();
        }
    }

    /// Passes a message that reaches a Byzantine member to the Byzantine members. Their answers
    /// arrive before all messages in flight.
    fn answer_as_byzantine(&mut self, envelope: &Envelope) {
        if self.nodes[envelope.to.index()].runs() {
            return;
        }
        let Some(mut byzantine) = self.byzantine.take() else { return };
        for answer in byzantine(self, envelope).into_iter().rev() {
            self.oracle.injected(&answer.message);
            self.links.queue_mut().push_front(answer);
        }
        self.byzantine = Some(byzantine);
    }

    /// Lets time pass. Nodes get a tick at their deadlines and at no other time.
    pub(crate) fn pass(&mut self, duration: Duration) {
        let end = self.moment.after(duration);
        for _ in 0..10_000 {
            self.deliver_all();
            let deadlines = self.nodes.iter().filter(|node| node.runs());
            let next = deadlines.filter_map(|node| node.replica().deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.moment = end;
                return;
            };
            self.moment = self.moment.max(next);
            for node in 0..self.size() {
                let due = |replica: &quorate_pbft::Replica| replica.deadline() <= Some(self.moment);
                if self.nodes[node].runs() && due(self.nodes[node].replica()) {
                    self.input(node, Input::Tick);
                }
            }
        }
        panic!("some deadline stays in the past: ticks do not move it");
    }

    /// Stands in for the engines of nodes that are behind: fetches certified blocks from a member
    /// that has them (R12b). It fetches at once if a certificate is known, and after a status
    /// interval if a member only claims them.
    pub(crate) fn catch_up(&mut self) {
        if !self.catching_up {
            return;
        }
        for index in 0..self.size() {
            let node = &self.nodes[index];
            let (tip, moment) = (node.tip().height, self.moment);
            let ahead = node.heads.iter().find(|(_, head)| **head > tip).map(|(member, _)| member.index());
            let Some(source) = ahead.filter(|_| node.runs()) else {
                self.nodes[index].behind_since = None;
                continue;
            };
            let since = *self.nodes[index].behind_since.get_or_insert(moment);
            if (self.nodes[index].certain > tip || moment.since(since) >= STATUS) && self.nodes[source].runs()
            {
                let (chain, now) = (self.nodes[source].chain.clone(), self.now(index));
                let certified = chain.last().expect("a chain has its root").height;
                if certified <= tip {
                    continue; // a crash took the blocks that it claimed
                }
                let certificate = self.nodes[source].certificates[&certified].clone();
                let before = self.nodes[index].finalised.len();
                self.nodes[index].catch_up_from(now, &chain, certificate);
                self.nodes[index].behind_since = None;
                self.flush(index, before);
            }
        }
    }

    /// Stands in for the engines when a view proposes blocks again: supplies their ids, if any
    /// running node has them (R12c).
    pub(crate) fn find_skeletons(&mut self) {
        if !self.finding_skeletons {
            return;
        }
        for index in 0..self.size() {
            for header in std::mem::take(&mut self.nodes[index].wanted) {
                let holders = self.nodes.iter().filter(|node| node.runs());
                let found = holders.filter_map(|node| node.bodies.get(&header.hash())).next().cloned();
                match found {
                    Some(skeleton) => self.input(index, Input::SkeletonFetched(skeleton)),
                    None => self.nodes[index].wanted.push(header),
                }
            }
        }
    }

    /// Reports this pending work to every running node.
    pub(crate) fn all_have_work(&mut self, work: Work) {
        for node in 0..self.size() {
            if self.nodes[node].runs() {
                self.input(node, Input::Pending(work));
            }
        }
    }

    /// The engine of every running node reports censorship, so each node leaves its view (R21d).
    pub(crate) fn all_report_censorship(&mut self) {
        self.report_censorship(|_| true);
    }

    /// The engine of every running node but one reports censorship.
    pub(crate) fn all_report_censorship_but(&mut self, spared: usize) {
        self.report_censorship(|node| node != spared);
    }

    fn report_censorship(&mut self, included: impl Fn(usize) -> bool) {
        for node in (0..self.size()).filter(|node| included(*node)) {
            if self.nodes[node].runs() {
                self.input(node, Input::Censored);
            }
        }
    }

    pub(crate) fn crash(&mut self, node: usize) {
        self.nodes[node].crash();
        self.links.cut_off(id(node));
    }

    /// Replaces the files of a stopped node by an old copy.
    pub(crate) fn put_back(&mut self, node: usize, files: Files) {
        self.nodes[node].put_back(files);
        self.oracle.forget_records(id(node));
    }

    /// Replaces only the ledger of a stopped node.
    pub(crate) fn put_back_ledger(&mut self, node: usize, files: Files) {
        self.nodes[node].put_back_ledger(files);
        self.oracle.forget_records(id(node));
    }

    /// Starts a node again. It and every other running node notice the new connection.
    pub(crate) fn restart(&mut self, node: usize) {
        let now = self.now(node);
        self.nodes[node].restart(now);
        // A new process has no memory of messages that came before (R25c).
        self.screens.retain(|(to, _), _| to.index() != node);
        if self.nodes[node].runs() {
            self.positions[node] = self.nodes[node].replica().position();
        }
        self.flush(node, self.nodes[node].finalised.len());
        for other in (0..self.size()).filter(|other| *other != node) {
            if self.nodes[other].runs() {
                self.input(other, Input::PeerUp(id(node)));
                self.input(node, Input::PeerUp(id(other)));
            }
        }
    }

    /// Supplies the transactions of all withheld blocks to this node.
    pub(crate) fn supply(&mut self, node: usize) {
        let (now, before) = (self.now(node), self.nodes[node].finalised.len());
        self.nodes[node].supply(now);
        self.flush(node, before);
    }

    /// Loses all messages between the two sides, in both directions.
    pub(crate) fn partition(&mut self, side: &'static [u16]) {
        self.links.lose(move |envelope| side.contains(&envelope.from.0) != side.contains(&envelope.to.0));
    }
}
