//! Access to one node without verification: the output is what this node claims.

use clap::Args;
use quorate_client::{CallError, ClientConfig, Rpc};

/// The default node: the first one of `testnet` and `devnet`.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8545";

/// The node to call.
#[derive(Debug, Clone, Args)]
pub(crate) struct Node {
    /// URL of a node's JSON-RPC.
    #[arg(long = "rpc", value_name = "URL", env = "QUORATE_RPC_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
}

impl Node {
    /// A client of the node's methods. It sends nothing yet.
    pub(crate) fn rpc(&self) -> anyhow::Result<Rpc> {
        Ok(Rpc::new(&self.url, &ClientConfig::default())?)
    }
}

/// Adds advice to an error.
pub(crate) fn advise(error: CallError) -> anyhow::Error {
    let advice = match &error {
        CallError::Unreachable { .. } | CallError::Timeout { .. } => {
            "does the node run, and is this the address of its JSON-RPC?"
        }
        _ if error.is_retryable() => "the same request may succeed later, or at another node",
        _ => return error.into(),
    };
    anyhow::anyhow!("{error}; {advice}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use quorate_api::{ErrorKind, RpcError};

    use super::*;

    #[test]
    fn errors_with_a_known_remedy_include_advice() {
        let url = || "http://a".to_owned();
        let text = |error| advise(error).to_string();
        assert!(
            text(CallError::Timeout { url: url(), after: Duration::from_secs(1) }).ends_with("JSON-RPC?")
        );
        let node = |kind| CallError::Node { url: url(), error: RpcError::new(kind, "no") };
        assert!(text(node(ErrorKind::PoolFull)).contains("later"));
        assert!(text(node(ErrorKind::BadSignature)).ends_with("no (bad_signature)"));
    }
}
