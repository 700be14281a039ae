//! The interface for everybody, over TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio::net::TcpListener;

use crate::acceptor::{Accepting, accept};
use crate::config::{RpcConfig, RpcStartError};
use crate::meter::Meter;
use crate::node::Node;
use crate::router::stoppable_router;

/// A server that runs. Dropping it stops it, too, without waiting for what is in flight.
#[derive(Debug)]
pub struct RpcServer {
    local_addr: SocketAddr,
    accepting: Accepting,
}

impl RpcServer {
    /// Where it listens; tells the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, ends all waits with what is known, answers what is in flight for at most the
    /// configured grace, then closes every connection.
    pub async fn shutdown(self) {
        self.accepting.shutdown().await;
    }
}

/// Starts to serve a node over HTTP. With a registry, `/metrics` shows what is in it, and what the server counts itself.
///
/// # Errors
/// [`RpcStartError`]: the port is taken or not ours, or settings make no sense.
pub async fn serve<N: Node>(
    config: RpcConfig,
    node: Arc<N>,
    registry: Option<Registry>,
) -> Result<RpcServer, RpcStartError> {
    let problems = config.problems();
    if !problems.is_empty() {
        return Err(RpcStartError::Config(problems));
    }
    let bind_error = |source| RpcStartError::Bind { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(bind_error)?;
    let local_addr = listener.local_addr().map_err(bind_error)?;
    let settings = config.clone();
    let meter = Meter::new();
    let counting = meter.clone();
    let accepting = accept(listener, config, meter, |stopping| {
        stoppable_router(&settings, node, registry, counting, stopping)
    });
    Ok(RpcServer { local_addr, accepting })
}
