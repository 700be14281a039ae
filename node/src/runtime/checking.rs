//! Messages of members are decoded and checked here, on threads of their own: in order for each member, fairly among
//! them ([`Lanes`]), and only if the replica may have a use for them ([`Screen`]).

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

use super::clock::Clock;
use super::heard::Heard;
use super::lanes::{Lanes, Weight};
use super::members::Members;
use super::verify::Verifier;
use super::work::Work;

/// Fewest threads: a message that takes long to check must leave one for the others.
const THREADS_MIN: usize = 2;

/// Bytes that take about as long to copy and decode as a signature to verify.
const BYTES_OF_A_VERIFICATION: usize = 64 << 10;

/// What a member did.
#[derive(Debug)]
pub(crate) enum News {
    Connected,
    Disconnected,
    /// A message over its direct stream, or one that it relays.
    Message {
        bytes: Bytes,
        direct: bool,
    },
}

impl News {
    /// Told from the two numbers in front, which say what kind of message it is.
    fn weight(&self) -> Weight {
        match self {
            News::Message { bytes, .. } if MemberMessage::is_dear(bytes) => Weight::Dear,
            _ => Weight::Light,
        }
    }
}

/// Messages that were not checked, since the start.
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

    /// How many, by the reason as metrics name it.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let of = |why| self.of(why).load(Ordering::Relaxed);
        [
            ("useless", of(Dropped::Useless)),
            ("repeated", of(Dropped::Repeated)),
            ("too_often", of(Dropped::TooOften)),
        ]
    }
}

/// What the checking threads need.
pub(crate) struct Bench {
    pub(crate) genesis: Arc<Genesis>,
    pub(crate) me: ReplicaId,
    pub(crate) members: Arc<Members>,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<Work>,
    /// Where the replica stands.
    pub(crate) position: watch::Receiver<Arc<Position>>,
    /// Height of the newest block here.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) ledger: LedgerReader,
    pub(crate) clock: Clock,
    pub(crate) heard: Arc<Heard>,
    pub(crate) not_checked: Arc<NotChecked>,
}

/// The way to the checking threads. When it is dropped they end.
pub(crate) struct Checker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// By index.
    screens: Vec<Mutex<Screen>>,
    bench: Bench,
}

