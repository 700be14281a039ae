//! The administrative methods, with which an operator changes how a node runs.

use jsonrpsee::proc_macros::rpc;

use crate::RpcError;

/// The methods that a node serves at its admin socket. [`crate::ADMIN_METHODS`] has the same as
/// data.
#[rpc(server)]
pub trait Admin {
    /// The log level.
    #[method(name = "admin_log_level", param_kind = map)]
    async fn admin_log_level(&self) -> Result<String, RpcError>;

    /// Changes the log level until the node restarts; returns the previous one.
    #[method(name = "admin_set_log_level", param_kind = map)]
    async fn admin_set_log_level(&self, level: String) -> Result<String, RpcError>;
}
