//! Messages of a block stream other than blocks.

use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, RpcError};

/// The method of the notifications of a WebSocket subscription: its blocks, and its end.
pub const NOTIFICATION: &str = "chain_subscription";

/// Why a stream of blocks ended. After an unknown reason, clients should try another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The reader took too little for too long.
    SlowReader,
    /// The node stops.
    Stopping,
    /// The node pruned the next block before the stream reached it.
    Pruned,
    /// The node has no memory left for the next block.
    Overloaded,
    /// The next block is damaged on the node's disk.
    Damaged,
    /// A fault of the node; its log says more.
    Internal,
}

impl EndReason {
    /// The error that the reader gets; it has the height from which to continue.
    pub fn at(self, next_height: u64) -> RpcError {
        let (why, retryable) = match self {
            EndReason::SlowReader => ("the reader takes blocks too slowly", true),
            EndReason::Stopping => ("the node stops", true),
            EndReason::Pruned => ("this node pruned the next block", false),
            EndReason::Overloaded => ("the node has no memory left for the next block", true),
            EndReason::Damaged => ("the next block is damaged on this node's disk; use another node", true),
            EndReason::Internal => ("the node failed to read the next block; its log says why", false),
        };
        let message =
            format!("the stream ends: {why}; continue from height {next_height}, here or at another node");
        let mut error =
            RpcError::new(ErrorKind::SubscriptionEnded, message).detail("next_height", next_height);
        error.data.retryable = retryable;
        error.detail("reason", serde_json::to_value(self).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_says_why_and_where() {
        let error = EndReason::SlowReader.at(7);
        assert_eq!(error.kind(), ErrorKind::SubscriptionEnded);
        assert_eq!(error.data.details["reason"], "slow_reader");
        assert_eq!(error.data.details["next_height"], 7);
        assert!(error.data.retryable && !EndReason::Pruned.at(7).data.retryable);
    }
}
