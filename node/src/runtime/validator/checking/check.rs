//! What one checking thread does with one event of a member.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_engine::{Event, MemberMessage};
use quorate_ledger::{Header, Height, ReplicaId};
use quorate_pbft::{Checked, CheckedContent, Config, Dropped, Message, Position, Screen};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, watch};

use super::{NotChecked, PeerEvent};
use crate::runtime::clock::Clock;
use crate::runtime::members::Members;
use crate::runtime::status::peer_lag::PeerLag;
use crate::runtime::validator::inbox::ValidatorWork;
use crate::runtime::validator::verify::Verifier;

/// Number of bytes whose copying and decoding takes about as long as one signature verification.
const BYTES_OF_A_VERIFICATION: usize = 64 << 10;

/// Shared state of the checking threads.
pub(crate) struct CheckContext {
    pub(crate) config: Config,
    pub(crate) me: ReplicaId,
    pub(crate) members: Arc<Members>,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    /// The replica's position, which decides whether a message is useful (R25).
    pub(crate) position: watch::Receiver<Arc<Position>>,
    /// Height of the newest block of this node.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) ledger: LedgerReader,
    pub(crate) clock: Clock,
    pub(crate) peer_lag: Arc<PeerLag>,
    pub(crate) not_checked: Arc<NotChecked>,
}

impl CheckContext {
    /// Returns the work for the engine, and the cost in signature verifications.
    pub(crate) fn work(
        &self,
        screen: &Mutex<Screen>,
        from: ReplicaId,
        event: PeerEvent,
    ) -> (Option<ValidatorWork>, u64) {
        match event {
            PeerEvent::Connected => (Some(ValidatorWork::Event(Event::PeerUp(from))), 1),
            PeerEvent::Disconnected => (Some(ValidatorWork::Event(Event::PeerDown(from))), 1),
            PeerEvent::Message { bytes, direct } => {
                let reading = 1 + (bytes.len() / BYTES_OF_A_VERIFICATION) as u64;
                let (event, checking) = self.message(screen, from, &bytes, direct);
                (event.map(ValidatorWork::Event), reading + checking)
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
        match message.check(from, &self.config.context) {
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
        if let CheckedContent::Status(status) = message.content() {
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
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_engine::{Engine, EngineConfig};
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
        let ledger =
            Ledger::create_on(ForgetfulDisk::new().attach(), genesis.header(), &genesis.governance_state())
                .unwrap();
        let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
        let (config, root) = (EngineConfig::of(genesis), genesis.header());
        let engine = Engine::open(config.clone(), root, key, ledger, journal, clock.now()).unwrap();
        let (inbox, _) = mpsc::channel(8);
        let cache = SignatureCache::new(genesis.chain_id(), 100);
        let limits = genesis.block_limits().transaction;
        let context = CheckContext {
            config: config.pbft.clone(),
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
        (context, Mutex::new(Screen::new(config.pbft, ME, PEER)))
    }

    pub(crate) fn vote(network: &TestNetwork, height: u64) -> Message {
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
        let primary = genesis.committee().primary(View(1));
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
}
