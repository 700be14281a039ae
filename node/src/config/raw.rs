//! The content of config files before it is checked: every setting with its default.
//!
//! Operators read the doc comments: `quorate config options` and CONFIGURATION.md are generated
//! from them.

use std::net::SocketAddr;
use std::path::PathBuf;

use quorate_rpc::RpcConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Role;
use super::check::MAX_VERIFY_THREADS;
use super::values::{flag, list};
use crate::layout;

/// The content of a config file, unchecked.
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

/// Paths of the node's files, relative to its home directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawFiles {
    /// The genesis: the parameters that all nodes of the network agree on.
    pub(super) genesis: PathBuf,
    /// The node's secret key, PKCS#8 PEM, mode 0600. `next-key.pem` in the same directory is the
    /// key that replaces it; both have the same passphrase.
    pub(super) key: PathBuf,
    /// The chain.
    pub(super) ledger: PathBuf,
    /// The journal: what the validator has signed. Never restore a backup of it: with an older
    /// journal the validator could contradict its votes.
    pub(super) journal: PathBuf,
}

/// The role of the node in the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNode {
    /// `validator` takes part in ordering while its key is in the committee. Before and after that,
    /// it follows the chain like an observer. `observer` follows the chain and serves clients with
    /// any other key, which validators must list in `p2p.observers`. It signs nothing.
    pub(super) role: Role,
}

/// How validators connect to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawP2p {
    /// Multiaddresses to listen on; at least one.
    #[serde(deserialize_with = "list")]
    pub(super) listen: Vec<String>,
    /// Multiaddresses under which other nodes reach this node, if they differ from those it listens
    /// on. Only these are announced.
    #[serde(deserialize_with = "list")]
    pub(super) advertise: Vec<String>,
    /// Multiaddresses of validators to connect to first. A few are enough: members announce the
    /// addresses of the others. An address that ends in `/p2p/` and a peer id also names a node to
    /// fetch blocks from. A node whose ledger is too old to know the present keys needs such an
    /// address.
    #[serde(deserialize_with = "list")]
    pub(super) bootstrap: Vec<String>,
    /// Public keys of observers that this validator admits, as `0x02…`; at most 32. It serves
    /// blocks to them, and they have no vote. A member's key has no effect here until the member is
    /// removed.
    #[serde(deserialize_with = "list")]
    pub(super) observers: Vec<String>,
}

/// The HTTP interface. rpc/README.md explains what happens at each limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRpc {
    /// IP address and port to listen on. With port 0 the system chooses the port.
    pub(super) listen: String,
    /// Largest body of a request, in bytes.
    pub(super) max_body_bytes: usize,
    /// Largest response in bytes, all results of a batch together. Errors do not count. The largest
    /// block must fit.
    pub(super) max_response_bytes: usize,
    /// Upper limit of the memory of all request bodies and responses at a time, in bytes. Those up
    /// to 64 KiB are not counted.
    pub(super) max_memory_bytes: usize,
    /// Upper limit of entries in a batch.
    pub(super) max_batch: usize,
    /// Upper limit of open connections. A sixteenth is reserved for clients on the node's own
    /// machine, unless `limit_loopback` is true.
    pub(super) max_connections: usize,
    /// Upper limit of requests at a time, including waiting ones and pages. Submissions may use
    /// three quarters of it; submissions and reads of the chain together seven eighths.
    pub(super) max_concurrent_requests: usize,
    /// Upper limit of the average number of requests per second from one client address; 0 disables
    /// the limit.
    pub(super) max_requests_per_second: usize,
    /// Upper limit of requests from one client address in a burst; no less than max_batch.
    pub(super) max_request_burst: usize,
    /// Whether the limits of client addresses also apply to clients on the same machine.
    #[serde(deserialize_with = "flag")]
    pub(super) limit_loopback: bool,
    /// Upper limit of connections that carry streams of blocks.
    pub(super) max_streams: usize,
    /// Upper limit of these connections from one client address.
    pub(super) max_streams_per_address: usize,
    /// Upper limit of subscriptions of one WebSocket.
    pub(super) max_subscriptions: usize,
    /// Upper limit of requests of one WebSocket that run at a time.
    pub(super) max_socket_requests: usize,
    /// Largest message that a WebSocket client may send, in bytes.
    pub(super) max_message_bytes: usize,
    /// Origins whose pages may use the interface from a browser, as `https://explorer.example`; `*`
    /// allows all origins.
    #[serde(deserialize_with = "list")]
    pub(super) allowed_origins: Vec<String>,
    /// Host names that clients may use in requests, as `node.example`, in addition to localhost,
    /// the names in p2p.advertise and all IP addresses; `*` allows all names.
    #[serde(deserialize_with = "list")]
    pub(super) allowed_hosts: Vec<String>,
    /// Whether the node serves the explorer, pages for browsers, at /.
    #[serde(deserialize_with = "flag")]
    pub(super) explorer: bool,
}

/// Administration of a running node by the user who runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAdmin {
    /// Path of the socket, relative to the home directory; both together have fewer than 108 bytes.
    /// An empty value disables it.
    pub(super) socket: PathBuf,
}

/// Threads that check signatures of transactions and messages of other validators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawVerification {
    /// Threads that check transactions. As many, but at least two, check messages.
    #[schemars(extend("x-default" = "one for each core"))]
    pub(super) threads: usize,
}

impl Default for RawFiles {
    fn default() -> Self {
        RawFiles {
            genesis: layout::GENESIS_FILE.into(),
            key: layout::KEY_FILE.into(),
            ledger: layout::LEDGER_FILE.into(),
            journal: layout::JOURNAL_FILE.into(),
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
        RawAdmin { socket: layout::ADMIN_SOCKET.into() }
    }
}

impl Default for RawVerification {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        RawVerification { threads: cores.min(MAX_VERIFY_THREADS) }
    }
}

impl RawRpc {
    /// All settings except the address to listen on, which may be invalid.
    pub(super) fn settings(self, listen: SocketAddr) -> RpcConfig {
        // Names every field, so that the compiler finds a setting that is read but not used.
        let RawRpc {
            listen: _,
            max_body_bytes,
            max_response_bytes,
            max_memory_bytes,
            max_batch,
            max_connections,
            max_concurrent_requests,
            max_requests_per_second,
            max_request_burst,
            limit_loopback,
            max_streams,
            max_streams_per_address,
            max_subscriptions,
            max_socket_requests,
            max_message_bytes,
            allowed_origins,
            allowed_hosts,
            explorer,
        } = self;
        RpcConfig {
            listen,
            max_body_bytes,
            max_response_bytes,
            max_memory_bytes,
            max_batch,
            max_connections,
            max_concurrent_requests,
            max_requests_per_second,
            max_request_burst,
            limit_loopback,
            max_streams,
            max_streams_per_address,
            max_subscriptions,
            max_socket_requests,
            max_message_bytes,
            allowed_origins,
            allowed_hosts,
            explorer,
            ..RpcConfig::default()
        }
    }
}
