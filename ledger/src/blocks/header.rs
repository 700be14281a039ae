//! Headers, and the validity rules that depend only on a block and its parent.
//!
//! These rules are pure functions, so correct validators never disagree on them. Rules that depend
//! on a clock or on earlier blocks (fresh timestamps, repeated ids) are checked by the crates that
//! have the clock and the chain.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::blocks::body::Body;
use crate::codec::encode;
use crate::hash::{BlockHash, ChainId, Domain, Hash, TransactionId, tagged_hash};
use crate::limits::PROTOCOL_VERSION;
use crate::merkle::merkle_root;
use crate::mutant::{Mutant, is};
use crate::transaction::{TransactionLimits, VerifiedTransaction};
use crate::units::{Epoch, Height, ReplicaId, Timestamp};

/// A block header: the 196 bytes that the block hash is computed from. They determine the block
/// and, through `parent`, all blocks before it.
///
/// A header contains neither the view nor a signature. So a block that a later primary proposes
/// again is identical, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Header {
    /// Version of the rules that this block follows.
    pub version: u16,
    /// Chain it belongs to.
    pub chain_id: ChainId,
    /// Number of the committee that orders it.
    pub epoch: Epoch,
    /// Position in the chain.
    pub height: Height,
    /// Hash of the previous header.
    pub parent: BlockHash,
    /// Merkle root over the transaction ids, in order.
    pub transactions_root: Hash,
    /// Transactions in the body.
    pub transaction_count: u32,
    /// Bytes of the encoded transactions, which tells a node that fetches the body how much to
    /// expect.
    pub body_bytes: u32,
    /// Agreed time, strictly increasing along the chain.
    pub timestamp: Timestamp,
    /// Hash of the committee whose signatures certify this block.
    pub committee: Hash,
    /// Hash of the committee of the next block. It differs from `committee` exactly in the last block
    /// of an epoch.
    pub next_committee: Hash,
    /// Member that first proposed it.
    pub proposer: ReplicaId,
}

/// The limits of the network's genesis for blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// Most transactions in a block.
    pub max_transactions: u32,
    /// Most bytes of a block's encoded transactions.
    pub max_body_bytes: u32,
    /// Limits of each transaction.
    pub transaction: TransactionLimits,
    /// Least milliseconds between a block and an empty block on it.
    pub empty_block_gap_ms: u64,
}

