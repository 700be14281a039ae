//! The task that owns the swarm. Every connection decision is made here.
//!
//! # A member that comes back
//! A restarted member connects while its old connection may still look alive to us. Keeping both would be
//! wrong: libp2p's gossip introduces itself on the first connection to a peer only, so that on a second one
//! neither side would hear the other. So as soon as the direct stream opens on a connection that was not
//! the only one of its member at birth, *all* connections of that member are closed, and it (or we) dials
//! again within a fraction of a second. That the direct stream opened shows that the other side wants the new
//! connection: one that it dialed needlessly is closed without a stream, and disturbs nothing.

mod connections;
mod seeking;
mod traffic;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::gossipsub::IdentTopic;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::{AddressBook, without_peer};
use crate::behaviour::{Behaviour, BehaviourEvent};
use crate::bootstrap::Bootstrap;
use crate::config::{NetworkLimits, NetworkTiming};
use crate::counters::Counters;
use crate::dialing::Dialing;
use crate::discovery;
use crate::error::RequestError;
use crate::event::{Inbox, Room};
use crate::failures::Failures;
use crate::identity::PeerKey;
use crate::link::LinkEnd;
use crate::names::Resolution;
use crate::peer::{Peer, Peers};
use crate::quiet::Quiet;
use crate::requests::Reply;
use crate::status::{Direction, FailedAddress};

/// What the handle wants done.
pub(crate) enum Command {
    /// Gossip this message; the room is free again once that was done.
    Publish { bytes: Bytes, room: Room },
    /// Send this request.
    Request { to: PeerId, bytes: Bytes, answer: oneshot::Sender<Result<Bytes, RequestError>> },
}

/// What an attempt to connect is for.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Member(PeerKey),
    /// The bootstrap address of that number.
    Bootstrap(usize),
}

impl Attempt {
    /// The member that is looked for, if it is known which one.
    fn member(self) -> Option<PeerKey> {
        match self {
            Attempt::Member(key) => Some(key),
            Attempt::Bootstrap(_) => None,
        }
    }
}

/// An attempt under way.
struct Dialed {
    attempt: Attempt,
    /// What is dialed, each with the address as it was written.
    addresses: Vec<(Multiaddr, Multiaddr)>,
}

impl Dialed {
    /// The address as it was written of one that was dialed, with or without a peer id.
    fn written(&self, dialed: &Multiaddr) -> Option<&Multiaddr> {
        let plain = without_peer(dialed).map_or_else(|_| dialed.clone(), |(plain, _)| plain);
        self.addresses.iter().find(|(found, _)| *found == plain).map(|(_, written)| written)
    }
}

/// One live connection.
struct Connection {
    peer: Arc<Peer>,
    /// Whether it was the only one of its member when it was made.
    first: bool,
    direction: Direction,
    address: Multiaddr,
    /// When it is closed if its direct stream is not open by then. `None` once it is.
    deadline: Option<Instant>,
    cut: CancellationToken,
    since: Instant,
}

/// Looking for members that are not connected.
struct Lookup {
    last: Instant,
    /// From the last round to the next.
    delay: Duration,
    /// With whom the next round begins.
    turn: usize,
}

impl Lookup {
    fn due(&self) -> Instant {
        self.last + self.delay
    }
}

/// The end of one link.
struct Ended {
    connection: ConnectionId,
    peer: Arc<Peer>,
    end: LinkEnd,
}

type Resolved = (Attempt, Resolution);
type Answered = (ResponseChannel<Reply>, Option<Bytes>);

/// See the module.
pub(crate) struct Driver {
    pub(crate) swarm: Swarm<Behaviour>,
    pub(crate) topic: IdentTopic,
    /// Name of the network, of which a peer must be a member.
    pub(crate) network: String,
    pub(crate) peers: Arc<Peers>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<NetworkLimits>,
    pub(crate) timing: Arc<NetworkTiming>,
    pub(crate) inbox: Inbox,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) listening: Arc<RwLock<Vec<String>>>,
    /// What [`Failures::list`] told last.
    pub(crate) failed: Arc<RwLock<Vec<FailedAddress>>>,
    pub(crate) failures: Failures,
    /// What [`AddressBook::worth_remembering`] told last.
    pub(crate) known: Arc<RwLock<Vec<(PeerKey, String)>>>,
    pub(crate) stop: CancellationToken,
    pub(crate) dialing: Dialing,
    pub(crate) bootstrap: Bootstrap,
    pub(crate) book: AddressBook,
    pub(crate) work: Work,
}

