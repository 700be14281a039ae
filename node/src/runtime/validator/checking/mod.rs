//! Decodes and checks messages of members on threads of their own. Messages of one member are
//! checked in order, members are served fairly ([`Lanes`]), and messages that the replica cannot
//! use are dropped unchecked ([`Screen`]).

pub(crate) mod lanes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_engine::{EngineConfig, Event, MemberMessage};
use quorate_genesis::Genesis;
use quorate_ledger::{Header, Height, ReplicaId};
use quorate_network::Room;
use quorate_pbft::{Checked, Dropped, Message, Position, Screen};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, watch};

use super::inbox::Work;
use super::verify::Verifier;
use crate::runtime::clock::Clock;
use crate::runtime::members::Members;
use crate::runtime::status::peer_lag::PeerLag;
use lanes::{Lanes, Weight};

/// Minimum number of threads: one message that takes long to check must not block all others.
const THREADS_MIN: usize = 2;

/// Number of bytes whose copying and decoding takes about as long as one signature verification.
const BYTES_OF_A_VERIFICATION: usize = 64 << 10;

/// An event of a member, to be processed in order.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Connected,
    Disconnected,
    /// A message over its direct stream, or one that it relays by gossip.
    Message {
        bytes: Bytes,
        direct: bool,
    },
}

impl PeerEvent {
    /// Read from the first two numbers of the message, which encode its kind.
    fn weight(&self) -> Weight {
        match self {
            PeerEvent::Message { bytes, .. } if MemberMessage::is_dear(bytes) => Weight::Dear,
            _ => Weight::Light,
        }
    }
}

/// Number of messages dropped unchecked since the start, by reason.
#[derive(Debug, Default)]
pub(crate) struct NotChecked {
    useless: AtomicU64,
    repeated: AtomicU64,
    too_often: AtomicU64,
}

impl NotChecked {
    fn of(&self, why: Dropped) -> &AtomicU64 {
        match why {
            Dropped::Useless => &self.useless,
            Dropped::Repeated => &self.repeated,
            Dropped::TooOften => &self.too_often,
        }
    }

    /// The counts, with the label of each reason in metrics.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let of = |why| self.of(why).load(Ordering::Relaxed);
        [
            ("useless", of(Dropped::Useless)),
            ("repeated", of(Dropped::Repeated)),
            ("too_often", of(Dropped::TooOften)),
        ]
    }
}

/// Shared state of the checking threads.
pub(crate) struct CheckContext {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) me: ReplicaId,
    pub(crate) members: Arc<Members>,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<Work>,
    /// The replica's position, which decides whether a message is useful (R25).
    pub(crate) position: watch::Receiver<Arc<Position>>,
    /// Height of the newest block of this node.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) ledger: LedgerReader,
    pub(crate) clock: Clock,
    pub(crate) peer_lag: Arc<PeerLag>,
    pub(crate) not_checked: Arc<NotChecked>,
}

/// Handle of the checking threads. They end when it is dropped.
pub(crate) struct Checker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// By member index.
    screens: Vec<Mutex<Screen>>,
    context: CheckContext,
}

struct State {
    /// Each piece of work with its share of the member's queue in the network. When this share is
    /// used up, the network stops reading the member's stream and drops what the member relays.
    lanes: Lanes<(PeerEvent, Room)>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.wake.notify_all();
    }
}

