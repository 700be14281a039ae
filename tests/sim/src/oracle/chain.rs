//! Agreement: all members commit the same blocks, and only valid ones.
//!
//! The checker keeps the single chain of all committed blocks. It compares a block with this chain,
//! or fully checks it before it extends the chain. It executes the governance transactions of the
//! chain once, and so knows the configuration of every height.

use std::collections::BTreeMap;

use quorate_genesis::Genesis;
use quorate_governance::{
    Ancestors, Config, ExecutedBlock, GovernanceTransaction, Name, Outcome, State, Submit,
};
use quorate_ledger::{
    Block, BlockHash, Epoch, Hash, Header, Height, ReplicaId, Timestamp, Transaction, TransactionId,
};

use crate::clients::orders::{Kind, Orders};
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
    /// Whether it is empty, and only a scheduled change permits it so early.
    pub is_filler: bool,
    /// The outcome of each governance transaction, with its index.
    pub outcomes: Vec<(u32, Outcome)>,
    /// The configuration that judged it.
    pub config: Config,
    /// The root of the governance state after it.
    pub root: Hash,
}

/// The chain of the checker, and the height of each member.
#[derive(Debug)]
pub struct Chain {
    /// From the genesis on: the index is the height.
    pub links: Vec<Link>,
    /// The governance state after the last block.
    state: State,
    /// The headers below the epochs, by number of the epoch.
    roots: Vec<Header>,
    places: BTreeMap<TransactionId, (Height, u32)>,
    tips: BTreeMap<ReplicaId, Height>,
    lifetime_ms: u64,
}

/// The blocks below the next one.
struct Below<'a>(&'a [Link]);

impl Ancestors for Below<'_> {
    fn hash(&self, height: Height) -> Option<BlockHash> {
        Some(self.0.get(usize::try_from(height.0).ok()?)?.hash)
    }
}

const AGREEMENT: &str = "agreement";
const LINKS: &str = "chain links";
const ONCE: &str = "at most once";
const VALIDITY: &str = "validity";

impl Chain {
    /// A chain with only the genesis.
    pub fn new(genesis: &Genesis) -> Self {
        let (header, state) = (genesis.header(), genesis.governance_state());
        let first = Link {
            hash: header.hash(),
            time: header.timestamp,
            ids: Vec::new(),
            is_filler: false,
            outcomes: Vec::new(),
            config: state.next_config().clone(),
            root: state.root(),
        };
        Chain {
            links: vec![first],
            lifetime_ms: state.next_config().block_limits().transaction.max_lifetime_ms,
            state,
            roots: vec![header.clone()],
            places: BTreeMap::new(),
            tips: BTreeMap::new(),
        }
    }

    /// The governance state after the last block.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The header below the first block of an epoch that has begun.
    pub fn root_of(&self, epoch: Epoch) -> Option<&Header> {
        self.roots.get(usize::try_from(epoch.0).ok()?)
    }

    /// The configuration that judges a height, up to the next one.
    pub fn config(&self, height: Height) -> Option<&Config> {
        if height == self.height().next() {
            return Some(self.state.next_config());
        }
        self.at(height).map(|link| &link.config)
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
        self.check_committees(block.header())?;
        let is_filler = self.check_size(block)?;
        self.check_transactions(block, orders)?;
        for (index, id) in (0..).zip(block.body().ids()) {
            let earlier = self.places.insert(*id, (height, index));
            require(earlier.is_none(), ONCE, || format!("transaction {id} at height {height} and before"))?;
        }
        let config = self.state.next_config().clone();
        let outcomes = self.execute(block)?;
        self.links.push(Link {
            hash,
            time: block.header().timestamp,
            ids: block.body().ids().to_vec(),
            is_filler,
            outcomes,
            config,
            root: self.state.root(),
        });
        if block.header().ends_epoch() {
            self.roots.push(block.header().clone());
        }
        Ok(())
    }

