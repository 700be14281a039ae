//! What one checking thread does with one message of a member.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quorate_engine::{Event, MemberMessage};
use quorate_ledger::{Header, Height, ReplicaId};
use quorate_pbft::{Checked, CheckedContent, Dropped, Message, Position, Screen};
use quorate_store::LedgerReader;
use tokio::sync::{mpsc, watch};

use super::ahead::{AheadLimit, Claim};
use super::{Filter, NotChecked, PeerMessage};
use crate::runtime::clock::Clock;
use crate::runtime::epoch::EpochView;
use crate::runtime::validator::inbox::ValidatorWork;
use crate::runtime::validator::verify::Verifier;

/// Number of bytes whose copying and decoding takes about as long as one signature verification.
const BYTES_OF_A_VERIFICATION: usize = 64 << 10;

/// Shared state of the checking threads of an epoch.
pub(crate) struct CheckContext {
    pub(crate) epoch: Arc<EpochView>,
    pub(crate) me: ReplicaId,
    pub(crate) verifier: Verifier,
    pub(crate) inbox: mpsc::Sender<ValidatorWork>,
    /// The replica's position, which decides whether a message is useful (R25).
    pub(crate) position: watch::Receiver<Arc<Position>>,
    /// Height of the newest block of this node.
    pub(crate) committed: watch::Receiver<Height>,
    pub(crate) ledger: LedgerReader,
    pub(crate) clock: Clock,
    pub(crate) not_checked: Arc<NotChecked>,
}

impl CheckContext {
    /// A new filter for the messages of this member.
    pub(super) fn filter(&self, from: ReplicaId) -> Filter {
        let config = &self.epoch.engine.pbft;
        Filter {
            screen: Screen::new(config.clone(), self.me, from),
            ahead: AheadLimit::new(config.status_interval),
        }
    }

    /// Returns the work for the engine, and the cost in signature verifications.
    pub(super) fn work(
        &self,
        filter: &Mutex<Filter>,
        from: ReplicaId,
        message: &PeerMessage,
    ) -> (Option<ValidatorWork>, u64) {
        let reading = 1 + (message.bytes.len() / BYTES_OF_A_VERIFICATION) as u64;
        let (event, checking) = self.message(filter, from, &message.bytes, message.direct);
        let epoch = self.epoch.epoch();
        (event.map(|event| ValidatorWork::Event { epoch, event }), reading + checking)
    }

    /// Checks a message of a direct stream or of gossip. Protocol messages by gossip are rejected:
    /// their channel does not authenticate the sender.
    fn message(
        &self,
        filter: &Mutex<Filter>,
        from: ReplicaId,
        bytes: &[u8],
        direct: bool,
    ) -> (Option<Event>, u64) {
        let rejected = |reason: &str| {
            tracing::debug!(validator = self.epoch.members.name(from), reason, "message rejected");
            None
        };
        let position = Arc::clone(&self.position.borrow());
        // If a proposal is dropped, not even its transaction ids are decoded.
        let vote = MemberMessage::proposal_vote(bytes).filter(|_| direct);
        if let Some(vote) = &vote
            && let Err(why) = lock(filter).screen.admit_proposal(&position, vote)
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
            Ok(MemberMessage::Head(head)) if direct => {
                let event = self.ahead(filter, from, head.into());
                return (event.or_else(|| rejected("a head status of this epoch is for observers")), 0);
            }
            Ok(MemberMessage::Head(_)) => return (rejected("a head status was gossiped"), 0),
            Err(error) => return (rejected(&error.to_string()), 0),
        };
        if let Some(event) = Claim::of(&message).and_then(|claim| self.ahead(filter, from, claim)) {
            return (Some(event), 0);
        }
        if vote.is_none()
            && let Err(why) = lock(filter).screen.admit(self.clock.now().moment, &position, &mut message)
        {
            return (self.drop_unchecked(from, why), 0);
        }
        let (cost, header) = (message.cost(), proposed(&message));
        match message.check(from, &self.epoch.engine.pbft.context) {
            Ok(message) => {
                self.observe(from, &message, header);
                (Some(Event::Consensus { from, message }), cost)
            }
            Err(error) => (rejected(&error.to_string()), cost),
        }
    }

    /// The event of a claim of a later epoch, if it is due.
    fn ahead(&self, filter: &Mutex<Filter>, from: ReplicaId, claim: Claim) -> Option<Event> {
        let now = self.clock.now().moment;
        let committed = lock(filter).ahead.admit(now, self.epoch.epoch(), claim)?;
        self.epoch.peer_lag.record_committed(from, committed, *self.committed.borrow());
        Some(Event::Ahead { from, committed })
    }

    fn drop_unchecked(&self, from: ReplicaId, why: Dropped) -> Option<Event> {
        self.not_checked.of(why).fetch_add(1, Ordering::Relaxed);
        tracing::trace!(validator = self.epoch.members.name(from), %why, "message not checked");
        None
    }

    fn observe(&self, from: ReplicaId, message: &Checked, header: Option<Header>) {
        if let Some(header) = header {
            self.epoch.peer_lag.record_proposal(from, &header, self.ledger.head().ok(), self.clock.now());
        }
        if let CheckedContent::Status(status) = message.content() {
            self.epoch.peer_lag.record_committed(from, status.claim().committed, *self.committed.borrow());
        }
    }
}