/// What is under way.
pub(crate) struct Work {
    lookup: Lookup,
    connections: HashMap<ConnectionId, Connection>,
    attempts: HashMap<ConnectionId, Dialed>,
    resolving: FuturesUnordered<BoxFuture<'static, Resolved>>,
    links: JoinSet<Ended>,
    /// Requests sent and not answered.
    asked: HashMap<OutboundRequestId, oneshot::Sender<Result<Bytes, RequestError>>>,
    /// Requests received and not answered.
    answering: FuturesUnordered<BoxFuture<'static, Answered>>,
    strangers: Quiet,
    versions: Quiet,
    garbage: Quiet,
    trouble: Quiet,
}

impl Work {
    pub(crate) fn new(now: Instant, timing: &NetworkTiming) -> Self {
        Self {
            lookup: Lookup { last: now, delay: timing.lookup_min, turn: 0 },
            connections: HashMap::new(),
            attempts: HashMap::new(),
            resolving: FuturesUnordered::new(),
            links: JoinSet::new(),
            asked: HashMap::new(),
            answering: FuturesUnordered::new(),
            strangers: Quiet::default(),
            versions: Quiet::default(),
            garbage: Quiet::default(),
            trouble: Quiet::default(),
        }
    }
}

impl Driver {
    /// Runs until the network is told to stop or every handle is gone.
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
                Some(ended) = self.work.links.join_next() => {
                    // A link that panicked would be our bug. Its stream is reset, upon which the member
                    // closes the connection.
                    if let Ok(ended) = ended { self.on_link_end(ended) }
                }
                Some((attempt, resolution)) = self.work.resolving.next() => self.dial(attempt, resolution),
                Some((channel, answer)) = self.work.answering.next() => self.on_answer(channel, answer),
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
        let patience = self.timing.close_timeout;
        let links = &mut self.work.links;
        let _ = tokio::time::timeout(patience, async {
            // The swarm is not needed for what is written to streams, each connection has its own task.
            while links.join_next().await.is_some() {}
        })
        .await;
        self.work.links.shutdown().await;
        for peer in self.peers.iter() {
            self.counters.messages_dropped.add(peer.detach());
            // An error means that it is not connected.
            let _ = self.swarm.disconnect_peer_id(peer.id);
        }
        let swarm = &mut self.swarm;
        let _ = tokio::time::timeout(patience, async {
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
            self.give_up(id, &"the direct stream was not opened in time");
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
            SwarmEvent::ConnectionClosed { connection_id, num_established, cause, .. } => {
                self.on_closed(connection_id, num_established, cause.as_ref());
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(connection_id, peer_id, &error);
            }
            SwarmEvent::IncomingConnectionError { peer_id, send_back_addr, error, .. } => {
                self.on_incoming_refused(peer_id, &send_back_addr, &error);
            }
            SwarmEvent::NewListenAddr { .. } | SwarmEvent::ExpiredListenAddr { .. } => self.note_listening(),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "not listening any more");
                self.note_listening();
            }
            SwarmEvent::ListenerError { error, .. } => {
                if let Some(more) = self.work.trouble.speak(Instant::now()) {
                    tracing::warn!(%error, more, "a connection could not be accepted");
                }
            }
            _ => {}
        }
    }

    pub(crate) fn note_listening(&mut self) {
        let own = *self.swarm.local_peer_id();
        let listening = self.swarm.listeners().map(|address| format!("{address}/p2p/{own}")).collect();
        *self.listening.write().unwrap_or_else(PoisonError::into_inner) = listening;
    }

    pub(crate) fn note_known(&self) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = self.book.worth_remembering();
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
            BehaviourEvent::Members(never) | BehaviourEvent::Crowds(never) => match never {},
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
