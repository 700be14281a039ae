//! What a test uses a node with: JSON-RPC, streams, a browser, signed transactions, load.

pub(crate) mod browser;
pub(crate) mod chain;
pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod rpc;
pub(crate) mod signed;
pub(crate) mod stream;
