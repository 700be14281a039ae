//! Authenticated bytes between the members of a permissioned network.
//!
//! A member is a secp256k1 key. This crate finds the members from one address, keeps one connection to
//! each, and offers three ways to send: direct messages (ordered, lossy when a peer is slow), gossip (to
//! everyone, probably), and requests with answers. It does not know what the bytes mean: validity, votes
//! and blocks are the business of others. It is the only crate that knows libp2p, and shows none of it.
//!
//! # What it promises
//! * Only members get in, and observers that were listed: these may ask, and are told what is meant for them. Gossip and
//!   messages of theirs do not exist. Everyone else is refused as soon as the noise handshake has shown the key, before
//!   any protocol is spoken. Chains cannot mix: the network's name is part of every protocol name.
//! * [`NetworkEvent::Connected`] means that a direct stream works in both directions. Heartbeats watch it.
//! * Direct messages of one connection arrive in order. What was on the way when a connection ended is lost,
//!   so the layer above repeats itself, for which `Connected` is the cue.
//! * A member that was restarted gets full service again within about a second, also while its old connection
//!   still looks alive: the newest connection that opens a direct stream wins.
//! * Nothing is unbounded. Every limit is a field of [`NetworkLimits`], which says what happens when it is
//!   reached. A slow or hostile member fills its own queues and nobody else's.
//!
//! # How it works
//! Of each pair the smaller key dials; the larger one does so after a grace time. Addresses come from the
//! configuration, from what members announce about themselves (identify), and from what others know
//! (Kademlia).
//! Direct streams are ours (length-prefixed frames, see `frame`); gossip and requests are libp2p's.
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

mod addresses;
mod among_members;
mod behaviour;
mod bootstrap;
mod config;
mod counters;
mod dialing;
mod direct;
mod discovery;
mod driver;
mod error;
mod event;
mod failures;
mod frame;
mod handle;
mod identity;
mod link;
mod listening;
mod names;
mod peer;
mod queue;
mod quiet;
mod requests;
mod settings;
mod start;
mod status;
mod transport;
mod version;

pub use config::{
    MEMBERS_MAX, MESSAGE_BYTES_MAX, NETWORK_NAME_BYTES_MAX, NetworkConfig, NetworkLimits, NetworkTiming,
    OBSERVERS_MAX, QUEUE_BYTES_MAX,
};
pub use counters::NetworkCounters;
pub use error::{PublishError, RequestError, StartError};
pub use event::{Answer, NetworkEvent, NetworkEvents, Room};
pub use handle::Network;
pub use identity::{InvalidKey, InvalidSecret, KEY_BYTES, PeerKey, peer_id_text};
pub use settings::{AddressProblem, AddressSettings};
pub use start::start;
pub use status::{Direction, FailedAddress, PeerStatus};
pub use version::WIRE_VERSION;
