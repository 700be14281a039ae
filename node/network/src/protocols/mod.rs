//! What this node speaks on a connection: the transport, and the protocols on top of it.

pub(crate) mod behaviour;
pub(crate) mod discovery;
pub(crate) mod member_gossip;
pub(crate) mod requests;
pub(crate) mod transport;
pub(crate) mod version;