    /// Executes the governance transactions of the next block.
    fn execute(&mut self, block: &Block) -> Result<Vec<(u32, Outcome)>, Violation> {
        let operations: Vec<(u32, Transaction)> = block.body().governance().collect();
        let transactions: Vec<_> = operations
            .iter()
            .map(|(_, transaction)| GovernanceTransaction {
                id: transaction.id(),
                sender: transaction.sender,
                payload: transaction.payload.bytes(),
            })
            .collect();
        let executed =
            ExecutedBlock { height: block.height(), hash: block.hash(), transactions: &transactions };
        let outcomes = self.state.apply(&executed, &Below(&self.links));
        let outcomes = outcomes.map_err(|error| Violation { rule: VALIDITY, what: error.to_string() })?;
        Ok(operations.iter().map(|(index, _)| *index).zip(outcomes).collect())
    }

    fn check_links(&self, block: &Block) -> Check {
        let (height, header) = (block.height(), block.header());
        let last = self.links.last().expect("the genesis is there");
        require(height.0 == self.links.len() as u64, LINKS, || format!("height {height} leaves a gap"))?;
        require(header.parent == last.hash, LINKS, || format!("height {height} has another parent"))?;
        require(header.timestamp > last.time, LINKS, || {
            format!("height {height} has time {} after {}", header.timestamp, last.time)
        })?;
        Ok(())
    }

    /// A header names the committee of its height and that of the next one.
    fn check_committees(&self, header: &Header) -> Check {
        let height = header.height;
        let present = self.state.next_config();
        let next = self.state.config(height.next()).expect("the state knows more than W heights");
        let wanted = (present.epoch(), present.committee().hash(), next.committee().hash());
        require((header.epoch, header.committee, header.next_committee) == wanted, VALIDITY, || {
            format!(
                "height {height} has epoch {}, committee {}, next {}; in force is {wanted:?}",
                header.epoch, header.committee, header.next_committee
            )
        })
    }

    /// The number of transactions. An empty block is late enough, or at a height that a scheduled
    /// change needs; `true` if only that permits it.
    fn check_size(&self, block: &Block) -> Result<bool, Violation> {
        let (height, header) = (block.height(), block.header());
        let limits = self.state.next_config().block_limits();
        let count = block.body().ids().len() as u64;
        let is_right = count <= u64::from(limits.max_transactions);
        require(is_right && count == u64::from(header.transaction_count), VALIDITY, || {
            format!("height {height} has {count} transactions")
        })?;
        let last = self.links.last().expect("the genesis is there");
        let early = header.timestamp.0 < last.time.0 + limits.empty_block_gap_ms;
        let needed = self.state.scheduled().values().any(|change| change.effective_from > height);
        require(!(count == 0 && early && !needed), VALIDITY, || {
            format!("height {height} is empty and too early")
        })?;
        Ok(count == 0 && early)
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
            let permitted = order.is_permitted(self.state.next_config());
            require(permitted, VALIDITY, || {
                format!("the sender of transaction {id} at height {height} has no right to it")
            })?;
            let left = order.valid_until.0.checked_sub(time.0);
            require(left.is_some_and(|left| left <= self.lifetime_ms), VALIDITY, || {
                format!("transaction {id} is valid until {}, its block has time {time}", order.valid_until)
            })?;
        }
        let config = self.state.next_config();
        let most = config.member_quota().transactions;
        for (member, count) in data_of_members(block.body().ids(), orders, config) {
            require(count <= most, VALIDITY, || {
                format!("height {height} has {count} transactions of clients of {member}, more than {most}")
            })?;
        }
        Ok(())
    }
}

/// How many of these transactions are data of clients of each member. None if anyone may send data.
pub fn data_of_members(ids: &[TransactionId], orders: &Orders, config: &Config) -> BTreeMap<Name, u64> {
    let mut counts = BTreeMap::new();
    if config.submit_mode() == Submit::Open {
        return counts;
    }
    let clients = config.clients();
    let data = ids.iter().filter_map(|id| orders.of(id)).filter(|order| order.kind != Kind::Operation);
    for order in data {
        if let Some(client) = clients.iter().find(|client| client.key == order.sender) {
            *counts.entry(client.member.clone()).or_default() += 1;
        }
    }
    counts
}
