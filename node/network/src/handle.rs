//! The handle through which the node uses the network.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{KEPT_LIMITS_MAX, MESSAGE_BYTES_MAX, NetworkLimits, NetworkTiming};
use crate::counters::{Counters, NetworkCounters};
use crate::driver::Command;
use crate::error::{PeersError, PublishError, RequestError};
use crate::event::Share;
use crate::identity::PeerKey;
use crate::peer::Rank;
use crate::peers::Peers;
use crate::protocols::requests::Codec;
use crate::status::{FailedAddress, PeerStatus};

/// A running network. Cheap to clone. It stops when [`Network::shutdown`] is called or the last
/// clone is dropped.
#[derive(Clone)]
pub struct Network {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    /// The present peers. The driver follows every change.
    pub(crate) peers: watch::Sender<Arc<Peers>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<NetworkLimits>,
    /// The present value of [`NetworkLimits::accepted_response_bytes`].
    accepted_response_bytes: Arc<AtomicUsize>,
    pub(crate) timing: Arc<NetworkTiming>,
    pub(crate) listening: Arc<RwLock<Vec<String>>>,
    pub(crate) failed: Arc<RwLock<Vec<FailedAddress>>>,
    pub(crate) known: Arc<RwLock<Vec<(PeerKey, String)>>>,
    pub(crate) commands: mpsc::Sender<Command>,
    /// Room for messages to be gossiped.
    pub(crate) publishing: Share,
    pub(crate) stop: CancellationToken,
    pub(crate) stopped: CancellationToken,
}

impl Shared {
    /// The shared state of a network that is about to run, and the receiver of its commands.
    pub(crate) fn new(
        peers: Arc<Peers>,
        codec: Codec,
        limits: NetworkLimits,
        timing: NetworkTiming,
    ) -> (Self, mpsc::Receiver<Command>) {
        // A slot for every permit, so that a command with a permit never waits.
        let commands_max = limits.publish_messages + KEPT_LIMITS_MAX * limits.requests_per_peer;
        let (commands, receiver) = mpsc::channel(commands_max);
        let shared = Self {
            peers: watch::Sender::new(peers),
            counters: codec.counters,
            accepted_response_bytes: codec.response_bytes_max,
            publishing: Share::new(limits.publish_messages, limits.publish_bytes),
            limits: Arc::new(limits),
            timing: Arc::new(timing),
            listening: Arc::default(),
            failed: Arc::default(),
            known: Arc::default(),
            commands,
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        (shared, receiver)
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("listening", &self.listen_addresses()).finish_non_exhaustive()
    }
}

impl Network {
    /// Sends a direct message. Never waits and gives no delivery guarantee. If the member's queue
    /// is full, its oldest message is dropped. If the member is not connected, the message is
    /// dropped. Both are counted. Messages that arrive on one connection arrive in order.
    pub fn send(&self, to: PeerKey, bytes: Bytes) {
        if self.fits(&bytes)
            && let Some(peer) = self.shared.peers.borrow().by_key(&to)
        {
            peer.send(bytes, &self.shared.counters);
        }
    }

    /// Sends a direct message to every connected member, as [`Network::send`] does. The bytes are
    /// shared, not copied.
    #[expect(clippy::needless_pass_by_value, reason = "takes what `send` takes")]
    pub fn broadcast(&self, bytes: Bytes) {
        if !self.fits(&bytes) {
            return;
        }
        self.shared.peers.borrow().broadcast(Rank::Member, &bytes, &self.shared.counters);
    }

    /// Sends a direct message to every connected observer, as [`Network::broadcast`] does to
    /// members.
    #[expect(clippy::needless_pass_by_value, reason = "takes what `send` takes")]
    pub fn tell_observers(&self, bytes: Bytes) {
        if self.fits(&bytes) {
            self.shared.peers.borrow().broadcast(Rank::Observer, &bytes, &self.shared.counters);
        }
    }

    fn fits(&self, bytes: &Bytes) -> bool {
        let limit = self.shared.limits.frame_bytes;
        if bytes.len() > limit {
            self.shared.counters.messages_oversized.one();
            tracing::error!(
                bytes = bytes.len(),
                limit,
                "a direct message is above the limit and was not sent"
            );
            return false;
        }
        true
    }

    /// Gossips a message to all members. It reaches those connected now with high probability, and
    /// no others. Content that was published within the last seconds is not sent again. While no
    /// member is known to subscribe to gossip, as just after connecting, the message goes over the
    /// direct streams instead and arrives as
    /// [`NetworkEvent::Message`](crate::NetworkEvent::Message).
    ///
    /// # Errors
    /// [`PublishError`] if the message is too long, too many messages wait, or the network was shut
    /// down.
    pub fn publish(&self, bytes: Bytes) -> Result<(), PublishError> {
        let limit = self.shared.limits.gossip_message_bytes;
        if bytes.len() > limit {
            return Err(PublishError::TooLarge { bytes: bytes.len(), limit });
        }
        let room = self.shared.publishing.try_admit(bytes.len()).ok_or(PublishError::Busy)?;
        self.command(Command::Publish { bytes, room }).map_err(|_| PublishError::Closed)
    }

    /// Sends a request to a member and waits for the answer, at most the request timeout.
    ///
    /// # Errors
    /// [`RequestError`]. The request is not retried.
    pub async fn request(&self, to: PeerKey, bytes: Bytes) -> Result<Bytes, RequestError> {
        let result = self.try_request(to, bytes).await;
        if result.is_err() {
            self.shared.counters.requests_failed.one();
        }
        result
    }

