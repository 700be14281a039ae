//! What can go wrong between a client and its nodes.

use std::time::Duration;

use quorate_api::{InvalidJson, MAX_MESSAGE_BYTES, RpcError, cut_off};
use quorate_ledger::{BlockHash, Height, ProofError, TransactionId};

/// Why one call to one node gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node answered with an error.
    #[error("{url}: {error}")]
    Node {
        /// The node.
        url: String,
        /// What it said.
        error: RpcError,
    },
    /// The node cannot be reached, or hung up.
    #[error("{url}: cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        url: String,
        /// What happened on the way.
        reason: String,
    },
    /// The node, or something before it, refused the request as HTTP.
    #[error("{url}: refused the request with HTTP status {status}")]
    Refused {
        /// The node.
        url: String,
        /// For example 503 when it is busy.
        status: u16,
    },
    /// No answer in time. Whether the request was carried out is open.
    #[error("{url}: no answer within {} ms", after.as_millis())]
    Timeout {
        /// The node.
        url: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The answer is not what the interface promises, or larger than we take.
    #[error("{url}: the answer makes no sense: {reason}; is it a Quorate node of this version?")]
    Answer {
        /// The node.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The word of members was asked for, and the node is none.
    #[error("{url}: its key is not in the committee of this network, so its word does not count")]
    NoMember {
        /// The node.
        url: String,
    },
}

/// What a parser says of an answer can have as many bytes as the answer.
pub(crate) fn brief(reason: String) -> String {
    cut_off(reason, MAX_MESSAGE_BYTES)
}

/// HTTP statuses after which the same request may succeed later: too slow, too many, busy, gateway trouble.
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

    /// When the node wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            CallError::Node { error, .. } => error.data.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }
}

/// What a node told that is not so, or not proven.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It is not even well-formed.
    #[error(transparent)]
    Invalid(#[from] InvalidJson),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A `committed` without its receipt.
    #[error("it calls transaction {0} committed and has no receipt for it")]
    NoReceipt(TransactionId),
    /// The answer is about another transaction.
    #[error("it answered about transaction {found} where {asked} was asked for")]
    OtherTransaction {
        /// What was asked for.
        asked: TransactionId,
        /// What came.
        found: TransactionId,
    },
    /// The answer is about another block.
    #[error("it answered with block {found} where {asked} was asked for")]
    OtherHeight {
        /// What was asked for.
        asked: Height,
        /// What came.
        found: Height,
    },
    /// Two consecutive blocks of an answer are not parent and child.
    #[error("block {0} does not follow the one before it")]
    Unlinked(Height),
    /// A block for which the node has no proof.
    #[error("it has no proof that block {0} is final")]
    NoProof(Height),
    /// A proof for another block at the same height.
    #[error("its proof is for another block than {0}")]
    OtherBlock(BlockHash),
    /// More than was asked for.
    #[error("it answered with {found} blocks where at most {asked} were asked for")]
    TooMany {
        /// Most that were asked for.
        asked: u32,
        /// What came.
        found: usize,
    },
}

/// Why a client could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A client without nodes.
    #[error("a client needs the URL of at least one node")]
    NoNode,
    /// An address that cannot be asked.
    #[error("{url}: {reason}; give it as http://host:port (TLS is for a reverse proxy)")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The last call failed, for good or after all tries.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The last node that answered told something that is not proven.
    #[error("{url}: the node cannot be trusted: {reason}")]
    Untrusted {
        /// The node.
        url: String,
        /// What it told.
        reason: Untrusted,
    },
    /// Too few nodes say the same of what none can prove.
    #[error(
        "{alike} members agree, of those at {asked} addresses; {needed} must for one of them to be honest; ask again, or nodes of more members{}",
        last_error.as_ref().map(|error| format!(" (last failure: {error})")).unwrap_or_default()
    )]
    NoAgreement {
        /// f + 1.
        needed: usize,
        /// Members with the same answer, at most.
        alike: usize,
        /// Addresses that were asked.
        asked: usize,
        /// What the last one said that did not answer.
        last_error: Option<Box<CallError>>,
    },
}

impl ClientError {
    /// Whether another node, or the same one later, may do better.
    pub(crate) fn is_worth_another_try(&self) -> bool {
        match self {
            ClientError::NoNode | ClientError::Url { .. } | ClientError::NoAgreement { .. } => false,
            // A node that makes no sense or lies says nothing about the others.
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
