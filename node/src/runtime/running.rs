//! A node that runs until it is stopped or fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures::FutureExt;
use futures::future::BoxFuture;
use quorate_network::Network;
use quorate_rpc::AdminServer;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::assembly::Connected;
use super::known_addresses;
use super::ordering_thread::{Failing, Failure, OrderingThread};
use super::serving::server::Serving;

/// The parts of a node that has been started. `W` is the work of its ordering thread.
pub(crate) struct Started<W> {
    pub(crate) rpc: Serving,
    pub(crate) connected: Connected,
    pub(crate) thread: OrderingThread,
    /// The queue of the ordering thread.
    pub(crate) inbox: mpsc::Sender<W>,
    /// The work that ends the ordering thread.
    pub(crate) stop: W,
    /// The task that processes network events.
    pub(crate) incoming: JoinHandle<()>,
}

/// A node that runs until it is stopped or fails.
pub(crate) struct Running {
    rpc: Serving,
    admin: Option<AdminServer>,
    network: Network,
    /// Queues the request to end behind all other work of the ordering thread.
    end_thread: BoxFuture<'static, ()>,
    thread: thread::JoinHandle<()>,
    failure: Failure,
    stopping: Arc<AtomicBool>,
    /// Ends the task that keeps addresses for the next start, and waits for it.
    addresses: (oneshot::Sender<()>, JoinHandle<()>),
}

impl Running {
    /// Supervises the parts of a started node.
    pub(crate) fn of<W: Send + 'static>(started: Started<W>) -> Self {
        let Started { rpc, connected, thread, inbox, stop, incoming } = started;
        let OrderingThread { handle, failing, failure } = thread;
        let (ends, ended) = oneshot::channel::<()>();
        // The sender is dropped when the node stops.
        let stopped = async move { drop(ended.await) };
        let kept = known_addresses::keep(connected.network.clone(), connected.addresses_file, stopped);
        let addresses = (ends, tokio::spawn(kept));
        let stopping = Arc::<AtomicBool>::default();
        tokio::spawn(supervise(incoming, inbox.clone(), Arc::clone(&stopping), failing));
        let end_thread = async move {
            // An error means that the thread has already ended.
            let _ = inbox.send(stop).await;
        };
        Running {
            rpc,
            admin: connected.admin,
            network: connected.network,
            end_thread: end_thread.boxed(),
            thread: handle,
            failure,
            stopping,
            addresses,
        }
    }

    /// The address of the RPC server.
    pub(crate) fn rpc_address(&self) -> SocketAddr {
        self.rpc.local_addr()
    }

    /// The addresses at which peers can dial this node.
    pub(crate) fn p2p_addresses(&self) -> Vec<String> {
        self.network.listen_addresses()
    }

    /// Resolves only if the node fails by itself, with the reason.
    pub(crate) async fn failed(&self) -> anyhow::Error {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(cause) => anyhow::anyhow!("{}", cause.as_deref().unwrap_or("the node failed")),
            // The engine ended regularly because it was stopped.
            Err(_) => std::future::pending().await,
        }
    }

    /// Stops cleanly: finishes pending responses, closes connections, and makes everything durable.
    ///
    /// # Errors
    /// If the node failed before or while stopping.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stopping.store(true, Ordering::Release);
        self.rpc.shutdown().await;
        if let Some(admin) = self.admin {
            admin.shutdown().await;
        }
        let (ends, kept) = self.addresses;
        drop(ends);
        // An error means that the task panicked. The addresses are optional, so ignore it.
        let _ = kept.await;
        self.network.shutdown().await;
        self.end_thread.await;
        let thread = self.thread;
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        match &*self.failure.borrow() {
            Some(cause) => anyhow::bail!("{cause}"),
            None => Ok(()),
        }
    }
}

/// Reports a failure if the task that processes network events ends while the node should run.
async fn supervise<W>(
    incoming: JoinHandle<()>,
    inbox: mpsc::Sender<W>,
    stopping: Arc<AtomicBool>,
    failing: Failing,
) {
    let ended = incoming.await;
    // Without messages of other validators the node must not continue to serve clients. If the
    // ordering thread is gone, it reports its own reason.
    let expected = stopping.load(Ordering::Acquire) || inbox.is_closed();
    if ended.is_err() || !expected {
        failing.send_replace(Some(
            "the node stopped because it no longer processes messages of the \
             other validators (see earlier errors in the log)"
                .into(),
        ));
    }
}
