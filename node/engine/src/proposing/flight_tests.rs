#![allow(clippy::unwrap_used)]
//! Blocks in flight and the pool together, changed as the engine changes them. A model that knows
//! only blocks and marks checks the result.

use quorate_genesis::TestNetwork;
use quorate_ledger::{Body, Payload, ReplicaId, SecretKey, Timestamp, VerifiedTransaction};
use quorate_mempool::{Mempool, MempoolLimits, Share};
use quorate_pbft::{Moment, Now};
use quorate_store::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

use super::*;
use crate::Engine;

/// A seeded sequence of numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }
}

struct World {
    transactions: Vec<VerifiedTransaction>,
    /// Three blocks at each height; many share transactions.
    blocks: Vec<Block>,
    flight: Flight,
    pool: Mempool,
    /// The model: which blocks are held, and whether they are marked.
    held: BTreeMap<BlockHash, bool>,
    committed: BTreeSet<TransactionId>,
    tip: Height,
}

const HEIGHTS: u64 = 6;

impl World {
    fn new(random: &mut Random) -> Self {
        let (genesis, _) = TestNetwork::seeded(1, 1).into_parts();
        let key = SecretKey::from_bytes(&[5; 32]).unwrap();
        let until = genesis.time().plus_ms(100_000);
        let chain = genesis.chain_id();
        let sign = |nonce| VerifiedTransaction::sign(&chain, &key, nonce, until, Payload::Data(Vec::new()));
        let transactions: Vec<_> = (0..12).map(sign).collect();
        let mut blocks = Vec::new();
        let mut parent = genesis.header().clone();
        for height in 1..=HEIGHTS {
            for sibling in 0..3 {
                let chosen: Vec<_> = transactions.iter().filter(|_| random.below(3) == 0).cloned().collect();
                let time = genesis.time().plus_ms(1000 * height + sibling);
                blocks.push(Block::after(&parent, Body::of(&chosen), time, ReplicaId(0)).unwrap());
            }
            parent = blocks[blocks.len() - 1 - random.below(3)].header().clone();
        }
        let limits = MempoolLimits {
            max_transactions: 1000,
            max_bytes: 1 << 20,
            max_transactions_per_sender: 1000,
            max_bytes_per_sender: 1 << 20,
        };
        World {
            transactions,
            blocks,
            flight: Flight::default(),
            pool: Mempool::new(limits),
            held: BTreeMap::new(),
            committed: BTreeSet::new(),
            tip: Height(0),
        }
    }

    fn act(&mut self, random: &mut Random) {
        let open: Vec<Block> =
            self.blocks.iter().filter(|block| block.height() > self.tip).cloned().collect();
        match random.below(10) {
            0..=2 => {
                let transaction = self.transactions[random.below(self.transactions.len())].clone();
                if !self.committed.contains(&transaction.id()) {
                    self.pool.admit(Timestamp(0), Share::Common, transaction).unwrap();
                }
            }
            // As `Engine::hold`: the current view proposes the block.
            3..=5 if !open.is_empty() => {
                let block = open[random.below(open.len())].clone();
                self.pool.mark_in_flight(block.body().ids());
                self.held.insert(block.hash(), true);
                self.flight.insert(block, true);
            }
            // As after a restart: a block of a view that was left.
            6 if !open.is_empty() => {
                let block = open[random.below(open.len())].clone();
                self.held.entry(block.hash()).or_insert(false);
                self.flight.insert(block, false);
            }
            7 => self.begin_view(random),
            // The replica drops a block.
            8 if !self.held.is_empty() => {
                let hash = *self.held.keys().nth(random.below(self.held.len())).unwrap();
                let free = self.flight.remove(&hash);
                self.pool.release(&free);
                self.held.remove(&hash);
            }
            9 => self.commit_next(),
            _ => {}
        }
    }

    fn begin_view(&mut self, random: &mut Random) {
        let free = self.flight.unmark_all();
        self.pool.release(&free);
        self.held.values_mut().for_each(|marked| *marked = false);
        if random.below(2) == 0 {
            let kept = random.below(2) as u64;
            self.flight.retain(|block| block.height().0 % 2 == kept);
            let blocks = &self.blocks;
            self.held.retain(|hash, _| {
                let block = blocks.iter().find(|block| block.hash() == *hash).unwrap();
                block.height().0 % 2 == kept
            });
        }
    }

