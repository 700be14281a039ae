//! The numeric parameters of a network: name, default, range and meaning of each in one place, and
//! the rules between them.
//!
//! A genesis gives their first values. Governance may change those that [`ParameterName`] lists, and
//! the changed values must satisfy the same ranges and rules.
//!
//! Reading, checking and writing a genesis all iterate over [`Settings::sections`], so a parameter
//! that is declared in `table.rs` is read, checked, written and hashed.

mod governance;
mod names;
mod rules;
mod table;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{BlockLimits, TransactionLimits};

pub use governance::{GovernanceParameters, MAX_CLIENTS, Settings};
pub use names::{ParameterName, UnknownParameter};
pub use rules::{Bound, ParameterError, Rule, rules};
pub(crate) use table::MAX_CHECKPOINT_INTERVAL;
pub use table::{Parameter, Section};

/// All parameters but those of governance itself. The order of the fields, here and in the
/// sections, is their order in the content that the chain id is computed from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct ClientParameters {
    /// Whose transactions the network accepts.
    pub submit: Submit,
}

/// Whose transactions the network accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Submit {
    /// From every client that can sign.
    #[default]
    Open = 0,
    /// From clients that a member has registered, within the quota of the member.
    Registry = 1,
}

impl Submit {
    /// Both.
    pub const ALL: [Submit; 2] = [Submit::Open, Submit::Registry];

    /// The value in the file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Submit::Open => "open",
            Submit::Registry => "registry",
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
    /// Converts to the types of the ledger. A number that does not fit becomes the largest one; checked
    /// parameters fit.
    pub fn limits(&self) -> BlockLimits {
        let narrow = |value| u32::try_from(value).unwrap_or(u32::MAX);
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