    async fn try_request(&self, to: PeerKey, bytes: Bytes) -> Result<Bytes, RequestError> {
        let limits = &self.shared.limits;
        if bytes.len() > limits.request_bytes {
            return Err(RequestError::TooLarge { bytes: bytes.len(), limit: limits.request_bytes });
        }
        let peer = self.shared.peers.borrow().by_key(&to).cloned().ok_or(RequestError::UnknownPeer)?;
        if !peer.is_connected() {
            return Err(RequestError::NotConnected);
        }
        let too_many = RequestError::TooMany { limit: limits.requests_per_peer };
        let _permit = peer.limits.requests.clone().try_acquire_owned().map_err(|_| too_many)?;
        let (answer, answered) = oneshot::channel();
        self.command(Command::Request { to: peer.id, bytes, answer }).map_err(|_| RequestError::Closed)?;
        self.shared.counters.requests_sent.one();
        let after = self.shared.timing.request_timeout;
        match timeout(after, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(RequestError::Closed),
            Err(_) => Err(RequestError::TimedOut { after }),
        }
    }

    /// Changes the longest answer that this node accepts, for all answers that begin to arrive from now
    /// on. A value above [`MESSAGE_BYTES_MAX`] counts as that.
    pub fn set_accepted_response_bytes(&self, bytes: usize) {
        self.shared.accepted_response_bytes.store(bytes.min(MESSAGE_BYTES_MAX), Ordering::Relaxed);
    }

    /// Every command has a permit, and the channel is as large as all permits together. So sending
    /// fails only after the network was shut down.
    fn command(&self, command: Command) -> Result<(), ()> {
        if self.shared.stop.is_cancelled() {
            return Err(());
        }
        self.shared.commands.try_send(command).map_err(|_| ())
    }

    /// Replaces the lists of members and observers, as [`NetworkConfig`](crate::NetworkConfig)
    /// describes them. Connections of peers whose role stays the same are not affected, and a call
    /// with the present lists does nothing. Several threads may call this; the last call counts.
    ///
    /// When the call returns, [`Network::peers`] and [`Network::observers`] show the new lists, no
    /// direct message is sent to a removed peer any more, and none of its messages is delivered
    /// (see [`NetworkEvent`](crate::NetworkEvent)). Events of an added peer may come before the
    /// call returns, so the caller must be ready for them. The driver then does the rest, without
    /// waiting for the layer above:
    /// * **Removed peers**: the node closes their connections and refuses new ones at the
    ///   handshake. It keeps no status, address, queue or gossip of them, except configured
    ///   addresses.
    /// * **Added members** are dialed and looked up like the others. Any added peer may connect.
    /// * **Changed roles**: a connection carries the protocols of both roles from its beginning. So
    ///   the node closes the connection and makes a new one, which takes 0.1 to 0.5 seconds. Status
    ///   numbers of the peer begin again at zero. If this node's own role changes, it does so with
    ///   all members.
    ///
    /// Nodes change their lists at different times. While a node treats itself as a member and
    /// another one treats it as an observer, the other one skips the messages that it sends there.
    /// So add a member before it needs to send, and remove it after it stops.
    ///
    /// # Errors
    /// [`PeersError`]. Nothing is changed then.
    pub fn set_peers(&self, members: &[PeerKey], observers: &[PeerKey]) -> Result<(), PeersError> {
        if self.shared.stop.is_cancelled() {
            return Err(PeersError::Closed);
        }
        let mut outcome = Ok(());
        self.shared.peers.send_if_modified(|peers| {
            let next = match peers.changed(members, observers, &self.shared.limits) {
                Ok(next) if next.is_same(peers) => return false,
                Ok(next) => Arc::new(next),
                Err(error) => {
                    outcome = Err(error);
                    return false;
                }
            };
            let previous = std::mem::replace(peers, next);
            for peer in previous.not_in(peers) {
                peer.source.remove();
            }
            true
        });
        outcome
    }

    /// The status of every member except this node, in the order of their keys.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.shared.peers.borrow().members().map(|peer| peer.status()).collect()
    }

    /// The status of every observer, in the order of their keys.
    pub fn observers(&self) -> Vec<PeerStatus> {
        let peers = self.shared.peers.borrow();
        peers.iter().filter(|peer| !peer.is_member()).map(|peer| peer.status()).collect()
    }

    /// The addresses on which the node listens, with the ports that the system chose and `/p2p/…`
    /// at the end.
    pub fn listen_addresses(&self) -> Vec<String> {
        self.shared.listening.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The addresses of [`NetworkConfig::bootstrap`](crate::NetworkConfig::bootstrap) at which the
    /// last attempt reached no member. The node dials them only while a member is missing, so an
    /// address that was repaired since may still be in the list.
    pub fn failed_addresses(&self) -> Vec<FailedAddress> {
        self.shared.failed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// IP addresses of members, for [`NetworkConfig::known`](crate::NetworkConfig::known) at the
    /// next start: at most two for each of
    /// [`NetworkLimits::addresses_per_member`](crate::NetworkLimits::addresses_per_member).
    pub fn known_addresses(&self) -> Vec<(PeerKey, String)> {
        self.shared.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters since the start.
    pub fn counters(&self) -> NetworkCounters {
        self.shared.counters.snapshot()
    }

    /// Sends the waiting messages, for at most the close timeout, closes all connections and ports,
    /// and returns when that is done. Later calls return when the first one is done.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.shared.stopped.cancelled().await;
    }
}
