//! The status of each peer, in plain types.

use std::time::{Duration, SystemTime};

use crate::identity::PeerKey;

/// Which side opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This node dialed.
    Outgoing,
    /// The member dialed.
    Incoming,
}

/// A configured address at which the last attempt reached no member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAddress {
    /// The member that the operator expects there; `None` if the configuration names no peer id.
    pub member: Option<PeerKey>,
    /// The address as it was written, without a peer id.
    pub address: String,
    /// Why the attempt failed, at most 200 bytes.
    pub reason: String,
}

/// One member or observer as seen from this node. Its numbers count from the start of the network,
/// or from the time when the peer was added or changed its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member's key.
    pub key: PeerKey,
    /// Whether a direct stream works in both directions now.
    pub connected: bool,
    /// The remote address of the current connection. That of an incoming connection cannot be
    /// dialed.
    pub address: Option<String>,
    /// When the current connection began to work.
    pub since: Option<SystemTime>,
    /// Which side opened the current connection.
    pub direction: Option<Direction>,
    /// The last measured time from a heartbeat to its answer. It includes the time spent queued
    /// behind other messages.
    pub round_trip: Option<Duration>,
    /// Direct messages received.
    pub messages_received: u64,
    /// Direct messages sent.
    pub messages_sent: u64,
    /// Bytes of direct messages received, without framing.
    pub bytes_in: u64,
    /// Bytes of direct messages sent, without framing.
    pub bytes_out: u64,
    /// Direct messages that currently wait to be sent.
    pub messages_waiting: usize,
    /// Direct messages dropped by this node: queue full, not connected, or waiting when the
    /// connection ended. Also messages of a peer that is no member.
    pub messages_dropped: u64,
    /// Attempts to connect to this member.
    pub dial_attempts: u64,
    /// Why the last connection ended or the last attempt failed.
    pub last_error: Option<String>,
    /// Name and version of the program that the member claimed when it was last connected, at most
    /// 64 characters of printable ASCII. Unverified.
    pub program: Option<String>,
}
