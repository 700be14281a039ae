//! A whole committee in memory, in lock-step: the network does nothing on its own.
//!
//! Messages travel as bytes and are checked on arrival, as in production. Every node has its own
//! durable records, chain and clock. An oracle checks every vote, record and final block. So each
//! scenario also checks agreement, COMMITs in height order (R10) and "durable before sent" (R13).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quorate_ledger::{
    Ballot, BlockHash, BlockLimits, BlockSkeleton, ChainId, Committee, Epoch, Hash, Header, Height,
    PROTOCOL_VERSION, ReplicaId, SecretKey, SignatureMemo, Signed, Timestamp, TransactionId,
    TransactionLimits, View, merkle_root,
};
use quorate_pbft::{
    Checked, Config, Dropped, EpochContext, EpochRoot, Message, Moment, Now, Position, Screen, Seen,
    ViewChange,
};

mod crashes;
mod delivery;
mod engines;
mod epochs;
mod executor;
mod forge;
mod journal;
mod links;
mod look;
mod node;
mod oracle;
mod random;

pub(crate) use epochs::{Epochs, Next};
pub(crate) use executor::{Executor, Plan, state_root};
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
    /// The block below the epoch.
    pub(crate) root: Header,
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
    positions: Vec<Option<Position>>,
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
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    Config {
        context: EpochContext {
            chain: CHAIN,
            root: EpochRoot::of(&genesis(&committee)),
            committee,
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
    let epoch = config.context.epoch();
    let statement = ViewChange { epoch, view: View(1), content: Hash::ZERO };
    let view_change = Signed::sign(&CHAIN, &keys[index], id(index), statement).into_inner();
    let seen = Seen { view_change: Some(view_change), ..Seen::nothing(epoch) };
    Message::Seen(seen).check(id(index), &config.context).unwrap()
}

fn genesis(committee: &Committee) -> Header {
    Header::genesis(CHAIN, committee.hash(), Timestamp(START_MS - 1))
}

/// The genesis of a committee of epoch 0.
pub(crate) fn root(config: &Config) -> Header {
    genesis(&config.context.committee)
}

/// A block with one transaction, whose id is made from the name. The next committee is that of the
/// block itself.
pub(crate) fn block(parent: &Header, name: &str, time: Timestamp, proposer: ReplicaId) -> BlockSkeleton {
    let mut bytes = [0; 32];
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    block_of(parent, vec![TransactionId::from_bytes(bytes)], time, proposer, parent.next_committee)
}

/// A block with these transactions.
pub(crate) fn block_of(
    parent: &Header,
    ids: Vec<TransactionId>,
    time: Timestamp,
    proposer: ReplicaId,
    next_committee: Hash,
) -> BlockSkeleton {
    let count = u32::try_from(ids.len()).unwrap();
    let header = Header {
        version: PROTOCOL_VERSION,
        epoch: if parent.ends_epoch() { parent.epoch.next() } else { parent.epoch },
        height: parent.height.next(),
        parent: parent.hash(),
        transactions_root: merkle_root(&ids),
        transaction_count: count,
        body_bytes: 200 * count,
        timestamp: time.max(parent.timestamp.plus_ms(1)),
        committee: parent.next_committee,
        next_committee,
        proposer,
        ..parent.clone()
    };
    BlockSkeleton::new(header, ids).unwrap()
}

/// The ballot for a block in a view.
pub(crate) fn ballot(skeleton: &BlockSkeleton, view: u64) -> Ballot {
    let epoch = skeleton.header().epoch;
    Ballot { epoch, view: View(view), height: skeleton.height(), block: skeleton.hash() }
}

impl Net {
    /// A committee of this size at rest: all members are connected and have exchanged STATUS.
    pub(crate) fn of(size: usize) -> Self {
        Net::with(size, |_| {})
    }

    /// The same with other parameters.
    pub(crate) fn with(size: usize, adjust: impl FnOnce(&mut Config)) -> Self {
        Net::on_executors(size, adjust, Executor::fixed)
    }

    /// The same in a network whose configuration may change.
    pub(crate) fn governed(size: usize, adjust: impl FnOnce(&mut Config)) -> Self {
        Net::on_executors(size, adjust, |window| Executor::on(window, Height(0), None))
    }

    fn on_executors(
        size: usize,
        adjust: impl FnOnce(&mut Config),
        executor: impl Fn(u64) -> Executor,
    ) -> Self {
        let keys = keys(size);
        let mut config = config(&keys);
        adjust(&mut config);
        let root = root(&config);
        let node = |(index, key): (usize, &SecretKey)| {
            let executor = executor(config.context.window);
            Node::new(id(index), config.clone(), key.clone(), root.clone(), executor)
        };
        let nodes = keys.iter().enumerate().map(node).collect();
        let mut net = Net::assemble(keys, config, root, nodes);
        net.positions = net.nodes.iter().map(|node| Some(node.replica().position())).collect();
        net.pass(Duration::ZERO);
        net
    }

    /// The committee of an epoch on this root. Nothing happens yet.
    fn assemble(keys: Vec<SecretKey>, config: Config, root: Header, nodes: Vec<Node>) -> Self {
        Net {
            oracle: Oracle::of(nodes.len()),
            positions: nodes.iter().map(|_| None).collect(),
            seen_of: (0..nodes.len()).map(|index| seen_of(index, &keys, &config)).collect(),
            nodes,
            keys,
            config,
            root,
            links: Links::default(),
            moment: Moment::default(),
            catching_up: true,
            finding_skeletons: true,
            byzantine: None,
            screening: true,
            screens: BTreeMap::new(),
            dropped: BTreeMap::new(),
            names: BTreeMap::new(),
            checked: BTreeMap::new(),
        }
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
}
