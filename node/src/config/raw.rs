//! What config files say, before it is checked: every setting with its default.
//!
//! The comments are what operators read: `quorate config options` and CONFIGURATION.md are made of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use quorate_rpc::RpcConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Role;
use super::check::MAX_VERIFY_THREADS;
use super::values::{flag, list};
use crate::home;

/// What a config file says, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawConfig {
    pub(super) files: RawFiles,
    pub(super) node: RawNode,
    pub(super) p2p: RawP2p,
    pub(super) rpc: RawRpc,
    pub(super) admin: RawAdmin,
    pub(super) verification: RawVerification,
}

/// Where the files of the node are. Paths are relative to its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFiles {
    /// What the network agreed on.
    pub(super) genesis: PathBuf,
    /// The validator's secret key, PKCS#8 PEM, mode 0600.
    pub(super) key: PathBuf,
    /// The chain.
    pub(super) ledger: PathBuf,
    /// What the validator has promised. It must never go back in time, so no backup of it may be restored.
    pub(super) journal: PathBuf,
}

/// What the node does in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNode {
    /// `validator` orders with the key of a member of the genesis. `observer` follows and serves with any other key, which
    /// validators must list in `p2p.observers`, and signs nothing.
    pub(super) role: Role,
}

/// How validators reach each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawP2p {
    /// Multiaddresses to listen on; at least one.
    #[serde(deserialize_with = "list")]
    pub(super) listen: Vec<String>,
    /// Multiaddresses under which others reach this node, if they are not those it listens on; they are told these alone.
    #[serde(deserialize_with = "list")]
    pub(super) advertise: Vec<String>,
    /// Multiaddresses of validators to look for first; a few are enough, since members tell each other about the rest.
    #[serde(deserialize_with = "list")]
    pub(super) bootstrap: Vec<String>,
    /// Public keys of observers that this validator admits, as `0x02…`; at most 32. They are served blocks and have no vote.
    #[serde(deserialize_with = "list")]
    pub(super) observers: Vec<String>,
}

/// The HTTP interface. rpc/README.md says what happens at each limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRpc {
    /// IP address and port to listen on. Port 0 lets the system choose.
    pub(super) listen: String,
    /// Most bytes of a request's body.
    pub(super) max_body_bytes: usize,
    /// Most bytes of an answer, of all answers of a batch together. The largest block must fit.
    pub(super) max_response_bytes: usize,
    /// Most bytes of all request bodies and answers at a time, those up to 64 KiB not counted.
    pub(super) max_memory_bytes: usize,
    /// Most entries of a batch.
    pub(super) max_batch: usize,
    /// Most open connections. A sixteenth is kept for clients on the node's own machine, unless `limit_loopback` is true.
    pub(super) max_connections: usize,
    /// Most requests at a time, waiting ones and pages included. A quarter is kept from submissions, half of it for questions about the node itself.
    pub(super) max_concurrent_requests: usize,
    /// Most requests per second of one client address in the long run; 0 sets no limit.
    pub(super) max_requests_per_second: usize,
    /// Most requests of one client address at once; no less than max_batch.
    pub(super) max_request_burst: usize,
    /// Whether clients on the same machine are limited as others are.
    #[serde(deserialize_with = "flag")]
    pub(super) limit_loopback: bool,
    /// Most connections that carry streams of blocks.
    pub(super) max_streams: usize,
    /// Most of them from one client address.
    pub(super) max_streams_per_address: usize,
    /// Most subscriptions of one WebSocket.
    pub(super) max_subscriptions: usize,
    /// Most requests of one WebSocket that run at a time.
    pub(super) max_socket_requests: usize,
    /// Most bytes of a message that a WebSocket sends to the node.
    pub(super) max_message_bytes: usize,
    /// Origins whose pages may use the interface from a browser, as `https://explorer.example`; `*` is all of them.
    #[serde(deserialize_with = "list")]
    pub(super) allowed_origins: Vec<String>,
    /// Names by which clients may call the node, as `node.example`, besides localhost, the names in p2p.advertise and all IP addresses; `*` is all names.
    #[serde(deserialize_with = "list")]
    pub(super) allowed_hosts: Vec<String>,
    /// Whether there are pages for people at /.
    #[serde(deserialize_with = "flag")]
    pub(super) explorer: bool,
}

/// How its own user administers a running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    /// Path of the socket; an empty text: there is none. Fewer than 108 bytes in all.
    pub(super) socket: PathBuf,
}

/// Signatures of transactions, and messages of other validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVerification {
    /// Threads that check transactions, and as many, at least two, that check messages.
    #[schemars(extend("x-default" = "one for each core"))]
    pub(super) threads: usize,
}

impl Default for RawFiles {
    fn default() -> Self {
        RawFiles {
            genesis: home::GENESIS_FILE.into(),
            key: home::KEY_FILE.into(),
            ledger: home::LEDGER_FILE.into(),
            journal: home::JOURNAL_FILE.into(),
        }
    }
}

impl Default for RawP2p {
    fn default() -> Self {
        RawP2p {
            listen: vec!["/ip4/0.0.0.0/tcp/9000".into()],
            advertise: Vec::new(),
            bootstrap: Vec::new(),
            observers: Vec::new(),
        }
    }
}

impl Default for RawRpc {
    fn default() -> Self {
        let defaults = RpcConfig::default();
        RawRpc {
            listen: "127.0.0.1:8545".into(),
            max_body_bytes: defaults.max_body_bytes,
            max_response_bytes: defaults.max_response_bytes,
            max_memory_bytes: defaults.max_memory_bytes,
            max_batch: defaults.max_batch,
            max_connections: defaults.max_connections,
            max_concurrent_requests: defaults.max_concurrent_requests,
            max_requests_per_second: defaults.max_requests_per_second,
            max_request_burst: defaults.max_request_burst,
            limit_loopback: defaults.limit_loopback,
            max_streams: defaults.max_streams,
            max_streams_per_address: defaults.max_streams_per_address,
            max_subscriptions: defaults.max_subscriptions,
            max_socket_requests: defaults.max_socket_requests,
            max_message_bytes: defaults.max_message_bytes,
            allowed_origins: defaults.allowed_origins,
            allowed_hosts: defaults.allowed_hosts,
            explorer: defaults.explorer,
        }
    }
}

impl Default for RawAdmin {
    fn default() -> Self {
        RawAdmin { socket: home::ADMIN_SOCKET.into() }
    }
}

impl Default for RawVerification {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        RawVerification { threads: cores.min(MAX_VERIFY_THREADS) }
    }
}

impl RawRpc {
    /// All but where to listen, which may be no address.
    pub(super) fn settings(self, listen: SocketAddr) -> RpcConfig {
        RpcConfig {
            listen,
            max_body_bytes: self.max_body_bytes,
            max_response_bytes: self.max_response_bytes,
            max_memory_bytes: self.max_memory_bytes,
            max_batch: self.max_batch,
            max_connections: self.max_connections,
            max_concurrent_requests: self.max_concurrent_requests,
            max_requests_per_second: self.max_requests_per_second,
            max_request_burst: self.max_request_burst,
            limit_loopback: self.limit_loopback,
            max_streams: self.max_streams,
            max_streams_per_address: self.max_streams_per_address,
            max_subscriptions: self.max_subscriptions,
            max_socket_requests: self.max_socket_requests,
            max_message_bytes: self.max_message_bytes,
            allowed_origins: self.allowed_origins,
            allowed_hosts: self.allowed_hosts,
            explorer: self.explorer,
            ..RpcConfig::default()
        }
    }
}
