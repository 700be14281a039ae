//! The numeric parameters of a genesis: name, default, range and meaning of each in one place.
//!
//! Reading, checking and writing a genesis all iterate over [`Parameters::sections`], so a
//! parameter that is declared here is read, checked, written and hashed.

use std::ops::RangeInclusive;

use borsh::BorshSerialize;
use quorate_ledger::{
    BlockLimits, MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS, TransactionLimits,
};

/// The lowest allowed limit on the bytes of a transaction. A transaction with a payload can exceed
/// it, so a lower limit would admit no useful transaction.
const MIN_TRANSACTION_BYTES: u64 = 256;

/// Longest lifetime of a transaction. Nodes keep the ids of all blocks younger than the lifetime in
/// memory: at 10,000 transactions a second this is six million ids.
const MAX_LIFETIME_MS: u64 = 600_000;

/// The largest window. A view change can leave twice the window of blocks without their own
/// certificate, and a proof has at most [`MAX_DESCENDANTS`] descendants.
const MAX_WINDOW: u64 = MAX_DESCENDANTS as u64 / 2;

/// The largest log window. Votes for this many heights take tens of megabytes in the largest
/// committee.
const MAX_LOG_WINDOW: u64 = 4096;

const MAX_POOL_TRANSACTIONS: u64 = 1_000_000;
const MAX_POOL_BYTES: u64 = 1 << 30;

/// All parameters. The order of the fields, here and in the sections, is their order in the content
/// that the chain id is computed from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize)]
pub struct Parameters {
    /// `[block]`
    pub block: BlockParameters,
    /// `[consensus]`
    pub consensus: ConsensusParameters,
    /// `[mempool]`
    pub mempool: MempoolParameters,
    /// `[clients]`
    pub clients: ClientParameters,
}

/// Limits that are part of the validity of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
pub struct BlockParameters {
    /// Most transactions in a block.
    pub max_transactions: u64,
    /// Most bytes of a block's encoded transactions.
    pub max_body_bytes: u64,
    /// Most bytes of one encoded transaction.
    pub max_transaction_bytes: u64,
    /// Most milliseconds by which `valid_until` may exceed the time of the block.
    pub max_transaction_lifetime_ms: u64,
    /// Least milliseconds between a block and an empty block on it.
    pub empty_block_gap_ms: u64,
}

/// Parameters of the ordering protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
pub struct ConsensusParameters {
    /// W: blocks a primary proposes ahead of the last committed one.
    pub window: u64,
    /// K: heights between two checkpoints.
    pub checkpoint_interval: u64,
    /// L: heights above the stable checkpoint for which messages are accepted; at least 2K.
    pub log_window: u64,
    /// Milliseconds for which work may be pending without a commit before the view timer expires,
    /// without back-off.
    pub request_timeout_ms: u64,
    /// Milliseconds a new primary has to start its view, without back-off.
    pub new_view_timeout_ms: u64,
    /// Upper bound in milliseconds for the back-off of both timeouts.
    pub timeout_cap_ms: u64,
    /// Milliseconds between two STATUS messages to a peer.
    pub status_interval_ms: u64,
    /// PREC: milliseconds by which a fresh block's time may be ahead of a validator's clock.
    pub clock_tolerance_ms: u64,
    /// Milliseconds a primary waits for more transactions before it proposes, for each block in
    /// flight.
    pub batch_delay_ms: u64,
}

/// Limits of the pool of waiting transactions. They are equal on all nodes. Otherwise a pool that
/// is full only at the primary would look like censorship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize)]
pub struct MempoolParameters {
    /// Most transactions.
    pub max_transactions: u64,
    /// Most bytes of encoded transactions.
    pub max_bytes: u64,
    /// Most transactions of one sender.
    pub max_transactions_per_sender: u64,
    /// Most bytes of one sender's encoded transactions.
    pub max_bytes_per_sender: u64,
}

/// What clients may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize)]
pub struct ClientParameters {
    /// Whose transactions the network accepts.
    pub submit: Submit,
}

/// Whose transactions the network accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Submit {
    /// From every client that can sign. The only policy of version 1.
    #[default]
    Open = 0,
}

impl Submit {
    /// The value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Submit::Open => "open",
        }
    }
}

impl Default for BlockParameters {
    fn default() -> Self {
        BlockParameters {
            max_transactions: 1000,
            max_body_bytes: 1 << 20,
            max_transaction_bytes: 256 << 10,
            max_transaction_lifetime_ms: 120_000,
            empty_block_gap_ms: 10_000,
        }
    }
}

impl Default for ConsensusParameters {
    fn default() -> Self {
        ConsensusParameters {
            window: 8,
            checkpoint_interval: 128,
            log_window: 512,
            request_timeout_ms: 2000,
            new_view_timeout_ms: 2000,
            timeout_cap_ms: 30_000,
            status_interval_ms: 1000,
            clock_tolerance_ms: 500,
            batch_delay_ms: 10,
        }
    }
}

impl Default for MempoolParameters {
    fn default() -> Self {
        MempoolParameters {
            max_transactions: 50_000,
            max_bytes: 64 << 20,
            max_transactions_per_sender: 5000,
            max_bytes_per_sender: 8 << 20,
        }
    }
}

impl BlockParameters {
    /// Converts to the types of the ledger. Only for checked parameters, which fit.
    pub(crate) fn limits(&self) -> BlockLimits {
        let narrow = |value| u32::try_from(value).expect("the ranges of block parameters end below 4 GiB");
        BlockLimits {
            max_transactions: narrow(self.max_transactions),
            max_body_bytes: narrow(self.max_body_bytes),
            transaction: TransactionLimits {
                max_bytes: narrow(self.max_transaction_bytes),
                max_lifetime_ms: self.max_transaction_lifetime_ms,
            },
            empty_block_gap_ms: self.empty_block_gap_ms,
        }
    }
}

