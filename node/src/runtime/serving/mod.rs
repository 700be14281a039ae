//! What clients and administrators reach: the RPC server, the administration socket, and the node behind them.

pub(crate) mod administration;
pub(crate) mod server;
pub(crate) mod validator;
pub(crate) mod waiters;