    /// If a block at the next height is held, commits it: its ids leave the pool, then all blocks up
    /// to its height are removed.
    fn commit_next(&mut self) {
        let next = self.tip.next();
        let mut blocks = self.blocks.iter();
        let held = blocks.find(|block| block.height() == next && self.held.contains_key(&block.hash()));
        let Some(block) = held.cloned() else { return };
        self.pool.remove(block.body().ids());
        self.committed.extend(block.body().ids());
        self.tip = next;
        let free = self.flight.forget_through(next);
        self.pool.release(&free);
        let blocks = &self.blocks;
        self.held
            .retain(|hash, _| blocks.iter().find(|block| block.hash() == *hash).unwrap().height() > next);
        let free = self.flight.unmark_superseded(next, &block.hash());
        self.pool.release(&free);
        let superseded: Vec<BlockHash> =
            self.held.keys().filter(|hash| self.is_superseded(hash, &block)).copied().collect();
        superseded.iter().for_each(|hash| _ = self.held.insert(*hash, false));
    }

    /// Whether marked blocks lead from this one down to the height of the tip, and end at another
    /// block than the tip.
    fn is_superseded(&self, block: &BlockHash, tip: &Block) -> bool {
        let mut next = *block;
        while self.held.get(&next) == Some(&true) {
            let block = self.blocks.iter().find(|block| block.hash() == next).unwrap();
            next = block.header().parent;
            if block.height() == tip.height().next() {
                return next != tip.hash();
            }
        }
        false
    }

    fn check(&self, what: &str) {
        assert_eq!(self.flight.len(), self.held.len(), "{what}");
        let marked = |id: &TransactionId| {
            self.blocks
                .iter()
                .any(|block| self.held.get(&block.hash()) == Some(&true) && block.body().ids().contains(id))
        };
        for transaction in &self.transactions {
            let id = transaction.id();
            if self.pool.contains(&id) {
                assert_eq!(
                    self.pool.is_waiting(&id),
                    !marked(&id),
                    "{what}: a pooled transaction waits unless a marked block contains it"
                );
            }
            let places = self.held.keys().filter(|hash| {
                let block = self.flight.get(hash).unwrap();
                block.body().ids().contains(&id)
            });
            let listed = self.flight.places.get(&id).map_or(0, Vec::len);
            assert_eq!(listed, places.count(), "{what}: the map has exactly the blocks that contain the id");
        }
    }
}

/// R16, R20: after every event, a pooled transaction waits if and only if no block of the current
/// view contains it.
#[test]
fn no_transaction_is_ever_stuck_in_flight() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut world = World::new(&mut random);
        for step in 0..120 {
            world.act(&mut random);
            world.check(&format!("seed {seed}, step {step}"));
        }
    }
}

/// R16: the ancestors of a block are found by hash, through blocks of any view.
#[test]
fn an_id_is_on_a_branch_if_an_ancestor_has_it_and_not_if_a_sibling_has() {
    let mut random = Random(1);
    let world = World::new(&mut random);
    let mut flight = Flight::default();
    for (index, block) in world.blocks.iter().enumerate() {
        flight.insert(block.clone(), index % 2 == 0);
    }
    let of = |hash: &BlockHash| world.blocks.iter().find(|block| block.hash() == *hash);
    for block in &world.blocks {
        let mut ancestors = BTreeSet::new();
        let mut next = Some(block);
        while let Some(ancestor) = next {
            ancestors.extend(ancestor.body().ids().iter().copied());
            next = of(&ancestor.header().parent);
        }
        for transaction in &world.transactions {
            let id = transaction.id();
            assert_eq!(flight.on_branch(&id, &block.hash()), ancestors.contains(&id));
        }
    }
}

/// The replica may drop a block of a past view, and accept it again in the current view, before the
/// group is written. Such a block is kept.
#[test]
fn a_block_that_is_given_up_and_proposed_again_in_one_group_is_kept() {
    let (genesis, keys) = TestNetwork::seeded(1, 1).into_parts();
    let identity = JournalIdentity { chain_id: genesis.chain_id(), validator: keys[0].public() };
    let ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), genesis.header(), &genesis.governance_state())
            .unwrap();
    let journal = Journal::create_on(ForgetfulDisk::new().attach(), &identity).unwrap();
    let now = Now { moment: Moment::default(), wall: genesis.time() };
    let mut engine = Engine::open(&keys, ledger, journal, None, now).unwrap().into_member().unwrap();
    let body = Body::of(&[]);
    let block = Block::after(genesis.header(), body, genesis.time().plus_ms(9), ReplicaId(0)).unwrap();
    engine.hold(block.clone());
    engine.flight.give_up(block.hash());
    engine.hold(block.clone());
    drop(engine.handle(now, []).unwrap());
    assert_eq!(engine.flight.get(&block.hash()), Some(&block));
    engine.flight.give_up(block.hash());
    drop(engine.handle(now, []).unwrap());
    assert_eq!(engine.flight.len(), 0);
}