struct State {
    /// Each piece with its room in the member's share at the network: when that is full, the network reads no more
    /// from the member's stream, and drops what it relays.
    lanes: Lanes<(News, Room)>,
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
    /// Starts so many threads, at least two.
    pub(crate) fn start(threads: usize, bench: Bench) -> std::io::Result<Self> {
        let threads = threads.max(THREADS_MIN);
        let members = bench.members.keys().len();
        let config = EngineConfig::of(&bench.genesis).pbft;
        let replicas = bench.genesis.committee().replicas();
        let screens = replicas.map(|from| Mutex::new(Screen::new(config.clone(), bench.me, from))).collect();
        let state = State { lanes: Lanes::new(members, threads - 1), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), screens, bench });
        let checker = Checker { shared };
        for number in 0..threads {
            let worker = Worker { shared: Arc::clone(&checker.shared) };
            std::thread::Builder::new().name(format!("check-{number}")).spawn(move || worker.run())?;
        }
        Ok(checker)
    }

    /// Puts what a member did behind all that it did before. `false` if nothing is checked any more.
    pub(crate) fn push(&self, from: ReplicaId, news: News, room: Room) -> bool {
        let mut state = self.shared.state();
        if state.closed {
            return false;
        }
        state.lanes.push(from.index(), news.weight(), (news, room));
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
    /// Also when a check panics: a node that is deaf to one member must not go on as if it heard it.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Worker {
    fn run(self) {
        while let Some((member, (news, room))) = self.next() {
            let from = ReplicaId(u16::try_from(member).expect("a committee is small"));
            let (work, cost) = self.shared.bench.work(&self.shared.screens[member], from, news);
            drop(room);
            // A full inbox stops all checking threads here, and the order of one member's messages is kept.
            if let Some(work) = work
                && self.shared.bench.inbox.blocking_send(work).is_err()
            {
                return;
            }
            self.shared.state().lanes.done(member, cost);
            self.shared.wake.notify_one();
        }
    }

    fn next(&self) -> Option<(usize, (News, Room))> {
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

impl Bench {
    /// What comes of it for the engine, and what it cost, in verifications.
    fn work(&self, screen: &Mutex<Screen>, from: ReplicaId, news: News) -> (Option<Work>, u64) {
        match news {
            News::Connected => (Some(Work::Event(Event::PeerUp(from))), 1),
            News::Disconnected => (Some(Work::Event(Event::PeerDown(from))), 1),
            News::Message { bytes, direct } => {
                let reading = 1 + (bytes.len() / BYTES_OF_A_VERIFICATION) as u64;
                let (event, checking) = self.message(screen, from, &bytes, direct);
                (event.map(Work::Event), reading + checking)
            }
        }
    }

    /// A message over a direct stream, or by gossip, where protocol messages have no place: their channel
    /// says nothing about who sent them.
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
        // The ids of a proposal are not even read if it is dropped.
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
                self.listen(from, &message, header);
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

    fn listen(&self, from: ReplicaId, message: &Checked, header: Option<Header>) {
        if let Some(header) = header {
            self.heard.proposed(from, &header, self.ledger.head().ok(), self.clock.now());
        }
        if let Checked::Status(status) = message {
            self.heard.stands(from, status.claim().committed, *self.committed.borrow());
        }
    }
}

/// A screen is used by the thread that works on its member's lane, and by no other at that time.
fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a member proposes, be it its own or another's that it passes on.
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

    /// A bench for member 0 of a new network, and the screen for member 2.
    fn bench(network: &TestNetwork) -> (Bench, Mutex<Screen>) {
        let (genesis, key) = (network.genesis(), &network.keys()[0]);
        let clock = Clock::new();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: key.public() };
        let ledger = Ledger::create_on(ForgetfulDisk::new().attach(), genesis.header()).unwrap();
        let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
        let engine = Engine::open(genesis, key, ledger, journal, clock.now()).unwrap();
        let (inbox, _) = mpsc::channel(8);
        let cache = SignatureCache::new(genesis.chain_id(), 100);
        let limits = genesis.block_limits().transaction;
        let bench = Bench {
            genesis: Arc::new(genesis.clone()),
            me: ME,
            members: Arc::new(Members::of(genesis)),
            verifier: Verifier::start(1, 4, cache, limits, &inbox).unwrap(),
            inbox,
            position: watch::channel(Arc::new(engine.position())).1,
            committed: watch::channel(Height(0)).1,
            ledger: engine.reader(),
            clock,
            heard: Arc::new(Heard::of(4)),
            not_checked: Arc::default(),
        };
        (bench, Mutex::new(Screen::new(EngineConfig::of(genesis).pbft, ME, PEER)))
    }

    fn vote(network: &TestNetwork, height: u64) -> Message {
        let block = BlockHash::from_bytes([1; 32]);
        let epoch = network.genesis().header().epoch;
        let ballot = Ballot { epoch, view: View(0), height: Height(height), block };
        let chain = network.genesis().chain_id();
        Message::Prepare(Signed::sign(&chain, &network.keys()[2], PEER, Prepare(ballot)).into_inner())
    }

    #[test]
    fn what_is_repeated_or_useless_costs_no_verification() {
        let network = TestNetwork::seeded(4, 1);
        let (bench, screen) = bench(&network);
        let message = |message: Message| {
            let bytes = MemberMessage::consensus(message);
            let (event, cost) = bench.message(&screen, PEER, &bytes, true);
            (event.is_some(), cost)
        };
        assert_eq!(message(vote(&network, 1)), (true, 1));
        assert_eq!(message(vote(&network, 1)), (false, 0), "the same again");
        assert_eq!(message(vote(&network, 2)), (true, 1));
        let nothing = Message::Seen(Seen::default());
        // A member that has just started asks for it, once of each.
        assert_eq!(message(nothing.clone()), (true, 5));
        assert_eq!(message(nothing), (false, 0));
        assert_eq!(bench.not_checked.counts(), [("useless", 0), ("repeated", 1), ("too_often", 1)]);
    }

    #[test]
    fn the_ids_of_a_repeated_proposal_are_not_read() {
        let network = TestNetwork::seeded(4, 1);
        let (bench, screen) = bench(&network);
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
        assert!(bench.message(&screen, PEER, &bytes, true).0.is_some());
        assert!(bench.message(&screen, PEER, &bytes[..bytes.len() - 4], true).0.is_none());
        let repeated = bench.not_checked.counts()[1];
        assert_eq!(repeated, ("repeated", 1), "it would not even decode");
    }

    #[test]
    fn what_is_no_message_of_a_member_is_dropped() {
        let network = TestNetwork::seeded(4, 1);
        let (bench, screen) = bench(&network);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        assert!(bench.message(&screen, PEER, &bytes, false).0.is_none(), "a protocol message by gossip");
        assert!(bench.message(&screen, PEER, &bytes[..bytes.len() - 1], true).0.is_none(), "cut short");
        let other = Mutex::new(Screen::new(EngineConfig::of(network.genesis()).pbft, ME, ReplicaId(1)));
        assert!(bench.message(&other, ReplicaId(1), &bytes, true).0.is_none(), "another's vote");
        assert!(bench.message(&screen, PEER, &bytes, true).0.is_some());
    }

    #[test]
    fn dear_messages_are_told_by_their_first_bytes() {
        let network = TestNetwork::seeded(4, 1);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        let news = |bytes: Vec<u8>| News::Message { bytes: bytes.into(), direct: true };
        assert_eq!(news(bytes).weight(), Weight::Light);
        assert_eq!(news(vec![0, 4]).weight(), Weight::Dear);
        assert_eq!((news(vec![0]).weight(), News::Connected.weight()), (Weight::Light, Weight::Light));
    }
}
