//! The configuration of the network layer, and every limit that it enforces.

pub(crate) mod address_settings;
mod check;

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::identity::PeerKey;

/// The largest value allowed for any limit on a single message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest value allowed for the sum of bytes that may wait in one queue.
pub const QUEUE_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The longest [`NetworkConfig::network_name`], in bytes.
pub const NETWORK_NAME_BYTES_MAX: usize = 80;

/// The most members a network can have.
pub const MEMBERS_MAX: usize = 256;

/// The most observers a member can admit. Each may use as much memory as a member, see
/// [`NetworkLimits`], but for direct messages that wait to be taken.
pub const OBSERVERS_MAX: usize = 96;

/// Keys whose limits are kept at the same time: those of all peers, and of as many removed ones
/// whose events still wait.
pub(crate) const KEPT_LIMITS_MAX: usize = 2 * (MEMBERS_MAX + OBSERVERS_MAX);

/// Everything [`start`](crate::start()) needs.
#[derive(Clone)]
pub struct NetworkConfig {
    /// The validator's secret key. The peer id is derived from it; it never appears in logs or
    /// errors.
    pub secret_key: Zeroizing<[u8; 32]>,
    /// The members; every peer that is admitted may connect to them. A node whose own key is in
    /// this list is a member, any other node is an observer. At most [`MEMBERS_MAX`].
    /// [`Network::set_peers`](crate::Network::set_peers) changes this list and the next one while
    /// the node runs.
    pub members: Vec<PeerKey>,
    /// Keys that may connect without being members, to send requests and to receive the messages
    /// for observers. The node does not dial observers, sends them no gossip, and accepts only
    /// requests from them. At most [`OBSERVERS_MAX`].
    pub observers: Vec<PeerKey>,
    /// Names the chain, usually its id in hex. It is part of every protocol name and of the gossip
    /// topic, so that nodes of different chains never exchange a message. 1 to
    /// [`NETWORK_NAME_BYTES_MAX`] ASCII letters, digits, `-` or `_`.
    pub network_name: String,
    /// The addresses to listen on, as multiaddresses such as `/ip4/0.0.0.0/tcp/9000`. With port 0
    /// the system chooses the port.
    pub listen: Vec<String>,
    /// Addresses under which other nodes can reach this node, if they differ from the listen
    /// addresses. If any is given, the node does not announce its listen addresses.
    pub advertise: Vec<String>,
    /// Addresses to dial first: `/ip4/…/tcp/…` or `/dns4/…/tcp/…`, with or without `/p2p/…`. One
    /// member that answers is enough; the node discovers the others through it. The node does not
    /// dial an address with a peer id while that peer is not a member.
    pub bootstrap: Vec<String>,
    /// Addresses of members from before this start, as
    /// [`Network::known_addresses`](crate::Network::known_addresses) returned them. The node dials
    /// them in addition to the addresses above, whose host names it may be unable to resolve now.
    /// Entries without an IP address are ignored. Those of keys that are not members are kept for
    /// when they become members.
    pub known: Vec<(PeerKey, String)>,
    /// Sizes of queues and messages.
    pub limits: NetworkLimits,
    /// Intervals and timeouts.
    pub timing: NetworkTiming,
}

impl fmt::Debug for NetworkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkConfig")
            .field("secret_key", &"(hidden)")
            .field("members", &self.members)
            .field("observers", &self.observers)
            .field("network_name", &self.network_name)
            .field("listen", &self.listen)
            .field("advertise", &self.advertise)
            .field("bootstrap", &self.bootstrap)
            .field("known", &self.known)
            .field("limits", &self.limits)
            .field("timing", &self.timing)
            .finish()
    }
}

