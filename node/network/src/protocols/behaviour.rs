//! The libp2p behaviours of a node, combined.

use std::collections::HashSet;

use libp2p::PeerId;
use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;

use crate::config::{KEPT_LIMITS_MAX, NetworkLimits, NetworkTiming};
use crate::direct::behaviour as direct;
use crate::peers::Peers;
use crate::protocols::requests::Codec;
use crate::protocols::version::{self, Names};
use crate::protocols::{discovery, member_gossip};

/// Maximum connections of one peer at the same time: the old one, the new one that replaces it, and
/// on each side one that is being closed.
const CONNECTIONS_PER_PEER: u32 = 4;

/// The order of the fields matters: libp2p offers a connection to each field in turn. The first two
/// refuse unknown peers and connections above the limits before the other fields process them.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) members: allow_block_list::Behaviour<AllowedPeers>,
    pub(crate) connection_limits: connection_limits::Behaviour,
    pub(crate) direct: direct::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) discovery: discovery::Behaviour,
    pub(crate) gossip: member_gossip::Behaviour,
    pub(crate) requests: request_response::Behaviour<Codec>,
}

impl Behaviour {
    /// All behaviours for the node with `keypair`. `advertises` says whether this node advertises
    /// addresses other than those it listens on.
    ///
    /// # Errors
    /// The reason, if the gossip settings contradict each other.
    pub(crate) fn new(
        keypair: &Keypair,
        advertises: bool,
        names: &Names,
        peers: &Peers,
        limits: &NetworkLimits,
        timing: &NetworkTiming,
        codec: Codec,
    ) -> Result<Self, String> {
        // Including removed peers, whose connections are being closed.
        let keys = u32::try_from(KEPT_LIMITS_MAX).unwrap_or(u32::MAX);
        let connection_limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_incoming))
            .with_max_established(Some(keys.saturating_mul(CONNECTIONS_PER_PEER)))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER));
        let identify = identify::Config::new(names.version(), keypair.public())
            .with_agent_version(version::own_program())
            .with_push_listen_addr_updates(true)
            // The listen addresses may be many and unreachable from outside, and peers keep only a
            // few.
            .with_hide_listen_addrs(advertises)
            .with_cache_size(0);
        let requests = request_response::Config::default()
            .with_request_timeout(timing.request_timeout)
            // Outgoing and incoming requests share this limit.
            .with_max_concurrent_streams(2 * limits.requests_per_peer);
        let mut behaviour = Self {
            members: allow_block_list::Behaviour::default(),
            connection_limits: connection_limits::Behaviour::new(connection_limits),
            direct: direct::Behaviour::new(names.protocol("direct"), timing.dial_timeout),
            identify: identify::Behaviour::new(identify),
            discovery: discovery::Behaviour::new(
                keypair.public().to_peer_id(),
                names.protocol("kademlia"),
                2 * timing.dial_timeout,
            ),
            gossip: member_gossip::Behaviour::new(names, limits)?,
            requests: request_response::Behaviour::with_codec(
                codec,
                [(names.protocol("request"), ProtocolSupport::Full)],
                requests,
            ),
        };
        behaviour.set_peers(peers);
        Ok(behaviour)
    }

    /// Admits only these peers from now on. Connections of all others are closed.
    pub(crate) fn set_peers(&mut self, peers: &Peers) {
        let admitted: HashSet<PeerId> = peers.iter().map(|peer| peer.id).collect();
        let removed: Vec<PeerId> = self.members.allowed_peers().difference(&admitted).copied().collect();
        for id in removed {
            self.members.disallow_peer(id);
        }
        for id in admitted {
            self.members.allow_peer(id);
        }
        let members = peers.members().filter(|_| peers.own_is_member());
        self.gossip.set_members(members.map(|peer| peer.id).collect());
    }
}
