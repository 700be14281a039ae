//! Why JSON is not a valid value of the ledger.

use quorate_ledger::{BlockError, BlockHash, BodyError, TransactionId};

/// JSON of another shape than expected, or of the right shape with contents that the ledger
/// refuses.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// Not JSON, a missing, surplus or repeated field, or a value of another type.
    #[error("not {what}: {error}")]
    Shape {
        /// What was expected.
        what: &'static str,
        /// The parser's error, with line and column.
        error: serde_json::Error,
    },
    /// Longer than any valid text.
    #[error("{what} has at most {limit} bytes of JSON, but this has {bytes}")]
    TooLong {
        /// What was expected.
        what: &'static str,
        /// Bytes given.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// More elements than the format allows.
    #[error("{count} {what}, but at most {limit} are possible")]
    TooMany {
        /// The elements that are too many.
        what: &'static str,
        /// Elements given.
        count: usize,
        /// Elements accepted.
        limit: usize,
    },
    /// The signers are not an ascending list of possible members.
    #[error("signers must be different indices of members below {limit}, in ascending order")]
    Signers {
        /// How many members a committee may have.
        limit: usize,
    },
    /// The id in the JSON is not the transaction's.
    #[error(
        "the transaction's id is {found}, but the JSON says {claimed}: the transaction or its id was altered"
    )]
    TransactionId {
        /// The id in the JSON.
        claimed: TransactionId,
        /// The id of the transaction in the JSON.
        found: TransactionId,
    },
    /// The hash in the JSON is not the header's.
    #[error("the header's hash is {found}, but the JSON says {claimed}: the header or its hash was altered")]
    BlockHash {
        /// The hash in the JSON.
        claimed: BlockHash,
        /// The hash of the header in the JSON.
        found: BlockHash,
    },
    /// The block lists only ids, but the transactions are needed.
    #[error("the block lists only transaction ids; request it with full = true")]
    IdsOnly,
    /// The transactions do not form a valid body.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The transactions are not those that the header commits to.
    #[error(transparent)]
    Block(#[from] BlockError),
}
