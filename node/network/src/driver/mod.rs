//! The task that owns the swarm. It makes every decision about connections.
//!
//! # When a member reconnects
//! After a restart, a member connects while its old connection may still look alive to this node.
//! Keeping both would be wrong: libp2p's gossip sends its subscriptions only on the first
//! connection to a peer, so with a second one neither side would receive the other's. So this node
//! closes *all* connections of a member as soon as the direct stream opens on a connection that was
//! not the member's only one when it was established. One of the two then dials again within a
//! fraction of a second. An open direct stream shows that the other side wants the new connection:
//! a connection that it dialed needlessly is closed without a stream, and does not affect the
//! others.

mod connections;
mod log_limiter;
mod peer_changes;
mod seeking;
mod traffic;
pub(crate) mod work;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::gossipsub::IdentTopic;
use libp2p::swarm::SwarmEvent;
use libp2p::{PeerId, Swarm, identify};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use self::work::{Attempt, Connection, Work};
use crate::config::{NetworkLimits, NetworkTiming};
use crate::counters::Counters;
use crate::dialing::addresses::AddressBook;
use crate::dialing::bootstrap::Bootstrap;
use crate::dialing::failures::Failures;
use crate::dialing::schedule::Dialing;
use crate::error::RequestError;
use crate::event::{Inbox, Room};
use crate::identity::PeerKey;
use crate::peers::Peers;
use crate::protocols::behaviour::{Behaviour, BehaviourEvent};
use crate::protocols::discovery;
use crate::status::FailedAddress;

/// A command from the handle.
pub(crate) enum Command {
    /// Gossip this message. The room is freed when that is done.
    Publish { bytes: Bytes, room: Room },
    /// Send this request.
    Request { to: PeerId, bytes: Bytes, answer: oneshot::Sender<Result<Bytes, RequestError>> },
}

/// The state of the task, see the module documentation.
pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) topic: IdentTopic,
    /// Name of the network that a peer must belong to.
    pub(crate) network: String,
    /// The peers that the driver admits.
    pub(crate) peers: Arc<Peers>,
    /// The lists of the handle, which the driver follows.
    pub(crate) listed: watch::Receiver<Arc<Peers>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<NetworkLimits>,
    pub(crate) timing: Arc<NetworkTiming>,
    pub(crate) inbox: Inbox,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) listening: Arc<RwLock<Vec<String>>>,
    /// The last result of [`Failures::list`].
    pub(crate) failed: Arc<RwLock<Vec<FailedAddress>>>,
    pub(crate) failures: Failures,
    /// The last result of [`AddressBook::addresses_to_persist`].
    pub(crate) known: Arc<RwLock<Vec<(PeerKey, String)>>>,
    pub(crate) stop: CancellationToken,
    pub(crate) dialing: Dialing,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) book: AddressBook,
    pub(crate) work: Work,
}

impl Driver {
    /// Runs until the network is stopped or every handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            self.on_time(Instant::now());
            let wake = self.next_deadline();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Ok(()) = self.listed.changed() => self.on_peers_changed(),
                Some(ended) = self.work.links.join_next() => {
                    // If a link panicked, its stream is reset, and the member then closes the
                    // connection.
                    if let Ok(ended) = ended { self.on_link_end(ended) }
                }
                Some((attempt, resolution)) = self.work.resolving.next() => self.dial(attempt, resolution),
                Some((channel, answer)) = self.work.pending_answers.next() => self.on_answer(channel, answer),
                () = sleep_until(wake) => {}
                () = self.stop.cancelled() => break,
            }
        }
        self.close().await;
    }

    /// Ends all links in good order, then all connections, within twice the close timeout.
    async fn close(mut self) {
        self.stop.cancel();
        self.commands.close();
        let close_timeout = self.timing.close_timeout;
        let links = &mut self.work.links;
        let _ = tokio::time::timeout(close_timeout, async {
            // Each connection has its own task, so streams are written without polling the swarm.
            while links.join_next().await.is_some() {}
        })
        .await;
        self.work.links.shutdown().await;
        for peer in self.peers.iter() {
            self.counters.messages_dropped.add(peer.detach());
        }
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for id in connected {
            // An error means that the peer is not connected any more.
            let _ = self.swarm.disconnect_peer_id(id);
        }
        let swarm = &mut self.swarm;
        let _ = tokio::time::timeout(close_timeout, async {
            while swarm.network_info().num_peers() > 0 {
                swarm.select_next_some().await;
            }
        })
        .await;
    }

    fn on_time(&mut self, now: Instant) {
        for key in self.dialing.take_due(now) {
            self.begin(Attempt::Member(key), now);
        }
        if self.dialing.missing().next().is_some() {
            for number in self.bootstrap.take_due(now) {
                self.begin(Attempt::Bootstrap(number), now);
            }
            self.look_up(now);
        }
        let late = |connection: &Connection| connection.deadline.is_some_and(|deadline| deadline <= now);
        let late: Vec<_> = self.work.connections.iter().filter(|(_, c)| late(c)).map(|(id, _)| *id).collect();
        for id in late {
            self.counters.connections_silent.one();
            self.close_with_reason(id, &"the direct stream was not opened in time");
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let connections = self.work.connections.values().filter_map(|connection| connection.deadline);
        let mut next = connections.chain(self.dialing.next_due()).min();
        if self.dialing.missing().next().is_some() {
            let seeking = [Some(self.work.lookup.due()), self.bootstrap.next_due()].into_iter().flatten();
            next = seeking.chain(next).min();
        }
        next
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished {
                peer_id, connection_id, endpoint, num_established, ..
            } => {
                self.on_connected(peer_id, connection_id, &endpoint, num_established.get() == 1);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                self.on_closed(&peer_id, connection_id, num_established, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { peer_id, send_back_addr, error, .. } => {
                self.on_incoming_refused(peer_id, &send_back_addr, &error);
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => {
                self.publish_listening();
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(
                    ?addresses,
                    ?reason,
                    "the node no longer listens on these addresses: restart it once the cause is fixed"
                );
                self.publish_listening();
            }
            SwarmEvent::ListenerError { error, .. } => {
                if let Some(more) = self.work.accept_errors.admit(Instant::now()) {
                    tracing::warn!(%error, more, "the node could not accept a connection; it keeps listening");
                }
            }
            _ => {}
        }
    }

    pub(crate) fn publish_listening(&mut self) {
        let own = *self.swarm.local_peer_id();
        let listening = self.swarm.listeners().map(|address| format!("{address}/p2p/{own}")).collect();
        *self.listening.write().unwrap_or_else(PoisonError::into_inner) = listening;
    }

    pub(crate) fn publish_known(&self) {
        let mut known = self.book.addresses_to_persist();
        known.retain(|(key, _)| self.peers.is_member(key));
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Direct(event) => self.on_direct(event),
            BehaviourEvent::Identify(identify::Event::Received { connection_id, peer_id, info }) => {
                self.on_identified(connection_id, &peer_id, &info);
            }
            BehaviourEvent::Discovery(discovery::Event::Found { peer, addresses }) => {
                self.on_found(&peer, &addresses);
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Requests(event) => self.on_request_event(event),
            BehaviourEvent::Identify(_) | BehaviourEvent::Discovery(discovery::Event::Progress) => {}
            BehaviourEvent::Members(never) | BehaviourEvent::ConnectionLimits(never) => match never {},
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
