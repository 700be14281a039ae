//! Settings: the listen address and the limits.

mod names;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use quorate_api::{DEFAULT_WAIT_MS, MAX_WAIT_MS};

use names::{is_host, is_origin};

/// Local settings of the HTTP interface, with all its limits. The documentation names the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcConfig {
    /// The address to listen on. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Most open connections. Further ones get 503 and are closed. A sixteenth is reserved for
    /// clients on this machine, unless [`RpcConfig::limit_loopback`] is set.
    pub max_connections: usize,
    /// Most JSON-RPC requests at a time, including waiting ones and pages of the explorer. Further
    /// ones get 503. Submissions take at most three quarters, submissions and reads of the ledger
    /// together seven eighths; the rest is reserved for requests about the node itself.
    pub max_concurrent_requests: usize,
    /// Most bytes of a request's body. Somewhat more than twice the largest transaction must fit.
    pub max_body_bytes: usize,
    /// Most bytes of a response, for a batch of all its responses together. The largest block must
    /// fit.
    pub max_response_bytes: usize,
    /// Most bytes of all request bodies and responses at a time; those up to 64 KiB are not
    /// counted. If this is exceeded, requests are refused with 503.
    pub max_memory_bytes: usize,
    /// Most entries of a batch.
    pub max_batch: usize,
    /// Most requests of one client address per second in the long run. Each entry of a batch
    /// counts. Further ones get 429. 0 sets no limit.
    pub max_requests_per_second: usize,
    /// Most requests of one client address at once, after it has been quiet for a while. A whole
    /// batch must fit.
    pub max_request_burst: usize,
    /// Whether clients on this machine are limited like others. Set it if one of them is a proxy
    /// for many clients.
    pub limit_loopback: bool,
    /// Most submissions without a wait (`wait: none`) in progress. Further ones are refused as
    /// `overloaded`.
    pub max_background_submissions: usize,
    /// Most reads of whole blocks at a time; further ones wait.
    pub max_block_reads: usize,
    /// Most connections that carry streams: WebSockets and Server-Sent Events together. Further
    /// ones get 503. Each also counts as a connection.
    pub max_streams: usize,
    /// Most of them from one address, where an IPv6 network of 64 bits counts as one. Further ones
    /// get
    /// 429. All clients of a reverse proxy have its address.
    pub max_streams_per_address: usize,
    /// Most subscriptions of one WebSocket. Further ones are refused as `overloaded`.
    pub max_subscriptions: usize,
    /// Most requests of one WebSocket that run at a time; a batch counts as one. Further ones are
    /// read when one of them is complete.
    pub max_socket_requests: usize,
    /// Most bytes of a message that a client sends over a WebSocket; a larger one closes it.
    /// Somewhat more than twice the largest transaction must fit.
    pub max_message_bytes: usize,
    /// Origins whose pages may use the interface from a browser, such as
    /// `https://explorer.example`; `*` is all origins. Requests without an `Origin` do not come
    /// from a page and are always served.
    pub allowed_origins: Vec<String>,
    /// Names that clients may use for the node in `Host`, besides `localhost` and all IP addresses;
    /// `*` is all names.
    pub allowed_hosts: Vec<String>,
    /// Whether the explorer serves pages at `/`. They show only results of the methods.
    pub explorer: bool,
    /// How long a reader of a stream may take for 64 KiB, or for a smaller message. The stream of a
    /// slower one ends with the height from which to continue. Has no effect unless shorter than
    /// [`RpcConfig::write_stall_timeout`].
    pub stream_write_timeout: Duration,
    /// How long a stream is silent before the node sends a sign of life. A WebSocket is closed if
    /// its client has been silent three times as long.
    pub stream_keep_alive: Duration,
    /// How long a request's head may take, and how long a connection may be idle between two
    /// requests.
    pub header_read_timeout: Duration,
    /// How long a request's body may take.
    pub body_read_timeout: Duration,
    /// How long a client may take nothing of a response.
    pub write_stall_timeout: Duration,
    /// How long `tx_submit` waits by default.
    pub default_wait: Duration,
    /// How long `tx_submit` waits at most, whatever the request says.
    pub max_wait: Duration,
    /// How long requests in flight may take after the server begins to stop.
    pub shutdown_grace: Duration,
}

impl Default for RpcConfig {
    fn default() -> Self {
        RpcConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8545)),
            max_connections: 1024,
            max_concurrent_requests: 1024,
            max_body_bytes: 4 << 20,
            max_response_bytes: 16 << 20,
            max_memory_bytes: 256 << 20,
            max_batch: 100,
            max_requests_per_second: 5000,
            max_request_burst: 10_000,
            limit_loopback: false,
            max_background_submissions: 4096,
            max_block_reads: 4,
            max_streams: 128,
            max_streams_per_address: 16,
            max_subscriptions: 8,
            max_socket_requests: 32,
            max_message_bytes: 1 << 20,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            explorer: true,
            stream_write_timeout: Duration::from_secs(10),
            stream_keep_alive: Duration::from_secs(15),
            header_read_timeout: Duration::from_secs(15),
            body_read_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(20),
            default_wait: Duration::from_millis(DEFAULT_WAIT_MS),
            max_wait: Duration::from_millis(MAX_WAIT_MS),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// A setting with which nothing could be served, or which was probably meant in another unit. Its
