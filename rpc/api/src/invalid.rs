//! Why JSON is not what it claims to be.

use quorate_ledger::{BlockError, BlockHash, BodyError, TransactionId};

/// Well-formed JSON of the right shape that still is no value of the ledger, or JSON of another shape.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// Not JSON, a missing, surplus or repeated field, or a value of another type.
    #[error("not {what}: {error}")]
    Shape {
        /// What was expected.
        what: &'static str,
        /// What the parser stumbled over, with line and column.
        error: serde_json::Error,
    },
    /// More text than anything valid has.
    #[error("{what} has at most {limit} bytes of JSON, this has {bytes}")]
    TooLong {
        /// What was expected.
        what: &'static str,
        /// Bytes given.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// More elements than the format has room for.
    #[error("{count} {what}, at most {limit} are possible")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// Elements given.
        count: usize,
        /// Elements accepted.
        limit: usize,
    },
    /// Signers that are no ascending list of possible members.
    #[error("signers must be different indices of members below {limit}, in ascending order")]
    Signers {
        /// Members a committee may have.
        limit: usize,
    },
    /// An id beside a transaction that is not the transaction's.
    #[error("the transaction is {found}, but it is called {claimed}: it was altered or mislabelled")]
    TransactionId {
        /// The id in the JSON.
        claimed: TransactionId,
        /// The id of what stands there.
        found: TransactionId,
    },
    /// A hash beside a header that is not the header's.
    #[error("the header hashes to {found}, but the block is called {claimed}: it was altered or mislabelled")]
    BlockHash {
        /// The hash in the JSON.
        claimed: BlockHash,
        /// The hash of what stands there.
        found: BlockHash,
    },
    /// A block that lists only ids where the transactions were wanted.
    #[error("the block lists transaction ids only; ask for it with full = true")]
    IdsOnly,
    /// Transactions that form no body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Transactions that are not those of the header.
    #[error(transparent)]
    Block(#[from] BlockError),
}
