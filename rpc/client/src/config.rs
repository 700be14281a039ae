//! How long to wait and how much to take.

use std::time::Duration;

/// Limits of a client. All are local; none needs to match anything of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
    /// How long a node may take to answer, beyond what it was asked to wait.
    pub answer_timeout: Duration,
    /// How long a stream of blocks may bring nothing, not even a sign of life, which nodes send every 15 s.
    pub stream_silence: Duration,
    /// How long to go round the nodes with a question before giving up.
    pub patience: Duration,
    /// Most bytes of an answer. A node answers at most 16 MiB by default.
    pub max_response_bytes: u32,
    /// Most requests at a time to one node; further ones wait for their turn.
    pub max_concurrent_requests: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        ClientConfig {
            connect_timeout: Duration::from_secs(3),
            answer_timeout: Duration::from_secs(10),
            stream_silence: Duration::from_secs(45),
            patience: Duration::from_secs(15),
            max_response_bytes: 32 << 20,
            max_concurrent_requests: 256,
        }
    }
}
