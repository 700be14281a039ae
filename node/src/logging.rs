//! Where log lines go: standard error, as text for people or JSON for collectors.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};

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
    pub(crate) fn start(&self, default_level: &str) -> anyhow::Result<LogLevel> {
        let level = match &self.log_level {
            Some(level) => level.clone(),
            // Connections are ours to report; at a chosen level everything is shown.
            None => format!("{default_level},libp2p=error,yamux=error"),
        };
        let filter = filter(&level).map_err(|problem| anyhow!("--log-level {problem}"))?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal() && !is_set(env::var_os("NO_COLOR").as_deref()));
        let (started, replace): (_, Replace) = match self.log_format {
            LogFormat::Text => {
                let subscriber = subscriber.with_filter_reloading();
                let handle = subscriber.reload_handle();
                (subscriber.try_init(), Box::new(move |filter| handle.reload(filter)))
            }
            LogFormat::Json => {
                let subscriber = subscriber.json().with_filter_reloading();
                let handle = subscriber.reload_handle();
                (subscriber.try_init(), Box::new(move |filter| handle.reload(filter)))
            }
        };
        started.map_err(|error| anyhow!("logging cannot be started: {error}"))?;
        Ok(LogLevel { current: Mutex::new(level), replace })
    }
}

type Replace = Box<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// What is logged, to be changed while the process runs.
pub(crate) struct LogLevel {
    current: Mutex<String>,
    replace: Replace,
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel").field("current", &self.current).finish_non_exhaustive()
    }
}

impl LogLevel {
    /// As it was written.
    pub(crate) fn get(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it; answers what it was before.
    ///
    /// # Errors
    /// What is wrong with the level.
    pub(crate) fn set(&self, level: &str) -> Result<String, String> {
        let filter = filter(level)?;
        // Held until it is changed, so that what is said to be logged is what is logged.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.replace)(filter).map_err(|error| format!("the level cannot be changed: {error}"))?;
        Ok(std::mem::replace(&mut *current, level.to_owned()))
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|error| {
        format!("{level:?} is not understood ({error}): write info, or info,quorate_network=debug")
    })
}

/// Whether a variable says something: NO_COLOR with any text forbids colours (<https://no-color.org>).
fn is_set(variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_variable_forbids_nothing() {
        assert!(is_set(Some(OsStr::new("1"))) && is_set(Some(OsStr::new("0"))));
        assert!(!is_set(Some(OsStr::new(""))) && !is_set(None));
    }

    #[test]
    fn a_level_changes_only_to_one_that_is_understood() {
        let (subscriber, handle) = tracing_subscriber::reload::Layer::<_, tracing_subscriber::Registry>::new(
            filter("info").unwrap_or_default(),
        );
        let replace: Replace = Box::new(move |filter| handle.reload(filter));
        let level = LogLevel { current: Mutex::new("info".to_owned()), replace };
        assert_eq!(level.set("warn,quorate_network=debug"), Ok("info".to_owned()));
        let problem = level.set("info,=").unwrap_err();
        assert!(problem.contains("info,quorate_network=debug"), "{problem}");
        assert_eq!(level.get(), "warn,quorate_network=debug");
        drop(subscriber);
        assert!(level.set("error").unwrap_err().contains("cannot be changed"));
        assert_eq!(level.get(), "warn,quorate_network=debug");
    }
}
