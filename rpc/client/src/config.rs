//! Timeouts and limits of a client.

use std::time::Duration;

/// Limits of a client. All are local; none needs to match a setting of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long a connection attempt may take.
    pub connect_timeout: Duration,
    /// How long a node may take to respond, in addition to the wait that the request asks for.
    pub answer_timeout: Duration,
    /// How long a stream of blocks may be silent. Nodes send a sign of life every 15 s.
    pub stream_silence: Duration,
    /// How long to try a request at the nodes before it fails.
    pub timeout: Duration,
    /// Most bytes of a response. By default, a node's response has at most 16 MiB.
    pub max_response_bytes: u32,
    /// Most requests at a time to one node; further ones wait.
    pub max_concurrent_requests: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(10),
            stream_silence: Duration::from_secs(45),
            timeout: Duration::from_secs(15),
            max_response_bytes: 32 << 20,
            max_concurrent_requests: 256,
        }
    }
}
