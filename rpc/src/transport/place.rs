//! The place of a connection among all connections.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

/// A connection's place among all connections. The server adds it to every request, so that a
/// stream can keep it: a WebSocket outlives its HTTP connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPlace {
    _permit: Arc<OwnedSemaphorePermit>,
}

impl ConnectionPlace {
    pub(crate) fn new(permit: OwnedSemaphorePermit) -> Self {
        ConnectionPlace { _permit: Arc::new(permit) }
    }
}
