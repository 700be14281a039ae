//! Connections that come, work, and go.

use std::fmt::Display;
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionError, ConnectionId, ListenError};
use libp2p::{Multiaddr, PeerId, allow_block_list, connection_limits, identify};
use tokio_util::sync::CancellationToken;

use super::{Attempt, Connection, Driver, Ended};
use crate::addresses::without_peer;
use crate::direct::{self, OpenError};
use crate::link::{Link, LinkEnd};
use crate::status::Direction;
use crate::version;

impl Driver {
    /// A connection was made. `first`: its member has no other.
    pub(super) fn on_connected(
        &mut self,
        id: PeerId,
        connection: ConnectionId,
        endpoint: &ConnectedPoint,
        first: bool,
    ) {
        let dialed = self.work.attempts.remove(&connection);
        let attempt = dialed.as_ref().map(|dialed| dialed.attempt);
        let Some(peer) = self.peers.by_id(&id).cloned() else {
            // The allow list has refused it already; two locks are better than one.
            self.swarm.close_connection(connection);
            return;
        };
        if endpoint.is_dialer() && !peer.is_member() {
            // An observer answers at what was taken for a member's address. Nobody is dialed there.
            if let Some(Attempt::Bootstrap(number)) = attempt {
                let now = Instant::now();
                self.bootstrap.failed(number, now);
                for (_, written) in dialed.iter().flat_map(|dialed| &dialed.addresses) {
                    self.on_address_failed(
                        Attempt::Bootstrap(number),
                        written,
                        "an observer answers there",
                        now,
                    );
                }
            }
            self.swarm.close_connection(connection);
            return;
        }
        let (direction, address) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => {
                // Without the peer id, which is the member's key in other words.
                let plain = without_peer(address).map_or_else(|_| address.clone(), |(plain, _)| plain);
                self.book.prove(peer.key, plain.clone());
                self.note_known();
                let written =
                    dialed.as_ref().and_then(|dialed| Some((dialed.attempt, dialed.written(&plain)?)));
                if let Some((attempt, written)) = written
                    && self.failures.worked(attempt.member(), written)
                {
                    self.publish_failures();
                }
                (Direction::Outgoing, plain)
            }
            ConnectedPoint::Listener { send_back_addr, .. } => (Direction::Incoming, send_back_addr.clone()),
        };
        if let Some(Attempt::Bootstrap(number)) = attempt {
            self.on_bootstrap_known(number, peer.key);
        }
        tracing::debug!(peer = %peer.key, %address, ?direction, first, "connection established");
        self.dialing.connected(&peer.key);
        let since = Instant::now();
        let deadline = Some(since + self.timing.dial_timeout);
        let cut = CancellationToken::new();
        self.work
            .connections
            .insert(connection, Connection { peer, first, direction, address, deadline, cut, since });
    }

    /// A connection is gone, and `remaining` of that member are left.
    pub(super) fn on_closed(&mut self, id: ConnectionId, remaining: u32, reason: Option<&ConnectionError>) {
        let Some(connection) = self.work.connections.remove(&id) else { return };
        connection.cut.cancel();
        tracing::debug!(peer = %connection.peer.key, ?reason, remaining, "connection closed");
        let linked = connection.deadline.is_none();
        if let (false, Some(reason)) = (linked, reason) {
            connection.peer.failed(reason);
        }
        if remaining == 0 {
            // One that we always lose again at once deserves the back-off of one we never get.
            let now = Instant::now();
            let lasted = linked && now >= connection.since + self.timing.redial_max;
            self.dialing.closed(&connection.peer.key, lasted, now);
            // Its address may be another when it comes back.
            self.look_up_soon();
        }
    }

    /// Closes a connection for a reason of ours.
    pub(super) fn give_up(&mut self, id: ConnectionId, reason: &dyn Display) {
        if let Some(connection) = self.work.connections.get_mut(&id) {
            connection.peer.failed(reason);
            // Not a second time while it is being closed. It stays a failure if it was one.
            if connection.deadline.is_some() {
                connection.deadline = Some(Instant::now() + 2 * self.timing.close_timeout);
            }
            connection.cut.cancel();
        }
        self.swarm.close_connection(id);
    }

    /// Somebody who came did not get in.
    pub(super) fn on_incoming_refused(
        &mut self,
        peer: Option<PeerId>,
        from: &Multiaddr,
        error: &ListenError,
    ) {
        match error {
            ListenError::Denied { cause }
                if cause.downcast_ref::<allow_block_list::NotAllowed>().is_some() =>
            {
                if let Some(stranger) = peer {
                    self.on_stranger(&stranger, "tried to connect");
                }
            }
            ListenError::Denied { cause }
                if cause.downcast_ref::<connection_limits::Exceeded>().is_some() =>
            {
                self.counters.incoming_over_limit.one();
            }
            error => {
                self.counters.upgrades_failed.one();
                if let Some(more) = self.work.garbage.speak(Instant::now()) {
                    tracing::info!(%from, %error, more, "refused a connection without identity");
                }
            }
        }
    }

    /// Somebody with a key that is not a member's.
    pub(super) fn on_stranger(&mut self, stranger: &PeerId, what: &'static str) {
        self.counters.strangers_refused.one();
        if let Some(more) = self.work.strangers.speak(Instant::now()) {
            tracing::warn!(peer = %stranger, more, "refused a peer that is no member: it {what}");
        }
    }

    /// The direct stream of a connection is open, or never will be.
    pub(super) fn on_direct(&mut self, event: direct::Event) {
        let direct::Event { peer, connection: id, outcome } = event;
        let Some(connection) = self.work.connections.get_mut(&id) else { return };
        let stream = match outcome {
            Ok(stream) => stream,
            // What it says of itself comes over the same connection, and tells more than a refusal. If it says nothing,
            // the deadline ends the connection.
            Err(error @ OpenError::Foreign) => return connection.peer.failed(&error),
            Err(error) => return self.give_up(id, &error),
        };
        if connection.cut.is_cancelled() {
            return;
        }
        if !connection.first {
            return self.replace(&peer);
        }
        connection.deadline = None;
        let link = Link {
            peer: connection.peer.clone(),
            address: connection.address.to_string(),
            direction: connection.direction,
            inbox: self.inbox.clone(),
            counters: self.counters.clone(),
            limits: self.limits.clone(),
            timing: self.timing.clone(),
            cut: connection.cut.clone(),
            stop: self.stop.clone(),
        };
        let peer = connection.peer.clone();
        self.work.links.spawn(async move { Ended { connection: id, peer, end: link.run(stream).await } });
    }

    /// See the module: a member that comes back.
    fn replace(&mut self, id: &PeerId) {
        self.counters.connections_replaced.one();
        for connection in self.work.connections.values().filter(|connection| connection.peer.id == *id) {
            tracing::debug!(peer = %connection.peer.key, "connection replaced");
            connection.cut.cancel();
        }
        // An error means that it is not connected any more.
        let _ = self.swarm.disconnect_peer_id(*id);
    }

    /// A direct stream has ended, and its connection ends with it.
    pub(super) fn on_link_end(&mut self, ended: Ended) {
        let Ended { connection, peer, end } = ended;
        match end {
            LinkEnd::Cut | LinkEnd::Stopped => {}
            LinkEnd::Garbage(_) => self.counters.garbage_received.one(),
            LinkEnd::Silent(_) => self.counters.connections_silent.one(),
            LinkEnd::Closed | LinkEnd::Broken(_) => {}
        }
        if !matches!(end, LinkEnd::Cut) {
            tracing::debug!(peer = %peer.key, %end, "direct stream ended");
            peer.failed(&end);
        }
        self.swarm.close_connection(connection);
    }

    /// A member says which network it is of, which program it is, and where it listens.
    pub(super) fn on_identified(&mut self, connection: ConnectionId, id: &PeerId, info: &identify::Info) {
        let Some(peer) = self.peers.by_id(id) else { return };
        peer.identified(version::program(&info.agent_version));
        if let Err(error) = version::check(&self.network, &info.protocol_version) {
            self.counters.foreign_networks.one();
            if let Some(more) = self.work.versions.speak(Instant::now()) {
                let program = version::program(&info.agent_version);
                tracing::warn!(peer = %peer.key, program, more, "a member cannot be talked to: {error}");
            }
            return self.give_up(connection, &error);
        }
        // Where an observer listens is nobody's business: it is not dialed.
        if !peer.is_member() {
            return;
        }
        let announced = self.book.announce(peer.key, &info.listen_addrs);
        self.note_known();
        self.swarm.behaviour_mut().discovery.announce(id, &announced);
        self.look_up_soon();
    }
}
