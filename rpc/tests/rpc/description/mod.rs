//! What `rpc.discover` and the README say, against what the server does.

pub(crate) mod openrpc;
pub(crate) mod readme;
