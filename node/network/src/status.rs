//! How each member is doing, in plain types.

use std::time::{Duration, SystemTime};

use crate::identity::PeerKey;

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This node dialed.
    Outgoing,
    /// The member dialed.
    Incoming,
}

/// An address of the configuration at which no member was reached when it was last tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAddress {
    /// The member whose address it is to be; none if the configuration does not say whose it is.
    pub member: Option<PeerKey>,
    /// The address as it was written, without a peer id.
    pub address: String,
    /// Why not, at most 200 bytes.
    pub reason: String,
}

/// One member as seen from this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member's key.
    pub key: PeerKey,
    /// Whether a direct stream works in both directions now.
    pub connected: bool,
    /// The remote address of the present connection. Of an incoming one this is not an address to dial.
    pub address: Option<String>,
    /// When the present connection began to work.
    pub since: Option<SystemTime>,
    /// Who opened the present connection.
    pub direction: Option<Direction>,
    /// The last measured time from a heartbeat to its answer, including waiting behind other messages.
    pub round_trip: Option<Duration>,
    /// Direct messages received since the start.
    pub messages_in: u64,
    /// Direct messages sent since the start.
    pub messages_out: u64,
    /// Bytes of direct messages received, without framing.
    pub bytes_in: u64,
    /// Bytes of direct messages sent, without framing.
    pub bytes_out: u64,
    /// Direct messages that wait to be sent now.
    pub messages_waiting: usize,
    /// Direct messages lost here: queue full, not connected, or waiting when the connection ended.
    pub messages_dropped: u64,
    /// Attempts to connect to this member since the start.
    pub dial_attempts: u64,
    /// Why the last connection ended or the last attempt failed.
    pub last_error: Option<String>,
    /// Name and version of the program that the member said it was when it was last connected, at most 64 characters of
    /// printable ASCII. Nobody has checked it.
    pub program: Option<String>,
}
