//! What the node's own user may change while it runs.

use std::path::PathBuf;
use std::sync::Arc;

use quorate_rpc::{AdminServer, AdminStartError, Administration, serve_admin};

use crate::logging::LogLevel;

/// Where a node is administered, and what can be changed there.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Path of the socket.
    pub(crate) socket: PathBuf,
    /// What is logged.
    pub(crate) log_level: LogLevel,
}

impl Admin {
    /// Starts to answer.
    pub(super) fn serve(self) -> Result<AdminServer, AdminStartError> {
        let Admin { socket, log_level } = self;
        serve_admin(&socket, Arc::new(Switches { log_level }))
    }
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
