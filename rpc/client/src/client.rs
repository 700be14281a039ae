//! Several nodes, none of them trusted.

use std::time::Duration;

use quorate_ledger::ChainAnchor;

use crate::config::ClientConfig;
use crate::error::{ClientError, Untrusted};
use crate::fail_over::Nodes;
use crate::rpc::Rpc;

/// A client of one network.
///
/// Every answer that can be proven is checked before it is given out: receipts, blocks and heads against the
/// chain's anchor. What cannot be proven is a node's word, and the methods say so: that something is unknown,
/// pending or expired, and that a head is the newest.
#[derive(Debug)]
pub struct Client {
    pub(crate) nodes: Nodes,
    pub(crate) anchor: ChainAnchor,
    config: ClientConfig,
}

impl Client {
    /// A client of the nodes at these URLs. Nothing is sent yet.
    ///
    /// The anchor follows from the genesis file, which must come from somebody who is trusted.
    ///
    /// # Errors
    /// [`ClientError::NoNode`] and [`ClientError::Url`].
    pub fn new<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        anchor: ChainAnchor,
        config: ClientConfig,
    ) -> Result<Self, ClientError> {
        let nodes = urls.into_iter().map(|url| Rpc::new(url.as_ref(), &config)).collect::<Result<_, _>>()?;
        Ok(Client { nodes: Nodes::new(nodes)?, anchor, config })
    }

    /// The nodes one by one, for questions about them rather than about the chain. Their answers are not
    /// checked.
    pub fn nodes(&self) -> &[Rpc] {
        self.nodes.all()
    }

    /// The node that did well last, which is asked first next time. As long as one question is asked at a time,
    /// it is the one that gave the last answer.
    pub fn preferred(&self) -> &Rpc {
        &self.nodes()[self.nodes.preferred()]
    }

    /// What answers are checked against.
    pub fn anchor(&self) -> &ChainAnchor {
        &self.anchor
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        &self.config
    }

    /// How long to go round the nodes with a question.
    pub(crate) fn patience(&self) -> Duration {
        self.config.patience
    }

    pub(crate) fn untrusted(node: &Rpc, reason: impl Into<Untrusted>) -> ClientError {
        ClientError::Untrusted { url: node.url().to_owned(), reason: reason.into() }
    }
}
