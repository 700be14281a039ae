//! Establishing, using and closing connections.

use std::fmt::Display;
use std::time::Instant;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionError, ConnectionId, ListenError};
use libp2p::{Multiaddr, PeerId, allow_block_list, connection_limits, identify};

use super::Driver;
use super::work::{Attempt, Connection, Dialed, Ended};
use crate::dialing::addresses::without_peer;
use crate::direct::behaviour::{Event as DirectEvent, OpenError};
use crate::direct::link::{Link, LinkEnd};
use crate::identity::PeerKey;
use crate::protocols::version;
use crate::status::Direction;

impl Driver {
    /// A connection was established. `first` says whether it is the member's only one.
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
            // The allow list has refused the peer already, unless the peer was removed just now.
            if let Some(Attempt::Bootstrap(number)) = attempt {
                self.bootstrap.failed(number, Instant::now());
            }
            self.swarm.close_connection(connection);
            return;
        };
        if endpoint.is_dialer() && !peer.is_member() {
            // Members and observers never dial observers, so this is a bootstrap address.
            self.on_observer_reached(dialed.as_ref());
            self.swarm.close_connection(connection);
            return;
        }
        let (direction, address) = match endpoint {
            ConnectedPoint::Dialer { address, .. } => {
                (Direction::Outgoing, self.on_address_reached(peer.key, address, dialed.as_ref()))
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
        let cut = peer.source.connection_token();
        self.work
            .connections
            .insert(connection, Connection { peer, first, direction, address, deadline, cut, since });
    }

    /// An observer answered where this node expected a member.
    fn on_observer_reached(&mut self, dialed: Option<&Dialed>) {
        let Some(Dialed { attempt: attempt @ Attempt::Bootstrap(number), addresses }) = dialed else {
            return;
        };
        let now = Instant::now();
        self.bootstrap.failed(*number, now);
        for (_, written) in addresses {
            self.on_address_failed(*attempt, written, "an observer answers there", now);
        }
    }

    /// The member answered at this address. Returns the address without the peer id, which repeats
    /// the member's key.
    fn on_address_reached(
        &mut self,
        member: PeerKey,
        address: &Multiaddr,
        dialed: Option<&Dialed>,
    ) -> Multiaddr {
        let plain = without_peer(address).map_or_else(|_| address.clone(), |(plain, _)| plain);
        self.book.prove(member, plain.clone());
        self.publish_known();
        if let Some(dialed) = dialed
            && let Some(written) = dialed.written(&plain)
            && self.failures.worked(dialed.attempt.member(), written)
        {
            self.publish_failures();
        }
        plain
    }

    /// A connection was closed; its peer has `remaining` others.
    pub(super) fn on_closed(
        &mut self,
        peer: &PeerId,
        id: ConnectionId,
        remaining: u32,
        reason: Option<&ConnectionError>,
    ) {
        let Some(connection) = self.work.connections.remove(&id) else {
            // The node refused this connection. If the peer has become a member meanwhile, the node
            // waits for the end of the connection before it dials.
            if let (0, Some(peer)) = (remaining, self.peers.by_id(peer)) {
                self.dialing.closed(&peer.key, true, Instant::now());
            }
            return;
        };
        connection.cut.cancel();
        tracing::debug!(peer = %connection.peer.key, ?reason, remaining, "connection closed");
        let linked = connection.deadline.is_none();
        if let (false, Some(reason)) = (linked, reason) {
            connection.peer.failed(reason);
        }
        if remaining == 0 {
            // A connection that is lost at once every time gets the same back-off as one that is
            // never established. One that ended because of a change of roles is no failure.
            let now = Instant::now();
            let lasted = linked && now >= connection.since + self.timing.redial_max;
            let lasted = lasted || connection.peer.source.is_removed();
            self.dialing.closed(&connection.peer.key, lasted, now);
            // The member may reconnect from another address.
            self.look_up_soon();
        }
    }

    /// Closes a connection and records the reason.
    pub(super) fn close_with_reason(&mut self, id: ConnectionId, reason: &dyn Display) {
        if let Some(connection) = self.work.connections.get_mut(&id) {
            connection.peer.failed(reason);
            // Postpone the deadline, so that the connection is not closed a second time meanwhile.
            // It stays set, because a connection without a working stream counts as a failure.
            if connection.deadline.is_some() {
                connection.deadline = Some(Instant::now() + 2 * self.timing.close_timeout);
            }
            connection.cut.cancel();
        }
        self.swarm.close_connection(id);
    }

    /// An incoming connection was refused.
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
                if let Some(more) = self.work.garbage.admit(Instant::now()) {
                    tracing::info!(%from, %error, more, "refused an incoming connection that did not authenticate");
                }
            }
        }
    }

    /// A peer whose key is neither a member's nor an observer's was refused.
    pub(super) fn on_stranger(&mut self, stranger: &PeerId, what: &'static str) {
        self.counters.unknown_peers_refused.one();
        if let Some(more) = self.work.strangers.admit(Instant::now()) {
            tracing::warn!(peer = %stranger, more, "refused a peer that is no member: it {what}");
        }
    }

    /// The direct stream of a connection was opened, or opening it failed.
    pub(super) fn on_direct(&mut self, event: DirectEvent) {
        let DirectEvent { peer, connection: id, outcome } = event;
        let Some(connection) = self.work.connections.get_mut(&id) else { return };
        let stream = match outcome {
            Ok(stream) => stream,
            // The member's identify message arrives over the same connection, and explains more
            // than a refusal. If it sends none, the deadline ends the connection.
            Err(error @ OpenError::Foreign) => return connection.peer.failed(&error),
            Err(error) => return self.close_with_reason(id, &error),
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

    /// Closes all connections of a member that reconnects, see the module documentation.
    fn replace(&mut self, id: &PeerId) {
        self.counters.connections_replaced.one();
        for connection in self.work.connections.values().filter(|connection| connection.peer.id == *id) {
            tracing::debug!(peer = %connection.peer.key, "connection replaced");
            connection.cut.cancel();
        }
        // An error means that the member is no longer connected.
        let _ = self.swarm.disconnect_peer_id(*id);
    }

    /// A direct stream ended, so its connection is closed.
    pub(super) fn on_link_end(&mut self, ended: Ended) {
        let Ended { connection, peer, end } = ended;
        match end {
            LinkEnd::Cut | LinkEnd::Stopped => {}
            LinkEnd::Garbage(_) => self.counters.malformed_received.one(),
            LinkEnd::Silent(_) => self.counters.connections_silent.one(),
            LinkEnd::Closed | LinkEnd::Broken(_) => {}
        }
        if !matches!(end, LinkEnd::Cut) {
            tracing::debug!(peer = %peer.key, %end, "direct stream ended");
            peer.failed(&end);
        }
        self.swarm.close_connection(connection);
    }

    /// A member announced its network, its program, and its listen addresses.
    pub(super) fn on_identified(&mut self, connection: ConnectionId, id: &PeerId, info: &identify::Info) {
        let Some(peer) = self.peers.by_id(id) else { return };
        peer.identified(version::program(&info.agent_version));
        if let Err(error) = version::check(&self.network, &info.protocol_version) {
            self.counters.wrong_network.one();
            if let Some(more) = self.work.versions.admit(Instant::now()) {
                let program = version::program(&info.agent_version);
                tracing::warn!(peer = %peer.key, program, more, "closed the connection to a member that is incompatible: {error}");
            }
            return self.close_with_reason(connection, &error);
        }
        // Ignore the listen addresses of an observer: members never dial it.
        if !peer.is_member() {
            return;
        }
        let announced = self.book.announce(peer.key, &info.listen_addrs);
        self.publish_known();
        self.swarm.behaviour_mut().discovery.announce(id, &announced);
        self.look_up_soon();
    }
}
