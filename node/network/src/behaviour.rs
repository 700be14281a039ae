//! The libp2p behaviours of a node, put together.

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
use crate::{among_members, direct, discovery};

/// Connections of one peer at the same time: the old one, the new one that replaces it, and one that is
/// being closed on each side.
const CONNECTIONS_PER_PEER: u32 = 4;

/// What gossip adds around a message: topic and framing.
const GOSSIP_ENVELOPE_BYTES: usize = 1024;

/// The rhythm of gossip's own upkeep. What was published within [`GOSSIP_HISTORY`] beats is kept in
/// memory for those who missed it, which is about a second of traffic.
const GOSSIP_BEAT: Duration = Duration::from_millis(300);
const GOSSIP_HISTORY: usize = 3;

/// How long the content of a message is remembered, so that it is not relayed twice. Many times what a
/// message needs to reach everyone, and not so long that a flood of small messages costs much memory.
const GOSSIP_MEMORY: Duration = Duration::from_secs(15);

pub(crate) type Gossip = gossipsub::Behaviour<IdentityTransform, WhitelistSubscriptionFilter>;

/// The order matters: a connection is offered to each field in turn, and the first two refuse strangers
/// and crowds before the others hear of them.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) members: allow_block_list::Behaviour<AllowedPeers>,
    pub(crate) crowds: connection_limits::Behaviour,
    pub(crate) direct: direct::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) discovery: discovery::Behaviour,
    pub(crate) gossip: among_members::Behaviour,
    pub(crate) requests: request_response::Behaviour<Codec>,
}

/// The names under which this network's protocols are negotiated.
pub(crate) struct Names {
    network: String,
}

impl Names {
    pub(crate) fn new(network: &str) -> Self {
        Self { network: network.to_owned() }
    }

    /// What identify says and expects.
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

/// What this node is to the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Appearance {
    /// A member, or an observer.
    pub(crate) is_member: bool,
    /// Others are told other addresses than those it listens on.
    pub(crate) advertises: bool,
}

impl Behaviour {
    /// All behaviours for the node with `keypair`. Fails with a reason only if the gossip settings contradict each
    /// other.
    pub(crate) fn new(
        keypair: &Keypair,
        appearance: Appearance,
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
        let gossiping =
            if appearance.is_member { peers.members().map(|peer| peer.id).collect() } else { HashSet::new() };
        let established = u32::try_from(peers.len()).unwrap_or(u32::MAX).saturating_mul(CONNECTIONS_PER_PEER);
        let crowds = ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_incoming))
            .with_max_established(Some(established))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER));
        let identify = identify::Config::new(names.version(), keypair.public())
            .with_agent_version(version::own_program())
            .with_push_listen_addr_updates(true)
            // Those it listens on may be many and lead nowhere from outside; others keep a few of each member.
            .with_hide_listen_addrs(appearance.advertises)
            .with_cache_size(0);
        let requests = request_response::Config::default()
            .with_request_timeout(timing.request_timeout)
            // Ours and theirs share this number.
            .with_max_concurrent_streams(2 * limits.requests_per_peer);
        let codec = Codec {
            request_bytes_max: limits.request_bytes,
            response_bytes_max: limits.response_bytes,
            counters,
        };
        Ok(Self {
            members,
            crowds: connection_limits::Behaviour::new(crowds),
            direct: direct::Behaviour::new(names.protocol("direct"), timing.dial_timeout),
            identify: identify::Behaviour::new(identify),
            discovery: discovery::Behaviour::new(
                keypair.public().to_peer_id(),
                names.protocol("kademlia"),
                2 * timing.dial_timeout,
            ),
            gossip: among_members::Behaviour::new(gossip(names, limits)?, gossiping),
            requests: request_response::Behaviour::with_codec(
                codec,
                [(names.protocol("request"), ProtocolSupport::Full)],
                requests,
            ),
        })
    }
}

/// Gossip among members.
///
/// Messages are anonymous: noise has authenticated the member that relays them, and what they carry (signed
/// transactions) speaks for itself. A signature by the author, checked for each copy that arrives, would
/// cost more than it tells. A message is known by the SHA-256 of its content, so that nobody can
/// make one message pass for another.
///
/// With up to 12 peers everyone is in everyone's mesh, or could be: libp2p's default degrees (6, at least 5,
/// at most 12) fit every committee size. Own messages go to all connected members at once, whatever the mesh.
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
        // What may wait for one slow peer; more is dropped and counted.
        .connection_handler_queue_len(limits.publish_messages)
        .build()
        .map_err(|error| error.to_string())?;
    let topic = names.topic();
    let filter = WhitelistSubscriptionFilter([topic.hash()].into());
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)?;
    gossip.subscribe(&topic).map_err(|error| format!("{error:?}"))?;
    Ok(gossip)
}
