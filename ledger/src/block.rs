//! Headers, bodies, and the rules a block must meet whoever looks at it and whenever.
//!
//! The rules here are pure functions of a block and its parent, so correct validators never disagree on
//! them. What depends on a clock or on earlier blocks (fresh timestamps, repeated ids) is checked by those
//! who know the clock and the chain.

use std::collections::BTreeSet;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::{DecodeError, bounded, decode, encode};
use crate::hash::{BlockHash, ChainId, Domain, Hash, TransactionId, tagged_hash};
use crate::limits::{MAX_BODY_BYTES, MAX_TRANSACTIONS, PROTOCOL_VERSION};
use crate::merkle::merkle_root;
use crate::transaction::{Transaction, TransactionLimits, VerifiedTransaction};
use crate::units::{Epoch, Height, ReplicaId, Timestamp};

/// What a block hash stands for: 196 bytes that fix the block and, through `parent`, all blocks before it.
///
/// Neither the view nor any signature is in it, so a block that a later primary proposes again is the same
/// byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Rules this block follows.
    pub version: u16,
    /// Chain it belongs to.
    pub chain_id: ChainId,
    /// Committee that orders it, by number.
    pub epoch: Epoch,
    /// Position in the chain.
    pub height: Height,
    /// Hash of the header one below.
    pub parent: BlockHash,
    /// Merkle root over the transaction ids, in order.
    pub transactions_root: Hash,
    /// Transactions in the body.
    pub transaction_count: u32,
    /// Bytes of the encoded transactions, so that a fetcher knows what to expect.
    pub body_bytes: u32,
    /// Agreed time, strictly increasing along the chain.
    pub timestamp: Timestamp,
    /// Hash of the committee whose signatures certify this block.
    pub committee: Hash,
    /// Hash of the committee of the next block; in protocol version 1 always `committee`.
    pub next_committee: Hash,
    /// Member that first proposed it.
    pub proposer: ReplicaId,
}

/// What the network's genesis says about blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// Most transactions in a block.
    pub max_transactions: u32,
    /// Most bytes of a block's encoded transactions.
    pub max_body_bytes: u32,
    /// Limits of each transaction.
    pub transaction: TransactionLimits,
    /// Least milliseconds between a block and an empty block after it.
    pub empty_block_gap_ms: u64,
}

/// Why a header or its transactions break a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A field that follows from the parent or the chain has another value.
    #[error("{field} of the header does not follow from the parent and the chain")]
    Field {
        /// Name of the header field.
        field: &'static str,
    },
    /// Time must strictly increase.
    #[error("timestamp {got} does not come after the parent's {parent}")]
    Time {
        /// The parent's time.
        parent: Timestamp,
        /// The block's time.
        got: Timestamp,
    },
    /// The transactions are not those the header commits to.
    #[error("{field} of the header does not match the transactions")]
    Body {
        /// Name of the header field.
        field: &'static str,
    },
    /// More than the genesis allows.
    #[error("{what} is {got}, the network allows {limit}")]
    Limit {
        /// What is too much.
        what: &'static str,
        /// How much there is.
        got: u64,
        /// How much there may be.
        limit: u64,
    },
    /// The same transaction twice in one block.
    #[error("transaction {0} stands in the block twice")]
    Repeated(TransactionId),
    /// A transaction that must not be in a block of this time.
    #[error(
        "transaction {id} is valid until {valid_until}, a block of time {timestamp} takes from there to {lifetime_ms} ms later"
    )]
    Lifetime {
        /// The transaction.
        id: TransactionId,
        /// Its last moment.
        valid_until: Timestamp,
        /// Time of the block.
        timestamp: Timestamp,
        /// The genesis's `max_transaction_lifetime`.
        lifetime_ms: u64,
    },
    /// A transaction that may be in no block.
    #[error("transaction {id}: {error}")]
    Transaction {
        /// The transaction.
        id: TransactionId,
        /// What is wrong with it.
        error: crate::TransactionError,
    },
    /// An empty block so soon after its parent says nothing.
    #[error("an empty block must come at least {gap_ms} ms after its parent")]
    Empty {
        /// The genesis's `empty_block_gap`.
        gap_ms: u64,
    },
}

