//! Kademlia, restricted: it may find addresses, but it may not dial.
//!
//! libp2p's Kademlia connects by itself to every peer that it wants to query. That would bypass the
//! rule which member of a pair dials, and the redial back-off. So this behaviour turns each dial
//! request of Kademlia into an event with the addresses that Kademlia has for the peer. The query
//! continues if and when the connection exists.

use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::kad::{self, BucketInserts, Mode, StoreInserts};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, StreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

/// An event of the discovery.
#[derive(Debug)]
pub(crate) enum Event {
    /// Another peer reported these addresses for `peer`. They are unverified.
    Found { peer: PeerId, addresses: Vec<Multiaddr> },
    /// A query made progress or ended. The node ignores this.
    Progress,
}

/// See the module.
pub(crate) struct Behaviour {
    inner: kad::Behaviour<MemoryStore>,
}

impl Behaviour {
    /// A routing table of peers that speak `protocol`. Each query ends within `query_timeout`.
    pub(crate) fn new(own: PeerId, protocol: StreamProtocol, query_timeout: Duration) -> Self {
        // Only addresses are exchanged: records that other peers want to store are refused.
        let store = MemoryStoreConfig { max_records: 0, max_provided_keys: 0, ..Default::default() };
        let mut config = kad::Config::new(protocol);
        config
            .set_query_timeout(query_timeout)
            .set_record_filtering(StoreInserts::FilterBoth)
            .set_record_ttl(None)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None)
            .set_periodic_bootstrap_interval(None)
            .set_kbucket_inserts(BucketInserts::Manual);
        let mut inner = kad::Behaviour::with_config(own, MemoryStore::with_config(own, store), config);
        // Without this a node stays a Kademlia client until it knows an external address, and the
        // routing tables stay empty.
        inner.set_mode(Some(Mode::Server));
        Self { inner }
    }

    /// Replaces the addresses of `peer` by those that it announces.
    pub(crate) fn announce(&mut self, peer: &PeerId, addresses: &[Multiaddr]) {
        self.inner.remove_peer(peer);
        for address in addresses {
            self.inner.add_address(peer, address.clone());
        }
    }

    /// Removes `peer` from the routing table. Its addresses are no longer reported to other nodes.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.inner.remove_peer(peer);
    }

    /// Starts a query for `peer`.
    pub(crate) fn look_up(&mut self, peer: PeerId) {
        self.inner.get_closest_peers(peer);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<kad::Behaviour<MemoryStore>>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    // `handle_pending_outbound_connection` is deliberately not forwarded: only the event loop
    // supplies addresses for a dial.

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            return match self.inner.poll(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(ToSwarm::Dial { opts }) => {
                    let Some(peer) = opts.get_peer_id() else { continue };
                    let id = opts.connection_id();
                    let known =
                        self.inner.handle_pending_outbound_connection(id, Some(peer), &[], Endpoint::Dialer);
                    match known {
                        Ok(addresses) if !addresses.is_empty() => {
                            Poll::Ready(ToSwarm::GenerateEvent(Event::Found { peer, addresses }))
                        }
                        _ => continue,
                    }
                }
                Poll::Ready(other) => Poll::Ready(other.map_out(|_| Event::Progress)),
            };
        }
    }
}
