//! The libp2p behaviours of a node, combined.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use libp2p::allow_block_list::{self, AllowedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{
    self, IdentTopic, IdentityTransform, MessageAuthenticity, MessageId, ValidationMode,
    WhitelistSubscriptionFilter,
};
use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::{NetworkBehaviour, StreamProtocol};
use sha2::{Digest, Sha256};

use crate::config::{NetworkLimits, NetworkTiming};
use crate::counters::Counters;
use crate::peer::Peers;
use crate::requests::Codec;
use crate::version::{self, WIRE_VERSION};
use crate::{direct, discovery, member_gossip};

/// Maximum connections of one peer at the same time: the old one, the new one that replaces it, and
/// on each side one that is being closed.
const CONNECTIONS_PER_PEER: u32 = 4;

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

pub(crate) type Gossip = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

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

/// The protocol names of this network.
pub(crate) struct Names {
    network: String,
}

impl Names {
    pub(crate) fn new(network: &str) -> Self {
        Self { network: network.to_owned() }
    }

    /// The protocol version that identify sends and expects.
    pub(crate) fn version(&self) -> String {
        version::protocol(&self.network)
    }

    pub(crate) fn topic(&self) -> IdentTopic {
        IdentTopic::new(format!("/quorate/{}/gossip/{WIRE_VERSION}", self.network))
    }

    fn protocol(&self, part: &str) -> StreamProtocol {
        let name = format!("/quorate/{}/{part}/{WIRE_VERSION}", self.network);
        StreamProtocol::try_from_owned(name).expect("it begins with a slash")
    }
}

/// How this node presents itself to its peers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presentation {
    /// Whether this node is a member; otherwise it is an observer.
    pub(crate) is_member: bool,
    /// Whether this node advertises addresses other than those it listens on.
    pub(crate) advertises: bool,
}

impl Behaviour {
    /// All behaviours for the node with `keypair`.
    ///
    /// # Errors
    /// The reason, if the gossip settings contradict each other.
    pub(crate) fn new(
        keypair: &Keypair,
        presentation: Presentation,
        names: &Names,
        peers: &Peers,
        limits: &NetworkLimits,
        timing: &NetworkTiming,
        counters: Arc<Counters>,
    ) -> Result<Self, String> {
        let mut members = allow_block_list::Behaviour::default();
        for peer in peers.iter() {
            members.allow_peer(peer.id);
        }
        let gossiping = if presentation.is_member {
            peers.members().map(|peer| peer.id).collect()
        } else {
            HashSet::new()
        };
        let established = u32::try_from(peers.len()).unwrap_or(u32::MAX).saturating_mul(CONNECTIONS_PER_PEER);
        let connection_limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_incoming))
            .with_max_established(Some(established))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER));
        let identify = identify::Config::new(names.version(), keypair.public())
            .with_agent_version(version::own_program())
            .with_push_listen_addr_updates(true)
            // The listen addresses may be many and unreachable from outside, and peers keep only a
            // few.
            .with_hide_listen_addrs(presentation.advertises)
            .with_cache_size(0);
        let requests = request_response::Config::default()
            .with_request_timeout(timing.request_timeout)
            // Outgoing and incoming requests share this limit.
            .with_max_concurrent_streams(2 * limits.requests_per_peer);
        let codec = Codec {
            request_bytes_max: limits.request_bytes,
            response_bytes_max: limits.response_bytes,
            counters,
        };
        Ok(Self {
            members,
            connection_limits: connection_limits::Behaviour::new(connection_limits),
            direct: direct::Behaviour::new(names.protocol("direct"), timing.dial_timeout),
            identify: identify::Behaviour::new(identify),
            discovery: discovery::Behaviour::new(
                keypair.public().to_peer_id(),
                names.protocol("kademlia"),
                2 * timing.dial_timeout,
            ),
            gossip: member_gossip::Behaviour::new(gossip(names, limits)?, gossiping),
            requests: request_response::Behaviour::with_codec(
                codec,
                [(names.protocol("request"), ProtocolSupport::Full)],
                requests,
            ),
        })
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
