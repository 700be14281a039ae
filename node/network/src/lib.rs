//! Authenticated bytes between the members of a permissioned network.
//!
//! A member is a secp256k1 key. This crate finds the members from one address, keeps one connection
//! to each, and offers three ways to send: direct messages (ordered, dropped when a peer is slow),
//! gossip (to all members, with high probability), and requests with answers. It does not interpret
//! the bytes: other crates handle validity, votes and blocks. It is the only crate that depends on
//! libp2p, and no libp2p type is in its interface.
//!
//! # Guarantees
//! * Only members and listed observers are admitted. Observers may send requests, and receive the
//!   messages for observers; the node accepts no gossip from them, and skips their direct messages.
//!   Every other peer is refused as soon as the noise handshake has shown its key, before any protocol
//!   runs. Nodes of different chains cannot communicate: the network's name is part of every
//!   protocol name.
//! * [`NetworkEvent::Connected`] means that a direct stream works in both directions. Heartbeats
//!   monitor it.
//! * Direct messages of one connection arrive in order. Messages in flight when a connection ends
//!   are lost, so the layer above must resend them when it receives `Connected`.
//! * A member that was restarted is connected again within about a second, even if its old
//!   connection still looks alive: the newest connection that opens a direct stream replaces the
//!   older ones.
//! * Members and observers may change while the node runs ([`Network::set_peers`]). Connections of
//!   peers whose role stays are not affected. Removed peers are disconnected and refused from then
//!   on, and none of their messages is delivered after the call.
//! * Nothing is unbounded. Every limit is a field of [`NetworkLimits`], which documents what
//!   happens when it is reached. A slow or Byzantine member fills only its own queues.
//!
//! # Design
//! Of each pair the member with the smaller key dials. The other one dials only after a grace time.
//! Addresses come from the configuration, from the members' own announcements (identify), and from
//! what other members report (Kademlia). The direct streams are implemented here (length-prefixed
//! frames, see `direct`); gossip and requests are libp2p's.
//!
//! The lists of members and observers are one immutable value (`peers`). The handle replaces it,
//! and the driver compares the two values to find the connections that must end and the members to
//! dial. A peer has one role for its whole life. When its role changes, another peer with the same key
//! takes its place, and its connection is made again with the protocols of the new role.
//!
//! # Example
//! ```no_run
//! use quorate_network::{NetworkConfig, NetworkEvent, NetworkLimits, NetworkTiming, PeerKey, start};
//!
//! # async fn example(secret: [u8; 32], members: Vec<PeerKey>) -> Result<(), Box<dyn std::error::Error>> {
//! let (network, mut events) = start(NetworkConfig {
//!     secret_key: secret.into(),
//!     members,
//!     observers: vec![],
//!     network_name: "my-chain".into(),
//!     listen: vec!["/ip4/0.0.0.0/tcp/9000".into()],
//!     advertise: vec![],
//!     bootstrap: vec!["/dns4/validator-1/tcp/9000".into()],
//!     known: Vec::new(),
//!     limits: NetworkLimits::default(),
//!     timing: NetworkTiming::default(),
//! })
//! .await?;
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         NetworkEvent::Connected { peer } => network.send(peer, "welcome".into()),
//!         NetworkEvent::Message { from, bytes } => println!("{from}: {} bytes", bytes.len()),
//!         NetworkEvent::Request { bytes, answer, .. } => answer.send(bytes), // an echo
//!         NetworkEvent::Gossip { .. } | NetworkEvent::Disconnected { .. } => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod config;
mod counters;
mod dialing;
mod direct;
mod driver;
mod error;
mod event;
mod handle;
mod identity;
mod listening;
mod peer;
mod peers;
mod protocols;
mod start;
mod status;

pub use config::address_settings::{AddressProblem, AddressSettings};
pub use config::{
    MEMBERS_MAX, MESSAGE_BYTES_MAX, NETWORK_NAME_BYTES_MAX, NetworkConfig, NetworkLimits, NetworkTiming,
    OBSERVERS_MAX, QUEUE_BYTES_MAX,
};
pub use counters::NetworkCounters;
pub use error::{PeersError, PublishError, RequestError, StartError};
pub use event::{Answer, NetworkEvent, NetworkEvents, Room};
pub use handle::Network;
pub use identity::{InvalidKey, InvalidSecret, KEY_BYTES, PeerKey, keys_in, peer_id_text};
pub use protocols::version::WIRE_VERSION;
pub use start::start;
pub use status::{Direction, FailedAddress, PeerStatus};
