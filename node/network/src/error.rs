//! What can go wrong, one enum per operation.

use std::io;
use std::time::Duration;

use crate::identity::{InvalidKey, InvalidSecret};
use crate::settings::AddressProblem;

/// Why a network could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The own key is unusable.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// A member's key is unusable.
    #[error(transparent)]
    Member(#[from] InvalidKey),
    /// The network name cannot be part of a protocol name.
    #[error(
        "the network name {name:?} must be 1 to {} ASCII letters, digits, '-' or '_'",
        crate::config::NETWORK_NAME_BYTES_MAX
    )]
    NetworkName {
        /// The name as given, shortened when very long.
        name: String,
    },
    /// A limit or time is out of range.
    #[error("{name} {reason}")]
    Setting {
        /// The field.
        name: &'static str,
        /// Its value and the allowed range.
        reason: String,
    },
    /// Addresses that cannot be used, for each of these reasons.
    #[error("addresses cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Addresses(Vec<AddressProblem>),
    /// An address could not be bound, usually because another program uses the port.
    #[error("cannot listen on {address}: {source}; is another node running, or the port in use?")]
    Listen {
        /// The address as given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The cryptographic handshake or gossip could not be set up.
    #[error("the network layer could not be set up: {0}")]
    Setup(String),
}

/// Why a message was not taken for gossip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message is above the limit.
    #[error("a gossip message of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Too much is waiting to be sent; try again a little later.
    #[error("too many messages wait to be gossiped; try again later")]
    Busy,
    /// The network was shut down.
    #[error("the network was shut down")]
    Closed,
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The key is not that of a member.
    #[error("not a member of this network")]
    UnknownPeer,
    /// There is no connection to that member now.
    #[error("not connected")]
    NotConnected,
    /// The request is above the limit.
    #[error("a request of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// As many requests to this member are under way as are allowed.
    #[error("{limit} requests to this member are already under way")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The member refused to answer this request.
    #[error("the member refused to answer")]
    Refused,
    /// The member has too much to do; try another one, or later.
    #[error("the member is busy")]
    Busy,
    /// The member's answer would have been above the limit.
    #[error("the answer is above the limit")]
    AnswerTooLarge,
    /// No answer came in time. The member may have seen the request.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The connection ended, or the answer was malformed. The member may have seen the request.
    #[error("the request failed: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The network was shut down.
    #[error("the network was shut down")]
    Closed,
}
