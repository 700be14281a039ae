//! Several nodes, none of them trusted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use quorate_ledger::ChainAnchor;

use crate::config::ClientConfig;
use crate::error::{ClientError, Untrusted};
use crate::fail_over::Nodes;
use crate::rpc::Rpc;

/// A client of one network.
///
/// Verifies every result that can be proven before it returns it: receipts, blocks and heads
/// against the chain's anchor. It keeps the newest epoch that was proven, and refuses heads of earlier
/// ones. Other results are claims of a node, and the methods say so: that a
/// transaction is unknown, pending or expired, and that a head is the newest.
#[derive(Debug)]
pub struct Client {
    pub(crate) nodes: Nodes,
    /// Only ever replaced by an extended one.
    pub(crate) anchor: Mutex<Arc<ChainAnchor>>,
    config: ClientConfig,
}

impl Client {
    /// A client of the nodes at these URLs. Nothing is sent yet.
    ///
    /// The anchor follows from the genesis file, which must come from a trusted source. The client
    /// extends it by the epochs that nodes prove, so it may be that of the genesis in any epoch.
    ///
    /// # Errors
    /// [`ClientError::NoNode`] and [`ClientError::Url`].
    pub fn new<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        anchor: ChainAnchor,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        let nodes = urls.into_iter().map(|url| Rpc::new(url.as_ref(), &config)).collect::<Result<_, _>>()?;
        Ok(Client { nodes: Nodes::new(nodes)?, anchor: Mutex::new(Arc::new(anchor)), config })
    }

    /// The single nodes, for requests about them rather than about the chain. Their results are not
    /// verified.
    pub fn nodes(&self) -> &[Rpc] {
        self.nodes.all()
    }

    /// The node that succeeded last, which gets the next request first. If requests do not overlap,
    /// it is the node of the last result.
    pub fn preferred(&self) -> &Rpc {
        &self.nodes()[self.nodes.preferred()]
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// How long to try a request at the nodes.
    pub(crate) fn timeout(&self) -> Duration {
        self.config.timeout
    }

    pub(crate) fn untrusted(node: &Rpc, reason: impl Into<Untrusted>) -> ClientError {
        ClientError::Untrusted { url: node.url().to_owned(), reason: reason.into() }
    }
}
