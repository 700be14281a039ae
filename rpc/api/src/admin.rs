//! The administrative methods: what may change how a node runs, for whoever runs it.

use jsonrpsee::proc_macros::rpc;

use crate::RpcError;

/// What a node answers at its own socket. [`crate::ADMIN_METHODS`] says the same as data.
#[rpc(server)]
pub trait Admin {
    /// What the node logs.
    #[method(name = "admin_log_level", param_kind = map)]
    async fn admin_log_level(&self) -> Result<String, RpcError>;

    /// Changes what the node logs until it is restarted; answers what it logged before.
    #[method(name = "admin_set_log_level", param_kind = map)]
    async fn admin_set_log_level(&self, level: String) -> Result<String, RpcError>;
}
