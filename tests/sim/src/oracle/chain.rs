//! Agreement: all members commit the same blocks, and only valid ones.
//!
//! The checker keeps the single chain of all committed blocks. It compares a block with this chain,
//! or fully checks it before it extends the chain.

use std::collections::BTreeMap;

use quorate_genesis::Genesis;
use quorate_ledger::{Block, BlockHash, Hash, Height, ReplicaId, Timestamp, TransactionId};

use crate::clients::orders::Orders;
use crate::occasions::knobs::Knobs;
use crate::oracle::{Check, Violation, require};

/// The relevant data of a block.
#[derive(Debug)]
pub struct Link {
    /// Its hash.
    pub hash: BlockHash,
    /// Its time.
    pub time: Timestamp,
    /// Its transactions in order.
    pub ids: Vec<TransactionId>,
}

/// The chain of the checker, and the height of each member.
#[derive(Debug)]
pub struct Chain {
    /// From the genesis on: the index is the height.
    pub links: Vec<Link>,
    /// The hash of the committee, which does not change.
    committee: Hash,
    places: BTreeMap<TransactionId, (Height, u32)>,
    tips: BTreeMap<ReplicaId, Height>,
    lifetime_ms: u64,
    gap_ms: u64,
    most: u64,
}

const AGREEMENT: &str = "agreement";
const LINKS: &str = "chain links";
const ONCE: &str = "at most once";
const VALIDITY: &str = "validity";

impl Chain {
    /// A chain with only the genesis.
    pub fn new(genesis: &Genesis, knobs: &Knobs) -> Self {
        let header = genesis.header();
        Chain {
            links: vec![Link { hash: header.hash(), time: header.timestamp, ids: Vec::new() }],
            committee: header.committee,
            places: BTreeMap::new(),
            tips: BTreeMap::new(),
            lifetime_ms: knobs.lifetime_ms,
            gap_ms: knobs.empty_block_gap_ms,
            most: knobs.block_transactions,
        }
    }

    /// The highest height that any member committed.
    pub fn height(&self) -> Height {
        Height(self.links.len() as u64 - 1)
    }

    /// The block at a height.
    pub fn at(&self, height: Height) -> Option<&Link> {
        self.links.get(usize::try_from(height.0).ok()?)
    }

    /// The last block of a member, as far as it is known.
    pub fn tip_of(&self, member: ReplicaId) -> Height {
        self.tips.get(&member).copied().unwrap_or(Height(0))
    }

    /// Number of ids that a block above this height must not repeat: those of one lifetime.
    pub fn recent_ids(&self, height: Height) -> usize {
        let Some(last) = self.at(height).map(|link| link.time) else { return 0 };
        let recent = self.links.iter().take_while(|link| link.time <= last);
        recent.filter(|link| link.time.plus_ms(self.lifetime_ms) > last).map(|link| link.ids.len()).sum()
    }

    /// The place of a transaction.
    pub fn place(&self, id: &TransactionId) -> Option<(Height, u32)> {
        self.places.get(id).copied()
    }

    /// A member starts a life with this block as its last.
    ///
    /// # Errors
    /// Its blocks differ from the committed ones.
    pub fn opened(&mut self, member: ReplicaId, height: Height, hash: BlockHash) -> Check {
        let known = self.at(height).is_some_and(|link| link.hash == hash);
        require(known, AGREEMENT, || format!("member {member} opened with block {hash} at height {height}"))?;
        self.tips.insert(member, height);
        Ok(())
    }

    /// A member committed a block.
    ///
    /// # Errors
    /// It skips a height, differs from the block that others committed, or is invalid.
    pub fn committed(&mut self, member: ReplicaId, block: &Block, orders: &Orders) -> Check {
        let height = block.height();
        let tip = self.tip_of(member);
        require(height.0 == tip.0 + 1, LINKS, || {
            format!("member {member} committed height {height} after height {tip}")
        })?;
        self.tips.insert(member, height);
        self.learn(block, orders).map_err(|violation| Violation {
            what: format!("member {member}: {}", violation.what),
            ..violation
        })
    }

    /// Compares a committed block with the chain, or extends the chain with it.
    ///
    /// # Errors
    /// It differs, or is invalid.
    pub fn learn(&mut self, block: &Block, orders: &Orders) -> Check {
        let (height, hash) = (block.height(), block.hash());
        if let Some(link) = self.at(height) {
            return require(link.hash == hash, AGREEMENT, || {
                format!("height {height} is {} and {hash}", link.hash)
            });
        }
        self.check_links(block)?;
        self.check_transactions(block, orders)?;
        for (index, id) in (0..).zip(block.body().ids()) {
            let earlier = self.places.insert(*id, (height, index));
            require(earlier.is_none(), ONCE, || format!("transaction {id} at height {height} and before"))?;
        }
        self.links.push(Link { hash, time: block.header().timestamp, ids: block.body().ids().to_vec() });
        Ok(())
    }

    fn check_links(&self, block: &Block) -> Check {
        let (height, header) = (block.height(), block.header());
        let last = self.links.last().expect("the genesis is there");
        require(height.0 == self.links.len() as u64, LINKS, || format!("height {height} leaves a gap"))?;
        require(header.parent == last.hash, LINKS, || format!("height {height} has another parent"))?;
        require(header.timestamp > last.time, LINKS, || {
            format!("height {height} has time {} after {}", header.timestamp, last.time)
        })?;
        require(
            (header.committee, header.next_committee) == (self.committee, self.committee),
            VALIDITY,
            || format!("height {height} has another committee, or names one"),
        )?;
        let count = block.body().ids().len() as u64;
        require(count <= self.most && count == u64::from(header.transaction_count), VALIDITY, || {
            format!("height {height} has {count} transactions")
        })?;
        let early = header.timestamp.0 < last.time.0 + self.gap_ms;
        require(!(count == 0 && early), VALIDITY, || format!("height {height} is empty and too early"))
    }

    fn check_transactions(&self, block: &Block, orders: &Orders) -> Check {
        let (height, time) = (block.height(), block.header().timestamp);
        for transaction in block.body().transactions() {
            let id = transaction.id();
            let Some(order) = orders.of(&id) else {
                return require(false, VALIDITY, || {
                    format!("no client submitted transaction {id} at {height}")
                });
            };
            require(order.bytes == transaction.to_bytes(), VALIDITY, || {
                format!("transaction {id} at height {height} was changed")
            })?;
            require(order.kind.is_orderable(), VALIDITY, || {
                format!("transaction {id} at height {height} is {:?}", order.kind)
            })?;
            let left = order.valid_until.0.checked_sub(time.0);
            require(left.is_some_and(|left| left <= self.lifetime_ms), VALIDITY, || {
                format!("transaction {id} is valid until {}, its block has time {time}", order.valid_until)
            })?;
        }
        Ok(())
    }
}
