//! Errors of a client and its nodes.

use std::time::Duration;

use quorate_api::{InvalidJson, MAX_MESSAGE_BYTES, RpcError, cut_off};
use quorate_ledger::{BlockHash, Epoch, EpochProofError, Height, ProofError, TransactionId};

/// Why one call to one node has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node responded with an error.
    #[error("{url}: {error}")]
    Node {
        /// The node.
        url: String,
        /// Its error.
        error: RpcError,
    },
    /// The node cannot be reached, or closed the connection.
    #[error("{url}: cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        url: String,
        /// The error of the connection.
        reason: String,
    },
    /// The node, or a proxy in front of it, refused the request with an HTTP status.
    #[error("{url}: refused the request with HTTP status {status}")]
    Refused {
        /// The node.
        url: String,
        /// The status, for example 503 if the node is busy.
        status: u16,
    },
    /// No response in time. The request may or may not have been run.
    #[error("{url}: no response within {} ms", after.as_millis())]
    Timeout {
        /// The node.
        url: String,
        /// How long the client waited.
        after: Duration,
    },
    /// The response does not conform to the interface, or is too large.
    #[error("{url}: the response is invalid: {reason}; is it a Quorate node of this version?")]
    Answer {
        /// The node.
        url: String,
        /// The problem.
        reason: String,
    },
    /// Only claims of members count, and the key that the node claims is not that of a member.
    #[error(
        "{url}: the key that it claims is not in the committee of this network, so its claim does not count"
    )]
    NoMember {
        /// The node.
        url: String,
    },
}

/// Shortens a parser's error, which may repeat the whole response.
pub(crate) fn brief(reason: String) -> String {
    cut_off(reason, MAX_MESSAGE_BYTES)
}

/// HTTP statuses after which the same request may succeed later: too slow, too many, busy, gateway
/// error.
const RETRYABLE_STATUSES: [u16; 6] = [408, 429, 500, 502, 503, 504];

impl CallError {
    /// Whether the same request may succeed later, or at another node.
    pub fn is_retryable(&self) -> bool {
        match self {
            CallError::Node { error, .. } => error.data.retryable,
            CallError::Unreachable { .. } | CallError::Timeout { .. } => true,
            CallError::Refused { status, .. } => RETRYABLE_STATUSES.contains(status),
            CallError::Answer { .. } | CallError::NoMember { .. } => false,
        }
    }

    /// When the node asks the client to try again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Node { error, .. } => error.data.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }
}

/// Why a node's result is false or not proven.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It is malformed.
    #[error(transparent)]
    Invalid(#[from] InvalidJson),
    /// The proof is invalid.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// An epoch proof is invalid.
    #[error("its epoch proof is invalid: {0}")]
    Epoch(#[from] EpochProofError),
    /// Its newest block is of an earlier epoch than the newest proven one.
    #[error(
        "its newest block is of epoch {epoch}, but epoch {newest} has begun: the node is behind, or not correct"
    )]
    Behind {
        /// The epoch of its newest block.
        epoch: Epoch,
        /// The newest epoch that was proven to this client.
        newest: Epoch,
    },
    /// The status is `committed`, but the node has no receipt.
    #[error("it claims that transaction {0} is committed, but has no receipt for it")]
    NoReceipt(TransactionId),
    /// The result is about another transaction.
    #[error("it returned transaction {found}, but {asked} was requested")]
    OtherTransaction {
        /// The requested one.
        asked: TransactionId,
        /// The returned one.
        found: TransactionId,
    },
    /// The result is another block.
    #[error("it returned block {found}, but {asked} was requested")]
    OtherHeight {
        /// The requested one.
        asked: Height,
        /// The returned one.
        found: Height,
    },
    /// Two consecutive blocks of a result are not parent and child.
    #[error("block {0} does not follow the one before it")]
    Unlinked(Height),
    /// The node has no proof for the block.
    #[error("it has no proof that block {0} is final")]
    NoProof(Height),
    /// The proof is for another block at the same height.
    #[error("its proof is not for block {0}, but for another one")]
    OtherBlock(BlockHash),
    /// More blocks than requested.
    #[error("it returned {found} blocks, but at most {asked} were requested")]
    TooMany {
        /// The requested limit.
        asked: u32,
        /// The returned one.
        found: usize,
    },
}

/// Why a request of a client failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client has no nodes.
    #[error("a client needs the URL of at least one node")]
    NoNode,
    /// The URL is invalid.
    #[error("{url}: {reason}; give it as http://host:port (TLS is for a reverse proxy)")]
    Url {
        /// The given URL.
        url: String,
        /// The problem.
        reason: String,
    },
    /// The last call failed, permanently or after all attempts.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The last node that responded returned something that is false or not proven.
    #[error("{url}: the node cannot be trusted: {reason}")]
    Untrusted {
        /// The node.
        url: String,
        /// Why its result is refused.
        reason: Untrusted,
    },
    /// Too few members returned the same result, which none of them can prove.
    #[error(
        "only {alike} of the members at {asked} addresses agree, but {needed} must, so that one of them is correct; try again, or with nodes of more members{}",
        last_error.as_ref().map(|error| format!(" (last failure: {error})")).unwrap_or_default()
    )]
    NoAgreement {
        /// f + 1.
        needed: usize,
        /// The largest number of members with the same result.
        alike: usize,
        /// Number of addresses that got the request.
        asked: usize,
        /// The error of the last node without a result.
        last_error: Option<Box<CallError>>,
    },
}

impl ClientError {
    /// Whether another node, or the same one later, may succeed.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        match self {
            ClientError::NoNode | ClientError::Url { .. } | ClientError::NoAgreement { .. } => false,
            // An invalid or false result of one node does not suggest that other nodes are faulty.
            ClientError::Call(CallError::Answer { .. }) | ClientError::Untrusted { .. } => true,
            ClientError::Call(error) => error.is_retryable(),
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Call(error) => error.retry_after(),
            _ => None,
        }
    }
}
