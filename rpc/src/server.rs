//! The public interface, over TCP.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use tokio::net::TcpListener;

use crate::config::{RpcConfig, RpcStartError};
use crate::meter::Meter;
use crate::node::Node;
use crate::router::stoppable_router;
use crate::transport::{Accepting, accept};

/// A running server. Dropping it also stops it, without waiting for requests in flight.
#[derive(Debug)]
pub struct RpcServer {
    local_addr: SocketAddr,
    accepting: Accepting,
}

impl RpcServer {
    /// The address that it listens on, with the port that the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, ends all waits with the status so far, serves requests in flight for at
    /// most the configured grace, then closes every connection.
    pub async fn shutdown(self) {
        self.accepting.shutdown().await;
    }
}

/// Starts to serve a node over HTTP. With a registry, `/metrics` shows its metrics and those of the
/// server.
///
/// # Errors
/// [`RpcStartError`]: the port is in use or not permitted, or a setting is invalid.
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