/// The filter of a member. Only the thread that works on the member's lane uses it.
fn lock(filter: &Mutex<Filter>) -> MutexGuard<'_, Filter> {
    filter.lock().unwrap_or_else(PoisonError::into_inner)
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
    use quorate_engine::{Engine, HeadStatus};
    use quorate_genesis::TestNetwork;
    use quorate_ledger::{Ballot, Block, BlockHash, Body, Epoch, SignatureCache, Signed, View};
    use quorate_pbft::{HighWaterMark, PrePrepare, Prepare, Proposal, Seen, Status};
    use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

    use super::*;
    use crate::runtime::epoch::tests::first_view;

    const ME: ReplicaId = ReplicaId(0);
    const PEER: ReplicaId = ReplicaId(2);

    /// A context for member 0 of a new network, and the filter for member 2.
    fn context(network: &TestNetwork) -> (CheckContext, Mutex<Filter>) {
        let (genesis, keys) = (network.genesis(), &network.keys()[..1]);
        let clock = Clock::new();
        let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: keys[0].public() };
        let (disk, state) = (ForgetfulDisk::new(), genesis.governance_state());
        let ledger = Ledger::create_on(disk.attach(), genesis.header(), &state).unwrap();
        let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
        let opened = Engine::open(keys, ledger, journal, None, clock.now()).unwrap();
        let engine = opened.into_member().unwrap();
        let (inbox, _) = mpsc::channel(8);
        let cache = SignatureCache::new(genesis.chain_id(), 100);
        let epoch = first_view(network);
        let (_, epochs) = watch::channel(Arc::clone(&epoch));
        let context = CheckContext {
            epoch,
            me: ME,
            verifier: Verifier::start(1, cache, &epochs, &inbox).unwrap(),
            inbox,
            position: watch::channel(Arc::new(engine.position())).1,
            committed: watch::channel(Height(0)).1,
            ledger: engine.reader(),
            clock,
            not_checked: Arc::default(),
        };
        let filter = Mutex::new(context.filter(PEER));
        (context, filter)
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
        let (context, filter) = context(&network);
        let message = |message: Message| {
            let bytes = MemberMessage::consensus(message);
            let (event, cost) = context.message(&filter, PEER, &bytes, true);
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
        let (context, filter) = context(&network);
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
        assert!(context.message(&filter, PEER, &bytes, true).0.is_some());
        assert!(context.message(&filter, PEER, &bytes[..bytes.len() - 4], true).0.is_none());
        let repeated = context.not_checked.counts()[1];
        assert_eq!(repeated, ("repeated", 1), "the message is not even decoded: it is malformed");
    }

    #[test]
    fn malformed_and_foreign_messages_are_dropped() {
        let network = TestNetwork::seeded(4, 1);
        let (context, filter) = context(&network);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        assert!(context.message(&filter, PEER, &bytes, false).0.is_none(), "a protocol message by gossip");
        assert!(context.message(&filter, PEER, &bytes[..bytes.len() - 1], true).0.is_none(), "cut short");
        let other = Mutex::new(context.filter(ReplicaId(1)));
        assert!(context.message(&other, ReplicaId(1), &bytes, true).0.is_none(), "another's vote");
        assert!(context.message(&filter, PEER, &bytes, true).0.is_some());
    }

    fn status(epoch: u64, committed: u64) -> Vec<u8> {
        MemberMessage::consensus(Message::Status(Status {
            epoch: Epoch(epoch),
            view: View(0),
            active: true,
            committed: Height(committed),
            committed_hash: BlockHash::from_bytes([1; 32]),
            stable: Height(0),
            mark: HighWaterMark::default(),
            probing: false,
            superseded: None,
            slots: Vec::new(),
        }))
    }

    fn head(epoch: u64, committed: u64) -> Vec<u8> {
        let (epoch, committed) = (Epoch(epoch), Height(committed));
        HeadStatus { epoch, committed, stable: Height(0), view: View(0), active: true }.to_message()
    }

    /// A replica that missed the end of its epoch learns it from the STATUS of a later one, or from the
    /// head status if the members treat it as an observer. Both are unsigned claims: together they reach
    /// the engine once in a status interval.
    #[test]
    fn a_claim_of_a_later_epoch_reaches_the_engine_once_in_an_interval() {
        let network = TestNetwork::seeded(4, 1);
        for (first, second) in [(status(1, 70), head(1, 80)), (head(1, 70), status(1, 80))] {
            let (context, filter) = context(&network);
            let (event, cost) = context.message(&filter, PEER, &first, true);
            assert!(matches!(event, Some(Event::Ahead { from: PEER, committed: Height(70) })), "{event:?}");
            assert_eq!((cost, context.epoch.peer_lag.behind(PEER)), (0, Some(0)));
            assert!(context.message(&filter, PEER, &second, true).0.is_none(), "the next one is not due");
            let own = context.message(&filter, PEER, &status(0, 5), true).0;
            assert!(matches!(own, Some(Event::Consensus { .. })), "the own epoch is not limited by it");
        }
        let (context, filter) = context(&network);
        assert!(Claim::of(&vote(&network, 1)).is_none());
        assert!(context.message(&filter, PEER, &head(0, 70), true).0.is_none(), "of the own epoch");
        assert!(context.message(&filter, PEER, &head(1, 70), false).0.is_none(), "by gossip");
        assert!(context.message(&filter, PEER, &head(1, 70), true).0.is_some());
    }
}