impl Checker {
    /// Starts this many threads, but at least two.
    pub(crate) fn start(threads: usize, context: CheckContext) -> std::io::Result<Self> {
        let threads = threads.max(THREADS_MIN);
        let members = context.members.keys().len();
        let config = EngineConfig::of(&context.genesis).pbft;
        let replicas = context.genesis.committee().replicas();
        let screens =
            replicas.map(|from| Mutex::new(Screen::new(config.clone(), context.me, from))).collect();
        let state = State { lanes: Lanes::new(members, threads - 1), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), screens, context });
        let checker = Checker { shared };
        for number in 0..threads {
            let worker = Worker { shared: Arc::clone(&checker.shared) };
            std::thread::Builder::new().name(format!("check-{number}")).spawn(move || worker.run())?;
        }
        Ok(checker)
    }

    /// Queues an event behind all earlier ones of this member. `false` if the threads have ended.
    pub(crate) fn push(&self, from: ReplicaId, event: PeerEvent, room: Room) -> bool {
        let mut state = self.shared.state();
        if state.closed {
            return false;
        }
        state.lanes.push(from.index(), event.weight(), (event, room));
        drop(state);
        self.shared.wake.notify_one();
        true
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Worker {
    shared: Arc<Shared>,
}

impl Drop for Worker {
    /// Also when a check panics: a node that no longer processes messages of one member must stop.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Worker {
    fn run(self) {
        while let Some((member, (event, room))) = self.next() {
            let from = ReplicaId(u16::try_from(member).expect("a committee is small"));
            let (work, cost) = self.shared.context.work(&self.shared.screens[member], from, event);
            drop(room);
            // A full inbox blocks the checking threads here, which keeps the order of one member's
            // messages.
            if let Some(work) = work
                && self.shared.context.inbox.blocking_send(work).is_err()
            {
                return;
            }
            self.shared.state().lanes.done(member, cost);
            self.shared.wake.notify_one();
        }
    }

    fn next(&self) -> Option<(usize, (PeerEvent, Room))> {
        let mut state = self.shared.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(taken) = state.lanes.take() {
                return Some(taken);
            }
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl CheckContext {
    /// Returns the work for the engine, and the cost in signature verifications.
    fn work(&self, screen: &Mutex<Screen>, from: ReplicaId, event: PeerEvent) -> (Option<Work>, u64) {
        match event {
            PeerEvent::Connected => (Some(Work::Event(Event::PeerUp(from))), 1),
            PeerEvent::Disconnected => (Some(Work::Event(Event::PeerDown(from))), 1),
            PeerEvent::Message { bytes, direct } => {
                let reading = 1 + (bytes.len() / BYTES_OF_A_VERIFICATION) as u64;
                let (event, checking) = self.message(screen, from, &bytes, direct);
                (event.map(Work::Event), reading + checking)
            }
        }
    }

    /// Checks a message of a direct stream or of gossip. Protocol messages by gossip are rejected:
    /// their channel does not authenticate the sender.
    fn message(
        &self,
        screen: &Mutex<Screen>,
        from: ReplicaId,
        bytes: &[u8],
        direct: bool,
    ) -> (Option<Event>, u64) {
        let rejected = |reason: &str| {
            tracing::debug!(validator = self.members.name(from), reason, "message rejected");
            None
        };
        let position = Arc::clone(&self.position.borrow());
        // If a proposal is dropped, not even its transaction ids are decoded.
        let vote = MemberMessage::proposal_vote(bytes).filter(|_| direct);
        if let Some(vote) = &vote
            && let Err(why) = lock(screen).admit_proposal(&position, vote)
        {
            return (self.drop_unchecked(from, why), 0);
        }
        let mut message = match MemberMessage::from_bytes(bytes) {
            Ok(MemberMessage::Transactions(transactions)) => {
                self.verifier.offer(from, transactions);
                return (None, 0);
            }
            Ok(MemberMessage::Consensus(message)) if direct => message,
            Ok(MemberMessage::Consensus(_)) => return (rejected("a protocol message was gossiped"), 0),
            Ok(MemberMessage::Head(_)) => return (rejected("a head is for observers"), 0),
            Err(error) => return (rejected(&error.to_string()), 0),
        };
        if vote.is_none()
            && let Err(why) = lock(screen).admit(self.clock.now().moment, &position, &mut message)
        {
            return (self.drop_unchecked(from, why), 0);
        }
        let (cost, header) = (message.cost(), proposed(&message));
        let (chain, epoch) = (self.genesis.chain_id(), self.genesis.header().epoch);
        match message.check(from, &chain, epoch, self.genesis.committee(), self.genesis.consensus().window) {
            Ok(message) => {
                self.observe(from, &message, header);
                (Some(Event::Consensus { from, message }), cost)
            }
            Err(error) => (rejected(&error.to_string()), cost),
        }
    }

    fn drop_unchecked(&self, from: ReplicaId, why: Dropped) -> Option<Event> {
        self.not_checked.of(why).fetch_add(1, Ordering::Relaxed);
        tracing::trace!(validator = self.members.name(from), %why, "message not checked");
        None
    }

    fn observe(&self, from: ReplicaId, message: &Checked, header: Option<Header>) {
        if let Some(header) = header {
            self.peer_lag.record_proposal(from, &header, self.ledger.head().ok(), self.clock.now());
        }
        if let Checked::Status(status) = message {
            self.peer_lag.record_committed(from, status.claim().committed, *self.committed.borrow());
        }
    }
}

/// The screen of a member. Only the thread that works on the member's lane uses it.
fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The header in a proposal, the member's own or one of another member that it forwards.
fn proposed(message: &Message) -> Option<Header> {
    match message {
        Message::PrePrepare(proposal) => Some(proposal.header.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_engine::Engine;
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Ballot, Block, BlockHash, Body, SignatureCache, Signed, View};
    use quorate_pbft::{PrePrepare, Prepare, Proposal, Seen};
    use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

    use super::*;

    const ME: ReplicaId = ReplicaId(0);
    const PEER: ReplicaId = ReplicaId(2);

    /// A context for member 0 of a new network, and the screen for member 2.
    fn context(network: &TestNetwork) -> (CheckContext, Mutex<Screen>) {
        let (genesis, key) = (network.genesis(), &network.keys()[0]);
        let clock = Clock::new();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: key.public() };
        let ledger = Ledger::create_on(ForgetfulDisk::new().attach(), genesis.header()).unwrap();
        let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
        let engine = Engine::open(genesis, key, ledger, journal, clock.now()).unwrap();
        let (inbox, _) = mpsc::channel(8);
        let cache = SignatureCache::new(genesis.chain_id(), 100);
        let limits = genesis.block_limits().transaction;
        let context = CheckContext {
            genesis: Arc::new(genesis.clone()),
            me: ME,
            members: Arc::new(Members::of(genesis)),
            verifier: Verifier::start(1, 4, cache, limits, &inbox).unwrap(),
            inbox,
            position: watch::channel(Arc::new(engine.position())).1,
            committed: watch::channel(Height(0)).1,
            ledger: engine.reader(),
            clock,
            peer_lag: Arc::new(PeerLag::of(4)),
            not_checked: Arc::default(),
        };
        (context, Mutex::new(Screen::new(EngineConfig::of(genesis).pbft, ME, PEER)))
    }

    fn vote(network: &TestNetwork, height: u64) -> Message {
        let block = BlockHash::from_bytes([1; 32]);
        let epoch = network.genesis().header().epoch;
        let ballot = Ballot { epoch, view: View(0), height: Height(height), block };
        let chain = network.genesis().chain_id();
        Message::Prepare(Signed::sign(&chain, &network.keys()[2], PEER, Prepare(ballot)).into_inner())
    }

    #[test]
    fn repeated_and_useless_messages_cost_no_verification() {
        let network = TestNetwork::seeded(4, 1);
        let (context, screen) = context(&network);
        let message = |message: Message| {
            let bytes = MemberMessage::consensus(message);
            let (event, cost) = context.message(&screen, PEER, &bytes, true);
            (event.is_some(), cost)
        };
        assert_eq!(message(vote(&network, 1)), (true, 1));
        assert_eq!(message(vote(&network, 1)), (false, 0), "the same again");
        assert_eq!(message(vote(&network, 2)), (true, 1));
        let nothing = Message::Seen(Seen::default());
        // A member that has just started requests it, once of each kind.
        assert_eq!(message(nothing.clone()), (true, 5));
        assert_eq!(message(nothing), (false, 0));
        assert_eq!(context.not_checked.counts(), [("useless", 0), ("repeated", 1), ("too_often", 1)]);
    }

    #[test]
    fn the_ids_of_a_repeated_proposal_are_not_read() {
        let network = TestNetwork::seeded(4, 1);
        let (context, screen) = context(&network);
        let genesis = network.genesis();
        let primary = genesis.committee().primary(genesis.header().epoch, View(1));
        let time = genesis.time().plus_ms(1);
        let block = Block::after(genesis.header(), Body::of(&[]), time, primary).unwrap();
        let ballot = Ballot {
            epoch: genesis.header().epoch,
            view: View(1),
            height: block.height(),
            block: block.hash(),
        };
        let key = &network.keys()[primary.index()];
        let vote = Signed::sign(&genesis.chain_id(), key, primary, PrePrepare(ballot)).into_inner();
        let proposal = Proposal { vote, header: block.header().clone(), ids: Vec::new() };
        let bytes = MemberMessage::consensus(Message::PrePrepare(proposal));
        assert!(context.message(&screen, PEER, &bytes, true).0.is_some());
        assert!(context.message(&screen, PEER, &bytes[..bytes.len() - 4], true).0.is_none());
        let repeated = context.not_checked.counts()[1];
        assert_eq!(repeated, ("repeated", 1), "the message is not even decoded: it is malformed");
    }

    #[test]
    fn malformed_and_foreign_messages_are_dropped() {
        let network = TestNetwork::seeded(4, 1);
        let (context, screen) = context(&network);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        assert!(context.message(&screen, PEER, &bytes, false).0.is_none(), "a protocol message by gossip");
        assert!(context.message(&screen, PEER, &bytes[..bytes.len() - 1], true).0.is_none(), "cut short");
        let other = Mutex::new(Screen::new(EngineConfig::of(network.genesis()).pbft, ME, ReplicaId(1)));
        assert!(context.message(&other, ReplicaId(1), &bytes, true).0.is_none(), "another's vote");
        assert!(context.message(&screen, PEER, &bytes, true).0.is_some());
    }

    #[test]
    fn expensive_messages_are_recognised_by_their_first_bytes() {
        let network = TestNetwork::seeded(4, 1);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        let event = |bytes: Vec<u8>| PeerEvent::Message { bytes: bytes.into(), direct: true };
        assert_eq!(event(bytes).weight(), Weight::Light);
        assert_eq!(event(vec![0, 4]).weight(), Weight::Dear);
        assert_eq!((event(vec![0]).weight(), PeerEvent::Connected.weight()), (Weight::Light, Weight::Light));
    }
}