/// Why a block is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// A field that is determined by the parent or the chain has another value.
    #[error("{field} of the header has a value that contradicts its parent or the chain")]
    Field {
        /// Name of the header field.
        field: &'static str,
    },
    /// The time does not strictly increase.
    #[error("the block's timestamp {got} is not later than the parent's {parent}")]
    Time {
        /// The parent's time.
        parent: Timestamp,
        /// The block's time.
        got: Timestamp,
    },
    /// The header does not commit to these transactions.
    #[error("{field} of the header does not match the transactions")]
    Body {
        /// Name of the header field.
        field: &'static str,
    },
    /// The block exceeds a limit of the genesis.
    #[error("{what} is {got}, but the network allows at most {limit}")]
    Limit {
        /// The quantity that exceeds its limit.
        what: &'static str,
        /// Its value.
        got: u64,
        /// Its limit.
        limit: u64,
    },
    /// The block contains the same transaction twice.
    #[error("the block contains transaction {0} twice")]
    Repeated(TransactionId),
    /// A transaction that a block of this time must not contain.
    #[error(
        "transaction {id} is valid until {valid_until}, but a block of time {timestamp} accepts only transactions that are valid until {timestamp} to {lifetime_ms} ms later"
    )]
    Lifetime {
        /// The transaction.
        id: TransactionId,
        /// The end of its validity.
        valid_until: Timestamp,
        /// Time of the block.
        timestamp: Timestamp,
        /// The genesis's `max_transaction_lifetime`.
        lifetime_ms: u64,
    },
    /// A transaction that no block may contain.
    #[error("transaction {id}: {error}")]
    Transaction {
        /// The transaction.
        id: TransactionId,
        /// Why it is invalid.
        error: crate::TransactionError,
    },
    /// An empty block too soon after its parent, when it would prove nothing new.
    #[error("an empty block must be at least {gap_ms} ms later than its parent")]
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
    /// Its time is `now`, or one millisecond after the parent's time if `now` is not later than
    /// that.
    pub fn after(parent: &Header, body: &Body, now: Timestamp, proposer: ReplicaId) -> Header {
        Header {
            version: PROTOCOL_VERSION,
            chain_id: parent.chain_id,
            epoch: parent.epoch_of_child(),
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

    /// Whether this is the header of the last block of its epoch.
    ///
    /// The hash of a committee covers its epoch, so the two hashes differ here even if the members
    /// stay the same.
    pub fn ends_epoch(&self) -> bool {
        self.next_committee != self.committee
    }

    /// The epoch of the next block. Saturates; [`Header::check_follows`] refuses the saturated one.
    fn epoch_of_child(&self) -> Epoch {
        if self.ends_epoch() { self.epoch.next() } else { self.epoch }
    }

    /// The hash that identifies the block.
    pub fn hash(&self) -> BlockHash {
        BlockHash(tagged_hash(Domain::Header, &[&encode(self)]))
    }

    /// Checks everything that follows from the parent (R5).
    ///
    /// The next committee does not follow from the parent: the configuration that is in force at
    /// the height determines it. A replica compares it before it votes. Other readers rely on the
    /// certificate.
    ///
    /// # Errors
    /// [`BlockError::Field`] and [`BlockError::Time`].
    pub fn check_follows(&self, parent: &Header) -> Result<(), BlockError> {
        let epoch =
            if parent.ends_epoch() { self.epoch.follows(parent.epoch) } else { self.epoch == parent.epoch };
        let fields = [
            ("version", self.version == PROTOCOL_VERSION),
            ("chain_id", self.chain_id == parent.chain_id),
            ("epoch", epoch),
            ("height", self.height.follows(parent.height)),
            ("parent", self.parent == parent.hash() || is(Mutant::ParentUnchecked)),
            ("committee", self.committee == parent.next_committee),
        ];
        if let Some((field, _)) = fields.iter().find(|(_, holds)| !holds) {
            return Err(BlockError::Field { field });
        }
        if self.timestamp <= parent.timestamp && !is(Mutant::TimeUnchecked) {
            return Err(BlockError::Time { parent: parent.timestamp, got: self.timestamp });
        }
        Ok(())
    }

    /// Checks the claimed size of the body against the limits, before the body is fetched.
    ///
    /// # Errors
    /// [`BlockError::Limit`].
    pub fn check_limits(&self, limits: &BlockLimits) -> Result<(), BlockError> {
        let checks = [
            ("transaction_count", self.transaction_count, limits.max_transactions),
            ("body_bytes", self.body_bytes, limits.max_body_bytes),
        ];
        if let Some((what, got, limit)) = checks.into_iter().find(|(_, got, limit)| got > limit)
            && !is(Mutant::LimitsUnchecked)
        {
            return Err(BlockError::Limit { what, got: got.into(), limit: limit.into() });
        }
        Ok(())
    }

    /// Checks that an empty block is not too early above its parent.
    ///
    /// Only an empty block that the governance state after its parent requires may break this. The
    /// caller that knows that state does not call this for such a block.
    ///
    /// # Errors
    /// [`BlockError::Empty`].
    pub fn check_gap(&self, parent: &Header, limits: &BlockLimits) -> Result<(), BlockError> {
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
    /// Whether a block of time `block_time` may contain a transaction that is valid until
    /// `valid_until`. It may unless the transaction has expired, or expires later than nodes keep
    /// the block's ids to detect repetitions.
    pub fn is_timely(&self, valid_until: Timestamp, block_time: Timestamp) -> bool {
        (block_time <= valid_until || is(Mutant::ExpiredAllowed))
            && (valid_until <= block_time.plus_ms(self.max_lifetime_ms) || is(Mutant::LifetimeUnbounded))
    }
}