/// Limits on memory. One peer uses at most about the sum of `outbound_bytes`, `inbound_bytes`,
/// `gossip_bytes`, `publish_messages` gossip messages and, in both directions, `requests_per_peer`
/// requests with their answers. Gossip additionally keeps about a second of traffic for all peers
/// together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLimits {
    /// Longest message on a direct stream, in bytes. A peer that sends a longer one is
    /// disconnected.
    pub frame_bytes: usize,
    /// Longest gossip message, in bytes.
    pub gossip_message_bytes: usize,
    /// Longest request, in bytes.
    pub request_bytes: usize,
    /// Longest answer that this node sends to a request, in bytes.
    pub response_bytes: usize,
    /// Longest answer that this node accepts, in bytes.
    /// [`Network::set_accepted_response_bytes`](crate::Network::set_accepted_response_bytes) changes
    /// it while the node runs.
    pub accepted_response_bytes: usize,
    /// Messages that may wait to be sent to one peer. If the queue is full, the oldest is dropped.
    pub outbound_messages: usize,
    /// Bytes that may wait to be sent to one peer. If the queue is full, the oldest messages are
    /// dropped.
    pub outbound_bytes: usize,
    /// Direct messages from one peer that may wait until the node takes them. When this many wait,
    /// the node stops reading that peer's stream until there is room.
    pub inbound_messages: usize,
    /// Bytes of direct messages from one peer that may wait until the node takes them; as above.
    pub inbound_bytes: usize,
    /// Gossip messages relayed by one peer that may wait until the node takes them. New ones are
    /// dropped when this many wait.
    pub gossip_messages: usize,
    /// Bytes of gossip relayed by one peer that may wait until the node takes them; as above.
    pub gossip_bytes: usize,
    /// Own messages that may wait to be gossiped. When this many wait, `publish` returns `Busy`.
    /// Also the limit for the gossip messages, own and relayed, that may wait for one slow peer;
    /// further ones are dropped.
    pub publish_messages: usize,
    /// Bytes of own messages that may wait to be gossiped; as above.
    pub publish_bytes: usize,
    /// Requests in flight to one peer, and as many from it. Further ones are refused as busy.
    pub requests_per_peer: usize,
    /// Incoming connections that have not authenticated yet. Further ones are closed at once.
    pub pending_incoming: u32,
    /// Addresses kept for each member, per source (announced by the member, reported by others).
    pub addresses_per_member: usize,
}

impl Default for NetworkLimits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            frame_bytes: 8 * MIB,
            gossip_message_bytes: MIB / 4,
            request_bytes: MIB,
            response_bytes: 8 * MIB,
            accepted_response_bytes: 8 * MIB,
            outbound_messages: 4096,
            outbound_bytes: 32 * MIB,
            inbound_messages: 1024,
            inbound_bytes: 16 * MIB,
            gossip_messages: 512,
            gossip_bytes: 16 * MIB,
            publish_messages: 256,
            publish_bytes: 16 * MIB,
            requests_per_peer: 8,
            pending_incoming: 64,
            addresses_per_member: 8,
        }
    }
}

/// Timeouts and intervals. The defaults suit nodes in one data centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkTiming {
    /// Time between two heartbeats on a direct stream.
    pub heartbeat_interval: Duration,
    /// A peer is disconnected when no byte arrives from it for this long. Must be above
    /// `heartbeat_interval`.
    pub silent_timeout: Duration,
    /// Delay before the first attempt to reconnect. It doubles with every failure, and has jitter.
    pub redial_min: Duration,
    /// Upper bound of that delay.
    pub redial_max: Duration,
    /// How long the member with the larger key waits before it dials, too. The wait is random, up
    /// to half longer than this. It should be longer than the other side normally needs to connect.
    pub dial_grace: Duration,
    /// Timeout of an attempt to connect, handshake included. An incoming connection has as long to
    /// authenticate, and then as long again to open its direct stream.
    pub dial_timeout: Duration,
    /// Timeout for the answer to a request, and for this node's own answer to one.
    pub request_timeout: Duration,
    /// Delay between two lookups of members that are not connected. It doubles with every round.
    pub lookup_min: Duration,
    /// Upper bound of that delay.
    pub lookup_max: Duration,
    /// Timeout for closing a connection in good order. After that the connection is dropped.
    pub close_timeout: Duration,
}

impl Default for NetworkTiming {
    fn default() -> Self {
        Self {
            heartbeat_interval: Duration::from_secs(1),
            silent_timeout: Duration::from_secs(5),
            redial_min: Duration::from_millis(100),
            redial_max: Duration::from_secs(3),
            dial_grace: Duration::from_millis(200),
            dial_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(5),
            lookup_min: Duration::from_millis(200),
            lookup_max: Duration::from_secs(10),
            close_timeout: Duration::from_millis(500),
        }
    }
}
