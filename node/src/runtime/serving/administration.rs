//! The administration socket: what the user who runs the node may change while it runs.

use std::path::Path;
use std::sync::Arc;

use quorate_rpc::{AdminServer, AdminStartError, Administration, serve_admin};

use crate::logging::LogLevel;

/// Starts to serve the socket.
pub(crate) fn serve(socket: &Path, log_level: LogLevel) -> Result<AdminServer, AdminStartError> {
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
        // Use a level that most settings show: readers of the log must know why its verbosity
        // changes.
        tracing::warn!(level, before, "the log level was changed");
        Ok(before)
    }
}
