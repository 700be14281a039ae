//! Asking one node, without verifying what it says: what is printed is what that node claims.

use clap::Args;
use quorate_client::{CallError, ClientConfig, Rpc};

/// The node that is asked unless another one is named: the first one of `testnet` and `devnet`.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8545";

/// Which node is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Node {
    /// URL of a node's JSON-RPC.
    #[arg(long = "rpc", value_name = "URL", env = "QUORATE_RPC_URL", default_value = DEFAULT_URL)]
    pub(crate) url: String,
}

impl Node {
    /// The node's methods. Nothing is sent yet.
    pub(crate) fn rpc(&self) -> anyhow::Result<Rpc> {
        Ok(Rpc::new(&self.url, &ClientConfig::default())?)
    }
}

/// Adds what to do about it.
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
    fn advice_is_given_where_there_is_some() {
        let url = || "http://a".to_owned();
        let said = |error| advise(error).to_string();
        assert!(
            said(CallError::Timeout { url: url(), after: Duration::from_secs(1) }).ends_with("JSON-RPC?")
        );
        let node = |kind| CallError::Node { url: url(), error: RpcError::new(kind, "no") };
        assert!(said(node(ErrorKind::PoolFull)).contains("later"));
        assert!(said(node(ErrorKind::BadSignature)).ends_with("no (bad_signature)"));
    }
}