impl Header {
    /// The header of a block on `parent` with this body.
    ///
    /// Its time is `now`, or one millisecond after the parent's if the clock is behind that.
    pub fn after(parent: &Header, body: &Body, now: Timestamp, proposer: ReplicaId) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            chain_id: parent.chain_id,
            epoch: parent.epoch,
            height: parent.height.next(),
            parent: parent.hash(),
            transactions_root: body.root(),
            transaction_count: body.count(),
            body_bytes: body.transaction_bytes(),
            timestamp: now.max(parent.timestamp.plus_ms(1)),
            committee: parent.next_committee,
            next_committee: parent.next_committee,
            proposer,
        }
    }

    /// Identifies the block.
    pub fn hash(&self) -> BlockHash {
        BlockHash(tagged_hash(Domain::Header, &[&encode(self)]))
    }

    /// Checks everything that follows from the parent (rule A7 of the protocol).
    ///
    /// # Errors
    /// [`BlockError::Field`] and [`BlockError::Time`].
    pub fn check_follows(&self, parent: &Header) -> Result<(), BlockError> {
        let fields = [
            ("version", self.version == PROTOCOL_VERSION),
            ("chain_id", self.chain_id == parent.chain_id),
            ("epoch", self.epoch == parent.epoch),
            ("height", self.height == parent.height.next()),
            ("parent", self.parent == parent.hash()),
            ("committee", self.committee == parent.next_committee),
            ("next_committee", self.next_committee == self.committee),
        ];
        if let Some((field, _)) = fields.iter().find(|(_, holds)| !holds) {
            return Err(BlockError::Field { field });
        }
        if self.timestamp <= parent.timestamp {
            return Err(BlockError::Time { parent: parent.timestamp, got: self.timestamp });
        }
        Ok(())
    }

    /// Checks the claimed size of the body against the limits, before anything is fetched for it.
    ///
    /// # Errors
    /// [`BlockError::Limit`] and [`BlockError::Empty`].
    pub fn check_limits(&self, parent: &Header, limits: &BlockLimits) -> Result<(), BlockError> {
        let checks = [
            ("transaction_count", self.transaction_count, limits.max_transactions),
            ("body_bytes", self.body_bytes, limits.max_body_bytes),
        ];
        if let Some((what, got, limit)) = checks.into_iter().find(|(_, got, limit)| got > limit) {
            return Err(BlockError::Limit { what, got: got.into(), limit: limit.into() });
        }
        let gap_ms = limits.empty_block_gap_ms;
        if self.transaction_count == 0 && self.timestamp < parent.timestamp.plus_ms(gap_ms) {
            return Err(BlockError::Empty { gap_ms });
        }
        Ok(())
    }

    fn check_transaction(
        &self,
        checked: &VerifiedTransaction,
        limits: &BlockLimits,
    ) -> Result<(), BlockError> {
        let (id, transaction) = (checked.id(), checked.transaction());
        transaction.check_form(&limits.transaction).map_err(|error| BlockError::Transaction { id, error })?;
        if !limits.transaction.is_timely(transaction.valid_until, self.timestamp) {
            return Err(BlockError::Lifetime {
                id,
                valid_until: transaction.valid_until,
                timestamp: self.timestamp,
                lifetime_ms: limits.transaction.max_lifetime_ms,
            });
        }
        Ok(())
    }
}

impl TransactionLimits {
    /// Whether a block of this time may contain a transaction that is valid until then: the time has not
    /// passed, and is no further away than the chain remembers ids.
    pub fn is_timely(&self, valid_until: Timestamp, block_time: Timestamp) -> bool {
        block_time <= valid_until && valid_until <= block_time.plus_ms(self.max_lifetime_ms)
    }
}