/// The declaration of one numeric parameter.
pub(crate) struct Parameter<'a> {
    /// Its key in the file.
    pub(crate) name: &'static str,
    /// Its value.
    pub(crate) value: &'a mut u64,
    /// The values it may have, independent of other parameters.
    pub(crate) range: RangeInclusive<u64>,
    /// The comment in the genesis file.
    pub(crate) meaning: &'static str,
}

/// The numeric parameters of one table of the file.
pub(crate) struct Section<'a> {
    /// Its heading.
    pub(crate) name: &'static str,
    /// Its parameters in order.
    pub(crate) parameters: Vec<Parameter<'a>>,
}

impl Parameters {
    /// All numeric parameters, in the order of the file.
    pub(crate) fn sections(&mut self) -> [Section<'_>; 3] {
        [
            Section { name: "block", parameters: self.block.parameters() },
            Section { name: "consensus", parameters: self.consensus.parameters() },
            Section { name: "mempool", parameters: self.mempool.parameters() },
        ]
    }
}

fn parameter<'a>(
    name: &'static str,
    value: &'a mut u64,
    range: RangeInclusive<u64>,
    meaning: &'static str,
) -> Parameter<'a> {
    Parameter { name, value, range, meaning }
}

impl BlockParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "max_transactions",
                &mut self.max_transactions,
                1..=MAX_TRANSACTIONS.into(),
                "Most transactions in a block.",
            ),
            parameter(
                "max_body_bytes",
                &mut self.max_body_bytes,
                MIN_TRANSACTION_BYTES..=MAX_BODY_BYTES.into(),
                "Most bytes of a block's transactions.",
            ),
            parameter(
                "max_transaction_bytes",
                &mut self.max_transaction_bytes,
                MIN_TRANSACTION_BYTES..=MAX_TRANSACTION_BYTES.into(),
                "Most bytes of one transaction, signature included.",
            ),
            parameter(
                "max_transaction_lifetime_ms",
                &mut self.max_transaction_lifetime_ms,
                1000..=MAX_LIFETIME_MS,
                "A block contains only transactions that are valid for at most this long after its time. Nodes keep\n\
                 the ids of all younger blocks in memory to refuse repeated transactions.",
            ),
            parameter(
                "empty_block_gap_ms",
                &mut self.empty_block_gap_ms,
                1000..=MAX_LIFETIME_MS,
                "An empty block is at least this much later than its parent. On an idle chain, it proves to senders\n\
                 that their transactions have expired.",
            ),
        ]
    }
}

impl ConsensusParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "window",
                &mut self.window,
                1..=MAX_WINDOW,
                "W: blocks a primary proposes ahead of the last committed one; 1 means no pipelining.",
            ),
            parameter(
                "checkpoint_interval",
                &mut self.checkpoint_interval,
                1..=MAX_LOG_WINDOW / 2,
                "K: heights between two checkpoints.",
            ),
            parameter(
                "log_window",
                &mut self.log_window,
                2..=MAX_LOG_WINDOW,
                "L: heights above the last stable checkpoint for which messages are accepted; at least 2K.",
            ),
            parameter(
                "request_timeout_ms",
                &mut self.request_timeout_ms,
                100..=60_000,
                "Validators replace the primary if work is pending and no block is committed for this long.",
            ),
            parameter(
                "new_view_timeout_ms",
                &mut self.new_view_timeout_ms,
                100..=60_000,
                "Validators change to the next view if a new primary does not start its view within this time.",
            ),
            parameter(
                "timeout_cap_ms",
                &mut self.timeout_cap_ms,
                100..=MAX_LIFETIME_MS / 4,
                "Both timeouts double when a view commits no block, up to this limit. The network makes progress\n\
                 only if messages between validators arrive sooner.",
            ),
            parameter(
                "status_interval_ms",
                &mut self.status_interval_ms,
                50..=60_000,
                "Validators send each other their status this often, and resend lost messages.",
            ),
            parameter(
                "clock_tolerance_ms",
                &mut self.clock_tolerance_ms,
                1..=10_000,
                "A validator votes for a new block only when its time is at most this far ahead of its clock.",
            ),
            parameter(
                "batch_delay_ms",
                &mut self.batch_delay_ms,
                0..=1000,
                "A primary waits up to this long, for each block in flight, to fill the next block.",
            ),
        ]
    }
}

impl MempoolParameters {
    fn parameters(&mut self) -> Vec<Parameter<'_>> {
        vec![
            parameter(
                "max_transactions",
                &mut self.max_transactions,
                1..=MAX_POOL_TRANSACTIONS,
                "Most uncommitted transactions that a node holds.",
            ),
            parameter(
                "max_bytes",
                &mut self.max_bytes,
                MIN_TRANSACTION_BYTES..=MAX_POOL_BYTES,
                "Most bytes of these transactions.",
            ),
            parameter(
                "max_transactions_per_sender",
                &mut self.max_transactions_per_sender,
                1..=MAX_POOL_TRANSACTIONS,
                "Most of these transactions of one sender.",
            ),
            parameter(
                "max_bytes_per_sender",
                &mut self.max_bytes_per_sender,
                MIN_TRANSACTION_BYTES..=MAX_POOL_BYTES,
                "Most bytes of one sender's transactions.",
            ),
        ]
    }
}
