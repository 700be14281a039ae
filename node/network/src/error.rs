//! The errors of the network layer, one enum per operation.

use std::io;
use std::time::Duration;

use crate::config::address_settings::AddressProblem;
use crate::identity::{InvalidKey, InvalidSecret};

/// Why a network could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This node's secret key is unusable.
    #[error(transparent)]
    Secret(#[from] InvalidSecret),
    /// The lists of members and observers are unusable.
    #[error(transparent)]
    Peers(#[from] PeersError),
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
    #[error("network setting {name} {reason}")]
    Setting {
        /// The field.
        name: &'static str,
        /// Its value and the allowed range.
        reason: String,
    },
    /// Some addresses of the configuration cannot be used; each comes with its reason.
    #[error("addresses cannot be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Addresses(Vec<AddressProblem>),
    /// An address could not be bound, usually because another process uses the port.
    #[error("cannot listen on {address}: {source}; check whether another node or process uses the port")]
    Listen {
        /// The address as given.
        address: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The cryptographic handshake or gossip could not be set up.
    #[error("the network layer could not be set up: {0}")]
    Setup(String),
}

/// Why the lists of members and observers were refused. Nothing was changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeersError {
    /// A key of the lists is unusable.
    #[error(transparent)]
    Key(#[from] InvalidKey),
    /// A list is too long.
    #[error("the list of {list} has {count} keys, but at most {limit} are allowed")]
    TooMany {
        /// `members` or `observers`.
        list: &'static str,
        /// Its length.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many peers were removed whose events still wait. Take the events, then try again.
    #[error("the events of too many removed peers wait (limit {limit}): take them, then try again")]
    EventsWaiting {
        /// How many keys may be listed or have waiting events.
        limit: usize,
    },
    /// The network was shut down.
    #[error("the network was shut down")]
    Closed,
}

/// Why a message was not accepted for gossip.
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
    /// Too many messages wait to be sent; retry later.
    #[error("too many messages wait to be gossiped; try again later")]
    Busy,
    /// The network was shut down.
    #[error("the network was shut down")]
    Closed,
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The key is neither a member's nor an observer's.
    #[error("the peer is not part of this network")]
    UnknownPeer,
    /// There is no connection to that member now.
    #[error("the peer is not connected")]
    NotConnected,
    /// The request is above the limit.
    #[error("a request of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The maximum number of requests to this member is in flight.
    #[error("{limit} requests to this member are already in flight, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The member refused to answer this request.
    #[error("the member refused to answer")]
    Refused,
    /// The member has too many pending requests. Try another member, or retry later.
    #[error("the member has too many pending requests; try another one, or retry later")]
    Busy,
    /// The member's answer would have been above the limit.
    #[error("the member's answer exceeds its size limit")]
    AnswerTooLarge,
    /// No answer arrived within the timeout. The member may have processed the request.
    #[error("no answer within {after:?}")]
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The connection ended, or the answer was malformed. The member may have processed the
    /// request.
    #[error("the request failed: {reason}")]
    Failed {
        /// The cause.
        reason: String,
    },
    /// The network was shut down.
    #[error("the network was shut down")]
    Closed,
}
