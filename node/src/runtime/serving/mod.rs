//! What clients and administrators reach: the RPC server with its waiting requests, and the
//! administration socket.

pub(crate) mod administration;
pub(crate) mod server;
pub(crate) mod waiters;
