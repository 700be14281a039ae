//! The RPC server, on threads of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use quorate_rpc::{Node, RpcConfig, RpcServer};
use tokio::runtime::{Builder, Runtime};

/// The name of these threads.
const THREAD_NAME: &str = "rpc";

/// Serves clients on threads that do nothing else.
///
/// A request may occupy its thread for tens of milliseconds, since parameters and responses can
/// have megabytes. The threads of the node's own runtime carry consensus messages and timers, so no
/// request is read, run or answered there. The system schedules both groups of threads.
pub(crate) struct Serving {
    server: RpcServer,
    _threads: Threads,
}

/// Ends the threads without waiting for them: dropping a runtime inside another one would panic.
struct Threads(Option<Runtime>);

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(threads) = self.0.take() {
            threads.shutdown_background();
        }
    }
}

impl Serving {
    /// Starts the threads and the server.
    ///
    /// # Errors
    /// Threads that cannot be started, or [`quorate_rpc::RpcStartError`].
    pub(crate) async fn start<N: Node>(
        config: RpcConfig,
        node: Arc<N>,
        registry: Registry,
    ) -> anyhow::Result<Self> {
        let threads = Builder::new_multi_thread().thread_name(THREAD_NAME).enable_all().build();
        let threads = threads.context("cannot start the threads of the RPC interface")?;
        let starting = threads.spawn(quorate_rpc::serve(config, node, Some(registry)));
        let threads = Threads(Some(threads));
        let server = starting.await.context("starting the RPC interface panicked")??;
        Ok(Serving { server, _threads: threads })
    }

    /// The address of the server.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops accepting requests, and ends all waits with the current state.
    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}