/// Why bytes are not a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not the canonical encoding of a list of transactions.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// More bytes than any block may have.
    #[error("a body has at most {MAX_BODY_BYTES} bytes of transactions, not {0}")]
    TooLarge(usize),
}

#[derive(Debug, PartialEq, Eq)]
struct Encoded {
    bytes: Vec<u8>,
    ids: Vec<TransactionId>,
    /// Where each transaction ends in `bytes`.
    ends: Vec<usize>,
}

/// The transactions of one block in order, encoded once. Cloning shares the bytes.
///
/// The encoding is a u32 count and the transactions one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(Arc<Encoded>);

/// Only for decoding: a list no longer than any block.
#[derive(BorshDeserialize)]
struct Transactions(#[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")] Vec<Transaction>);

const COUNT_BYTES: usize = 4;

impl Body {
    /// The body with these transactions.
    pub fn of(transactions: &[VerifiedTransaction]) -> Self {
        let ids = transactions.iter().map(VerifiedTransaction::id).collect();
        Body::build(transactions.iter().map(VerifiedTransaction::transaction), ids)
    }

    /// Reads a body from exactly these bytes. Signatures are not checked: what makes the transactions
    /// believable is the certificate over the header they match.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn decode(bytes: Vec<u8>) -> Result<Self, BodyError> {
        if bytes.len() > MAX_BODY_BYTES as usize + COUNT_BYTES {
            return Err(BodyError::TooLarge(bytes.len().saturating_sub(COUNT_BYTES)));
        }
        let Transactions(transactions) = decode(&bytes)?;
        let mut ids = Vec::with_capacity(transactions.len());
        let mut ends = Vec::with_capacity(transactions.len());
        let mut end = COUNT_BYTES;
        for transaction in &transactions {
            let start = end;
            end += usize::try_from(transaction.encoded_len()).expect("lengths were decoded from memory");
            ids.push(Transaction::id_of(&bytes[start..end]));
            ends.push(end);
        }
        Ok(Body(Arc::new(Encoded { bytes, ids, ends })))
    }

    fn build<'a>(transactions: impl Iterator<Item = &'a Transaction>, ids: Vec<TransactionId>) -> Self {
        let count = u32::try_from(ids.len()).expect("a block has at most MAX_TRANSACTIONS");
        let mut bytes = count.to_le_bytes().to_vec();
        let mut ends = Vec::with_capacity(ids.len());
        for transaction in transactions {
            transaction.serialize(&mut bytes).expect("writing to a vector cannot fail");
            ends.push(bytes.len());
        }
        Body(Arc::new(Encoded { bytes, ids, ends }))
    }

    /// The encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// The ids in order.
    pub fn ids(&self) -> &[TransactionId] {
        &self.0.ids
    }

    /// Number of transactions.
    pub fn count(&self) -> u32 {
        u32::try_from(self.0.ids.len()).expect("a block has at most MAX_TRANSACTIONS")
    }

    /// Bytes of all transactions together, without the count in front.
    pub fn transaction_bytes(&self) -> u32 {
        u32::try_from(self.0.bytes.len() - COUNT_BYTES).expect("a body is smaller than 4 GiB")
    }

    /// Merkle root over the ids.
    pub fn root(&self) -> Hash {
        merkle_root(&self.0.ids)
    }

    /// The transactions, decoded one by one.
    pub fn transactions(&self) -> impl Iterator<Item = Transaction> {
        (0..self.0.ends.len()).filter_map(|index| self.transaction(index))
    }

    /// The transaction at `index`.
    pub fn transaction(&self, index: usize) -> Option<Transaction> {
        let end = *self.0.ends.get(index)?;
        let start = index.checked_sub(1).map_or(COUNT_BYTES, |before| self.0.ends[before]);
        Some(
            decode(&self.0.bytes[start..end])
                .expect("every transaction of a body was decoded or encoded here"),
        )
    }
}

