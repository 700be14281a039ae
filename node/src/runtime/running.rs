//! A node that runs in one role until it is stopped or ends by itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use quorate_network::{Network, PeerKey};
use quorate_rpc::AdminServer;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::assembly::Connected;
use super::epoch::EpochViews;
use super::known_addresses;
use super::ordering_thread::{End, Ending, Handover, OrderingThread};
use super::serving::server::Serving;

/// How often a node looks whether it is isolated.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The connections without which a node is isolated.
#[derive(Debug, Clone)]
pub(crate) enum Needs {
    /// A validator needs those of a quorum of the present epoch. A thief of an old key, or another node
    /// that knows only old keys, must not keep it from looking for the others.
    Quorum(EpochViews),
    /// A follower needs one.
    Any,
}

impl Needs {
    /// Whether these connected peers are enough.
    fn are_met(&self, connected: &[PeerKey]) -> bool {
        match self {
            Needs::Quorum(epochs) => {
                let epoch = epochs.borrow();
                is_quorum(connected, epoch.members.keys(), epoch.committee().quorum())
            }
            Needs::Any => !connected.is_empty(),
        }
    }
}

/// Whether these peers are a quorum of the members together with this node, which is one of them.
fn is_quorum(connected: &[PeerKey], members: &[PeerKey], quorum: usize) -> bool {
    connected.iter().filter(|peer| members.contains(peer)).count() + 1 >= quorum
}

/// The parts of a node that has been started. `W` is the work of its ordering thread.
pub(crate) struct Started<W> {
    pub(crate) rpc: Serving,
    pub(crate) connected: Connected,
    pub(crate) thread: OrderingThread,
    /// The queue of the ordering thread.
    pub(crate) inbox: mpsc::Sender<W>,
    /// The work that ends the ordering thread.
    pub(crate) stop: W,
    /// The connections without which the node is isolated.
    pub(crate) needs: Needs,
    /// The task that processes network events.
    pub(crate) incoming: JoinHandle<()>,
}

/// A node that runs in one role until it is stopped or ends by itself.
pub(crate) struct RunningRole {
    rpc: Serving,
    admin: Option<AdminServer>,
    network: Network,
    /// Queues the request to end behind all other work of the ordering thread.
    end_thread: BoxFuture<'static, ()>,
    thread: thread::JoinHandle<Option<Handover>>,
    ended: watch::Receiver<Option<End>>,
    /// Ends the role.
    #[cfg(test)]
    pub(super) ending: Ending,
    stopping: Arc<AtomicBool>,
    /// The connections without which it is isolated.
    needs: Needs,
    /// Ends the task that keeps addresses for the next start, and waits for it.
    addresses: (oneshot::Sender<()>, JoinHandle<()>),
}

impl RunningRole {
    /// Supervises the parts of a started node.
    pub(crate) fn of<W: Send + 'static>(started: Started<W>) -> Self {
        let Started { rpc, connected, thread, inbox, stop, needs, incoming } = started;
        let OrderingThread { handle, ending, ended } = thread;
        let (ends, kept_until) = oneshot::channel::<()>();
        // The sender is dropped when the node stops.
        let stopped = async move { drop(kept_until.await) };
        let kept = known_addresses::keep(connected.network.clone(), connected.addresses_file, stopped);
        let addresses = (ends, tokio::spawn(kept));
        let stopping = Arc::<AtomicBool>::default();
        #[cfg(test)]
        let of_tests = ending.clone();
        tokio::spawn(supervise(incoming, inbox.clone(), Arc::clone(&stopping), ending));
        let end_thread = async move {
            // An error means that the thread has already ended.
            let _ = inbox.send(stop).await;
        };
        RunningRole {
            rpc,
            admin: connected.admin,
            network: connected.network,
            end_thread: end_thread.boxed(),
            thread: handle,
            ended,
            #[cfg(test)]
            ending: of_tests,
            stopping,
            needs,
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

    /// Resolves when the node has had fewer connections than it needs for this long, although it knows
    /// other nodes.
    pub(crate) fn isolated(&self, long: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (network, needs) = (self.network.clone(), self.needs.clone());
        async move {
            let mut since = Instant::now();
            while since.elapsed() < long {
                tokio::time::sleep(LOOK_EVERY).await;
                let peers = network.peers();
                let connected = peers.iter().filter(|peer| peer.connected).map(|peer| peer.key);
                if peers.is_empty() || needs.are_met(&connected.collect::<Vec<_>>()) {
                    since = Instant::now();
                }
            }
        }
    }

    /// Resolves only if the node ends by itself.
    pub(crate) fn ended(&self) -> impl Future<Output = End> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let end = ended.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
            match end {
                Some(end) => end,
                // The thread ended regularly because it was stopped.
                None => std::future::pending().await,
            }
        }
    }

    /// Stops cleanly: finishes pending responses, closes connections, and makes everything durable.
    /// Returns what the next role continues with.
    ///
    /// # Errors
    /// If the node failed before or while stopping.
    pub(crate) async fn stop(self) -> anyhow::Result<Option<Handover>> {
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
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if let Some(End::Failed(cause)) = &*self.ended.borrow() {
            anyhow::bail!("{cause}");
        }
        Ok(joined.ok().and_then(Result::ok).flatten())
    }
}

/// Reports a failure if the task that processes network events ends while the node should run.
async fn supervise<W>(
    incoming: JoinHandle<()>,
    inbox: mpsc::Sender<W>,
    stopping: Arc<AtomicBool>,
    ending: Ending,
) {
    let ended = incoming.await;
    // Without messages of other validators the node must not continue to serve clients. If the
    // ordering thread is gone, it reports its own reason.
    let expected = stopping.load(Ordering::Acquire) || inbox.is_closed();
    if ended.is_err() || !expected {
        ending.send_replace(Some(End::Failed(
            "the node stopped because it no longer processes messages of the \
             other validators (see earlier errors in the log)"
                .into(),
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a validator needs follows the committee: with five members, three others are enough, also
    /// for a validator that started when there were seven.
    #[test]
    fn a_quorum_counts_members_of_the_present_epoch_only() {
        let keys: Vec<PeerKey> = (0..7).map(|byte| PeerKey([byte; 33])).collect();
        let (seven, five) = (&keys[..], &keys[..5]);
        assert!(is_quorum(&keys[1..5], seven, 5));
        assert!(!is_quorum(&keys[1..4], seven, 5));
        assert!(is_quorum(&keys[1..4], five, 4));
        assert!(!is_quorum(&[keys[1], keys[2], keys[5], keys[6]], five, 4), "others are no members");
        assert!(is_quorum(&[], &keys[..1], 1), "a network of one");
    }
}
