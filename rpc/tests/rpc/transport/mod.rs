//! HTTP, WebSocket and `/stream`: connections, browsers, shutdown.

pub(crate) mod browser;
pub(crate) mod events;
pub(crate) mod server;
pub(crate) mod socket;