/// A header with the ids it commits to, checked against each other: what a proposal says.
///
/// Building the Merkle tree is the costly part of checking a block, so it is done once, here, and the type
/// carries the result. Cloning shares the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    header: Arc<Header>,
    hash: BlockHash,
    ids: Arc<[TransactionId]>,
}

impl Outline {
    /// Joins a header and the ids it is said to commit to.
    ///
    /// # Errors
    /// [`BlockError::Body`] and [`BlockError::Repeated`] unless these ids, in this order and each once, are
    /// the header's.
    pub fn new(header: Header, ids: impl Into<Arc<[TransactionId]>>) -> Result<Self, BlockError> {
        let ids = ids.into();
        if u32::try_from(ids.len()) != Ok(header.transaction_count) {
            return Err(BlockError::Body { field: "transaction_count" });
        }
        if merkle_root(&ids) != header.transactions_root {
            return Err(BlockError::Body { field: "transactions_root" });
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(BlockError::Repeated(*id));
        }
        Ok(Outline { hash: header.hash(), header: Arc::new(header), ids })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The hash of the header, computed once.
    pub fn hash(&self) -> BlockHash {
        self.hash
    }

    /// The ids in order.
    pub fn ids(&self) -> &Arc<[TransactionId]> {
        &self.ids
    }

    /// Position in the chain.
    pub fn height(&self) -> Height {
        self.header.height
    }

    /// Makes the block of a proposal from its transactions (rule A6 of the protocol, but for repetitions
    /// along the chain, which only a node that knows the chain can see).
    ///
    /// # Errors
    /// Everything in [`BlockError`] that speaks of transactions.
    pub fn fill(
        &self,
        transactions: &[VerifiedTransaction],
        limits: &BlockLimits,
    ) -> Result<Block, BlockError> {
        if !transactions.iter().map(VerifiedTransaction::id).eq(self.ids.iter().copied()) {
            return Err(BlockError::Body { field: "transactions_root" });
        }
        let bytes: u64 = transactions.iter().map(|transaction| u64::from(transaction.bytes())).sum();
        if bytes != u64::from(self.header.body_bytes) {
            return Err(BlockError::Body { field: "body_bytes" });
        }
        for transaction in transactions {
            self.header.check_transaction(transaction, limits)?;
        }
        Ok(Block { outline: self.clone(), body: Body::of(transactions) })
    }
}

/// A header with the transactions it commits to. Cloning shares them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    outline: Outline,
    body: Body,
}

impl Block {
    /// Joins a header and a body.
    ///
    /// # Errors
    /// [`BlockError::Body`] and [`BlockError::Repeated`] if the body is another block's.
    pub fn new(header: Header, body: Body) -> Result<Self, BlockError> {
        if body.transaction_bytes() != header.body_bytes {
            return Err(BlockError::Body { field: "body_bytes" });
        }
        let outline = Outline::new(header, body.ids())?;
        Ok(Block { outline, body })
    }

    /// A new block on `parent` with this body; see [`Header::after`].
    ///
    /// # Errors
    /// [`BlockError::Repeated`].
    pub fn after(
        parent: &Header,
        body: Body,
        now: Timestamp,
        proposer: ReplicaId,
    ) -> Result<Self, BlockError> {
        Block::new(Header::after(parent, &body, now, proposer), body)
    }

    /// Header and ids.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// The header.
    pub fn header(&self) -> &Header {
        self.outline.header()
    }

    /// The hash of the header, computed once.
    pub fn hash(&self) -> BlockHash {
        self.outline.hash()
    }

    /// The transactions.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Position in the chain.
    pub fn height(&self) -> Height {
        self.outline.height()
    }
}

#[cfg(test)]
#[path = "block_tests.rs"]
mod tests;
