//! Where log lines go: standard error, as text for people or JSON for collectors.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logging {
    /// What is logged: error, warn, info, debug or trace, also for each module: info,quorate_network=debug.
    ///
    /// Unless given, `node` logs at info and `devnet` at warn, both without what libp2p says below error.
    #[arg(long, value_name = "LEVEL", env = "QUORATE_LOG_LEVEL")]
    log_level: Option<String>,

    /// The shape of the log lines on standard error.
    #[arg(long, value_enum, value_name = "FORMAT", env = "QUORATE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

impl Logging {
    /// Starts logging; once in a process.
    pub(crate) fn start(&self, default_level: &str) -> anyhow::Result<()> {
        let level = match &self.log_level {
            Some(level) => level.clone(),
            // Connections are ours to report; at a chosen level everything is shown.
            None => format!("{default_level},libp2p=error,yamux=error"),
        };
        let filter = EnvFilter::try_new(&level).map_err(|error| {
            anyhow!(
                "--log-level {level:?} is not understood ({error}): write info, or info,quorate_network=debug"
            )
        })?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && !is_set(env::var_os("NO_COLOR").as_deref()));
        let started = match self.log_format {
            LogFormat::Text => subscriber.try_init(),
            LogFormat::Json => subscriber.json().try_init(),
        };
        started.map_err(|error| anyhow!("logging cannot be started: {error}"))
    }
}

/// Whether a variable says something: NO_COLOR with any text forbids colours (<https://no-color.org>).
fn is_set(variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_forbids_nothing() {
        assert!(is_set(Some(OsStr::new("1"))) && is_set(Some(OsStr::new("0"))));
        assert!(!is_set(Some(OsStr::new(""))) && !is_set(None));
    }
}
