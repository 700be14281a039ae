//! Where log lines go: standard error, as text for people or JSON for collectors.
//!
//! From [`Logging::start`] on, everything that the process says on standard error goes through one bounded queue
//! (`queue`): log lines, panics, and the error it ends with. Nothing that happens to standard error can stop a node.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use serde_json::json;
use tracing_subscriber::EnvFilter;

use queue::LineQueue;

/// The queue of this process and the shape of its lines, once logging was started.
static STANDARD_ERROR: OnceLock<(LineQueue, LogFormat)> = OnceLock::new();

/// How long a process that ends waits for standard error to take the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

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
    /// Starts logging; once in a process. Errors after that are printed in the chosen format, those of this function
    /// included.
    ///
    /// # Errors
    /// A level that is not understood, or a thread that the system refuses.
    pub(crate) fn start(&self, default_level: &str) -> anyhow::Result<LogLevel> {
        let queue = LineQueue::start(io::stderr(), report_lost).context("logging cannot be started")?;
        let (queue, _) = STANDARD_ERROR.get_or_init(|| (queue, self.log_format));
        // The default hook writes to standard error itself, and would block the thread that panics.
        panic::set_hook(Box::new(log_panic));
        quorate_store::hide_caught_panics();
        let level = match &self.log_level {
            Some(level) => level.clone(),
            // Connections are ours to report; at a chosen level everything is shown.
            None => format!("{default_level},libp2p=error,yamux=error"),
        };
        let filter = filter(&level).map_err(|problem| {
            anyhow!("--log-level, or the environment variable QUORATE_LOG_LEVEL: {problem}")
        })?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(queue.clone())
            // They would be printed to standard error past the queue.
            .log_internal_errors(false)
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

fn report_lost(lines: u64) {
    tracing::warn!(lines, "log lines were lost: standard error did not take them, or not fast enough");
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (thread, message) =
        (thread.name().unwrap_or("unnamed"), panic.payload_as_str().unwrap_or("no message"));
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    // Empty unless RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, at, %backtrace, "panicked: {message}");
    } else {
        tracing::error!(thread, at, "panicked: {message}");
    }
}

/// Prints what is no event of the log, such as the error that ends the process: through the queue and in the format of
/// the log if logging was started. Otherwise `false`, and nothing is printed. `because`: the causes of an error, the
/// nearest first.
pub(crate) fn print(level: tracing::Level, text: &str, message: &str, because: &[String]) -> bool {
    let Some((queue, format)) = STANDARD_ERROR.get() else { return false };
    match format {
        LogFormat::Text => queue.push(format!("{text}\n").as_bytes()),
        LogFormat::Json => queue.push(json_line(SystemTime::now(), level, message, because).as_bytes()),
    }
    true
}

/// A line as the subscriber writes its own in JSON.
fn json_line(at: SystemTime, level: tracing::Level, message: &str, because: &[String]) -> String {
    let mut fields = json!({ "message": message });
    if !because.is_empty() {
        fields["because"] = json!(because);
    }
    let timestamp = humantime::format_rfc3339_micros(at).to_string();
    let target = env!("CARGO_CRATE_NAME");
    let line = json!({ "timestamp": timestamp, "level": level.as_str(), "fields": fields, "target": target });
    format!("{line}\n")
}

/// Log lines that were lost since the process started, because standard error did not take them.
pub(crate) fn lost_lines() -> u64 {
    STANDARD_ERROR.get().map_or(0, |(queue, _)| queue.lost())
}

/// Gives standard error a moment to take the last lines, before the process ends.
pub(crate) fn flush() {
    if let Some((queue, _)) = STANDARD_ERROR.get() {
        queue.flush(FLUSH_TIMEOUT);
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
    // It would be taken for a filter that lets nothing through.
    if level.trim().is_empty() {
        return Err("an empty level would silence the log: write info, or off for no log at all".to_owned());
    }
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
    fn an_error_in_json_is_a_line_like_those_of_the_log() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456);
        let line = json_line(at, tracing::Level::ERROR, "it cannot start", &["the disk\nis full".to_owned()]);
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let told: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "timestamp": "2023-11-14T22:13:20.123456Z",
            "level": "ERROR",
            "fields": { "message": "it cannot start", "because": ["the disk\nis full"] },
            "target": "quorate",
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn a_level_changes_only_to_one_that_is_understood() {
        let (subscriber, handle) = tracing_subscriber::reload::Layer::<_, tracing_subscriber::Registry>::new(
            filter("info").unwrap_or_default(),
        );
        let replace: Replace = Box::new(move |filter| handle.reload(filter));
        let level = LogLevel { current: Mutex::new("info".to_owned()), replace };
        assert_eq!(level.set("warn,quorate_network=debug"), Ok("info".to_owned()));
        assert!(level.set(" ").unwrap_err().contains("silence"));
        let problem = level.set("info,=").unwrap_err();
        assert!(problem.contains("info,quorate_network=debug"), "{problem}");
        assert_eq!(level.get(), "warn,quorate_network=debug");
        drop(subscriber);
        assert!(level.set("error").unwrap_err().contains("cannot be changed"));
        assert_eq!(level.get(), "warn,quorate_network=debug");
    }
}
