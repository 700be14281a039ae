//! Gossip among members only.
//!
//! On a connection with an observer this behaviour does not negotiate the gossip protocol. The
//! wrapped gossipsub behaviour receives no event about such a connection, so nothing is sent to or
//! accepted from an observer.
//!
//! Which connections carry gossip is decided when each is established. A peer whose role changed
//! may have connections of both kinds for a moment. The wrapped behaviour then counts only those
//! that carry gossip. Nothing is accepted any more from a peer that is no member.

use std::collections::{HashMap, HashSet};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, PublishError, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use sha2::{Digest, Sha256};

use crate::config::NetworkLimits;
use crate::protocols::version::Names;

/// Bytes that gossip adds to a message: topic and framing.
const GOSSIP_ENVELOPE_BYTES: usize = 1024;

/// The gossipsub heartbeat interval. Messages of the last [`GOSSIP_HISTORY`] heartbeats, about a
/// second of traffic, stay in memory for members that missed them.
const GOSSIP_BEAT: Duration = Duration::from_millis(300);
const GOSSIP_HISTORY: usize = 3;

/// How long gossip remembers the id of a message, so that it does not relay the message twice. Many
/// times longer than a message needs to reach all members, and short enough that a flood of small
/// messages costs little memory.
const GOSSIP_MEMORY: Duration = Duration::from_secs(15);

type Gossip = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// See the module.
pub(crate) struct Behaviour {
    inner: Gossip,
    members: HashSet<PeerId>,
    /// The connections that carry gossip.
    carriers: HashMap<PeerId, HashSet<ConnectionId>>,
}

impl Behaviour {
    /// Gossip on this network's topic, without members yet.
    ///
    /// # Errors
    /// The reason, if the gossip settings contradict each other.
    pub(crate) fn new(names: &Names, limits: &NetworkLimits) -> Result<Self, String> {
        Ok(Self { inner: gossip(names, limits)?, members: HashSet::new(), carriers: HashMap::new() })
    }

    /// Gossips only with these peers from now on. The caller closes the connections of all peers
    /// that become or cease to be members.
    pub(crate) fn set_members(&mut self, members: HashSet<PeerId>) {
        self.members = members;
    }

    /// Publishes a message.
    pub(crate) fn publish(&mut self, topic: IdentTopic, bytes: Vec<u8>) -> Result<MessageId, PublishError> {
        self.inner.publish(topic, bytes)
    }

    fn on_established(&mut self, event: ConnectionEstablished<'_>) {
        // The connection's handler was made just before, with the same members.
        if !self.members.contains(&event.peer_id) {
            return;
        }
        let carriers = self.carriers.entry(event.peer_id).or_default();
        let other_established = carriers.len();
        carriers.insert(event.connection_id);
        let event = ConnectionEstablished { other_established, ..event };
        self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(event));
    }

    fn on_closed(&mut self, event: ConnectionClosed<'_>) {
        let Some(carriers) = self.carriers.get_mut(&event.peer_id) else { return };
        if !carriers.remove(&event.connection_id) {
            return;
        }
        let remaining_established = carriers.len();
        if carriers.is_empty() {
            self.carriers.remove(&event.peer_id);
        }
        let event = ConnectionClosed { remaining_established, ..event };
        self.inner.on_swarm_event(FromSwarm::ConnectionClosed(event));
    }

    fn is_carrier(&self, peer: &PeerId, connection: ConnectionId) -> bool {
        self.carriers.get(peer).is_some_and(|carriers| carriers.contains(&connection))
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Either<THandler<Gossip>, dummy::ConnectionHandler>;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.members.contains(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(Either::Left(handler))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.members.contains(&peer) {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler =
            self.inner.handle_established_outbound_connection(connection, peer, address, role, port)?;
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.on_established(event),
            FromSwarm::ConnectionClosed(event) => self.on_closed(event),
            FromSwarm::AddressChange(event) if !self.is_carrier(&event.peer_id, event.connection_id) => {}
            event => self.inner.on_swarm_event(event),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            // The connection of a removed member is being closed: what still arrives on it is
            // neither delivered nor forwarded.
            Either::Left(_) if !self.members.contains(&peer) => {}
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<gossipsub::Event, THandlerInEvent<Self>>> {
        self.inner.poll(context).map(|action| action.map_in(Either::Left))
    }
}

/// Messages are anonymous: noise has authenticated the member that relays a message, and the
/// content (signed transactions) carries its own signatures. Verifying an additional author
/// signature on each copy would cost time and prove nothing new. The id of a message is the SHA-256
/// of its content, so no member can pass one message off as another.
///
/// With up to 12 peers, every member can be in every member's mesh: libp2p's default degrees (6, at
/// least 5, at most 12) fit every committee size. Own messages go to all connected members at once,
/// independent of the mesh.
fn gossip(names: &Names, limits: &NetworkLimits) -> Result<Gossip, String> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(names.protocol("gossipsub").as_ref().to_owned())
        .validation_mode(ValidationMode::Anonymous)
        .message_id_fn(|message| MessageId::from(Sha256::digest(&message.data).to_vec()))
        .max_transmit_size(limits.gossip_message_bytes + GOSSIP_ENVELOPE_BYTES)
        .flood_publish(true)
        .heartbeat_initial_delay(GOSSIP_BEAT)
        .heartbeat_interval(GOSSIP_BEAT)
        .history_length(GOSSIP_HISTORY)
        .history_gossip(GOSSIP_HISTORY)
        .duplicate_cache_time(GOSSIP_MEMORY)
        // Messages that may wait for one slow peer. Further messages are dropped and counted.
        .connection_handler_queue_len(limits.publish_messages)
        .build()
        .map_err(|error| error.to_string())?;
    let topic = names.topic();
    let filter = WhitelistSubscriptionFilter([topic.hash()].into());
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)?;
    gossip.subscribe(&topic).map_err(|error| format!("{error:?}"))?;
    Ok(gossip)
}
