//! What the node's own user may change while it runs.

use std::path::Path;
use std::sync::Arc;

use quorate_rpc::{AdminServer, AdminStartError, Administration, serve_admin};

use crate::logging::LogLevel;

/// Starts to answer at a socket.
pub(super) fn serve(socket: &Path, log_level: LogLevel) -> Result<AdminServer, AdminStartError> {
    serve_admin(socket, Arc::new(Switches { log_level }))
}

struct Switches {
    log_level: LogLevel,
}

impl Administration for Switches {
    fn log_level(&self) -> String {
        self.log_level.get()
    }

    fn set_log_level(&self, level: &str) -> Result<String, String> {
        let before = self.log_level.set(level)?;
        // Loud enough to be seen at most levels: who reads the log later must know why it changes its tone.
        tracing::warn!(level, before, "the log level was changed");
        Ok(before)
    }
}
