//! The RPC server, on threads of its own.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use prometheus::Registry;
use quorate_rpc::{Node, RpcConfig, RpcServer};
use tokio::runtime::{Builder, Runtime};

/// What the system calls these threads.
const THREAD_NAME: &str = "rpc";

/// Serves clients on threads that do nothing else.
///
/// A request may cost its thread tens of milliseconds, since parameters and answers have megabytes. The threads of the
/// node's own runtime carry consensus messages and timers, so no request is read, run or answered there: the system
/// shares the processors between these threads and those.
pub(super) struct Serving {
    server: RpcServer,
    _threads: Threads,
}

/// Ends the threads without waiting for them: a runtime that is dropped inside of another one would panic.
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
    /// The system gives no threads, or [`quorate_rpc::RpcStartError`].
    pub(super) async fn start<N: Node>(
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

    /// Where it listens.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops accepting, and ends all waits with what is known.
    pub(super) async fn shutdown(self) {
        self.server.shutdown().await;
    }
}