/// text begins with the name of the setting, so that a caller can prefix the section.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpcProblem {
    /// A number outside of its range.
    #[error("{setting} is {value}: choose {rule}")]
    Number {
        /// Name of the field in [`RpcConfig`].
        setting: &'static str,
        /// Its value.
        value: usize,
        /// The allowed values.
        rule: String,
    },
    /// An entry of the allowed origins is not an origin.
    #[error(
        "allowed_origins contains {0:?}: write an origin as a browser does, such as https://explorer.example, or *"
    )]
    Origin(String),
    /// An entry of the allowed hosts is not a host name.
    #[error(
        "allowed_hosts contains {0:?}: write a host name in lower case without a port, such as node.example, or *"
    )]
    Host(String),
}

/// Why the HTTP interface did not start.
#[derive(Debug, thiserror::Error)]
pub enum RpcStartError {
    /// The settings are invalid, for each of these reasons.
    #[error("the RPC settings are invalid: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<RpcProblem>),
    /// Listening on the address failed.
    #[error(
        "cannot listen for RPC on {address}: {source}; stop the program that uses the port or choose another listen address"
    )]
    Bind {
        /// The address in the configuration.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// A larger number was probably meant in another unit.
const MOST_BYTES: usize = 16 << 30;
const MOST: usize = 1_000_000;

/// The lower limit for the bytes of a request: the smallest transaction fits, and every method
/// without a transaction.
const LEAST_REQUEST_BYTES: usize = 512;

/// The lower limit for the bytes of a response: every error fits, and the reports of a node about
/// itself.
const LEAST_RESPONSE_BYTES: usize = 16 << 10;

/// The lower limit for the memory of large requests and responses: the size from which they count
/// as large.
const LEAST_MEMORY_BYTES: usize = 64 << 10;

impl RpcConfig {
    /// All problems of the settings; empty if they are valid.
    pub fn problems(&self) -> Vec<RpcProblem> {
        let counts = [
            ("max_connections", self.max_connections, 1, MOST),
            ("max_concurrent_requests", self.max_concurrent_requests, 1, MOST),
            ("max_body_bytes", self.max_body_bytes, LEAST_REQUEST_BYTES, MOST_BYTES),
            ("max_response_bytes", self.max_response_bytes, LEAST_RESPONSE_BYTES, MOST_BYTES),
            ("max_memory_bytes", self.max_memory_bytes, LEAST_MEMORY_BYTES, MOST_BYTES),
            ("max_batch", self.max_batch, 1, MOST),
            ("max_request_burst", self.max_request_burst, 1, MOST),
            ("max_background_submissions", self.max_background_submissions, 1, MOST),
            ("max_block_reads", self.max_block_reads, 1, MOST),
            ("max_streams", self.max_streams, 1, MOST),
            ("max_streams_per_address", self.max_streams_per_address, 1, MOST),
            ("max_subscriptions", self.max_subscriptions, 1, MOST),
            ("max_socket_requests", self.max_socket_requests, 1, MOST),
            ("max_message_bytes", self.max_message_bytes, LEAST_REQUEST_BYTES, MOST_BYTES),
        ];
        let outside = counts.into_iter().filter(|(_, value, least, most)| !(least..=most).contains(&value));
        let mut problems: Vec<_> = outside
            .map(|(setting, value, least, most)| RpcProblem::Number {
                setting,
                value,
                rule: format!("{least} to {most}"),
            })
            .collect();
        problems.extend(self.problem_of_rates());
        let odd = self.allowed_origins.iter().filter(|origin| !is_origin(origin));
        problems.extend(odd.cloned().map(RpcProblem::Origin));
        let odd = self.allowed_hosts.iter().filter(|host| !is_host(host));
        problems.extend(odd.cloned().map(RpcProblem::Host));
        problems
    }

    fn problem_of_rates(&self) -> Option<RpcProblem> {
        let (rate, burst) = (self.max_requests_per_second, self.max_request_burst);
        if rate > MOST {
            let rule = format!("1 to {MOST}, or 0 for no limit");
            return Some(RpcProblem::Number { setting: "max_requests_per_second", value: rate, rule });
        }
        // A batch with more entries than the burst could never be served.
        (rate > 0 && (1..self.max_batch).contains(&burst)).then(|| {
            let rule = format!("no less than max_batch, {}", self.max_batch);
            RpcProblem::Number { setting: "max_request_burst", value: burst, rule }
        })
    }
}
