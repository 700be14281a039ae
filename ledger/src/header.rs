//! Headers and the rules a block must meet whoever looks at it and whenever.
//!
//! The rules here are pure functions of a block and its parent, so correct validators never disagree on
//! them. What depends on a clock or on earlier blocks (fresh timestamps, repeated ids) is checked by those
//! who know the clock and the chain.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::body::Body;
use crate::codec::encode;
use crate::hash::{BlockHash, ChainId, Domain, Hash, TransactionId, tagged_hash};
use crate::limits::PROTOCOL_VERSION;
use crate::merkle::merkle_root;
use crate::mutant::{Mutant, is};
use crate::transaction::{TransactionLimits, VerifiedTransaction};
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
    /// The genesis header: height 0, epoch 0, an empty body, and a zero parent hash.
    ///
    /// `committee` is the hash of the committee that orders the first block.
    pub fn genesis(chain_id: ChainId, committee: Hash, timestamp: Timestamp) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            chain_id,
            epoch: Epoch(0),
            height: Height(0),
            parent: BlockHash(Hash::ZERO),
            transactions_root: merkle_root(&[]),
            transaction_count: 0,
            body_bytes: 0,
            timestamp,
            committee,
            next_committee: committee,
            proposer: ReplicaId(0),
        }
    }

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

    /// Checks everything that follows from the parent (R5).
    ///
    /// # Errors
    /// [`BlockError::Field`] and [`BlockError::Time`].
    pub fn check_follows(&self, parent: &Header) -> Result<(), BlockError> {
        let fields = [
            ("version", self.version == PROTOCOL_VERSION),
            ("chain_id", self.chain_id == parent.chain_id),
            ("epoch", self.epoch == parent.epoch),
            ("height", self.height.follows(parent.height)),
            ("parent", self.parent == parent.hash() || is(Mutant::ParentUnchecked)),
            ("committee", self.committee == parent.next_committee),
            ("next_committee", self.next_committee == self.committee),
        ];
        if let Some((field, _)) = fields.iter().find(|(_, holds)| !holds) {
            return Err(BlockError::Field { field });
        }
        if self.timestamp <= parent.timestamp && !is(Mutant::TimeUnchecked) {
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
        if let Some((what, got, limit)) = checks.into_iter().find(|(_, got, limit)| got > limit)
            && !is(Mutant::LimitsUnchecked)
        {
            return Err(BlockError::Limit { what, got: got.into(), limit: limit.into() });
        }
        let gap_ms = limits.empty_block_gap_ms;
        let too_soon = self.timestamp < parent.timestamp.plus_ms(gap_ms) && !is(Mutant::EmptyTooSoon);
        if self.transaction_count == 0 && too_soon {
            return Err(BlockError::Empty { gap_ms });
        }
        Ok(())
    }

    pub(crate) fn check_transaction(
        &self,
        checked: &VerifiedTransaction,
        limits: &BlockLimits,
    ) -> Result<(), BlockError> {
        let (id, transaction) = (checked.id(), checked.transaction());
        if !is(Mutant::FormUnchecked) {
            transaction
                .check_form(&limits.transaction)
                .map_err(|error| BlockError::Transaction { id, error })?;
        }
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
        (block_time <= valid_until || is(Mutant::ExpiredAllowed))
            && (valid_until <= block_time.plus_ms(self.max_lifetime_ms) || is(Mutant::LifetimeUnbounded))
    }
}
