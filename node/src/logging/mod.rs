//! Log output: standard error, as text for people or as JSON for log collectors.
//!
//! From [`Logging::start`] on, everything that the process writes to standard error goes through
//! one bounded queue (`queue`): log lines, panics, and the error with which the process ends. A
//! blocked or broken standard error cannot stop a node.

mod queue;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use quorate_api::excerpt;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use queue::LineQueue;

/// The queue of this process and the format of its lines, once logging was started.
static STANDARD_ERROR: OnceLock<(LineQueue, LogFormat)> = OnceLock::new();

/// How long an ending process waits for standard error to accept the last lines.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The log level and format.
#[derive(Debug, Clone, Args)]
pub(crate) struct Logging {
    /// The log level: error, warn, info, debug or trace, optionally for each module:
    /// info,quorate_network=debug.
    ///
    /// The default is info for `node` and warn for `devnet`, both without messages of libp2p below
    /// error.
    #[arg(long, value_name = "LEVEL", env = "QUORATE_LOG_LEVEL")]
    log_level: Option<String>,

    /// The format of the log lines on standard error.
    #[arg(long, value_enum, value_name = "FORMAT", env = "QUORATE_LOG_FORMAT", default_value = "text")]
    log_format: LogFormat,
}

impl Logging {
    /// Starts logging; once in a process. Errors after that are printed in the chosen format,
    /// including those of this function.
    ///
    /// # Errors
    /// An invalid level, or a thread that cannot be started.
    /// A level that is not understood, or a thread that the system refuses.
    pub(crate) fn start(&self, default_level: &str) -> anyhow::Result<LogLevel> {
        let queue = LineQueue::start(io::stderr(), report_lost).context("logging cannot be started")?;
        let (queue, _) = STANDARD_ERROR.get_or_init(|| (queue, self.log_format));
        // The default hook writes to standard error itself and could block the thread that panics.
        panic::set_hook(Box::new(log_panic));
        quorate_store::hide_caught_panics();
        let level = match &self.log_level {
            Some(level) => level.clone(),
            // This program reports connections itself. A level that the user chose also applies to
            // libp2p.
            None => format!("{default_level},libp2p=error,yamux=error"),
        };
        let filter = filter(&level).map_err(|problem| {
            anyhow!("--log-level, or the environment variable QUORATE_LOG_LEVEL: {problem}")
        })?;
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(queue.clone())
            // The subscriber would print its own errors to standard error without the queue.
            .log_internal_errors(false)
            .with_ansi(io::stderr().is_terminal() && !is_set(env::var_os("NO_COLOR").as_deref()));
        let (started, replace): (_, Replace) = match self.log_format {
            LogFormat::Text => {
                let subscriber = subscriber.with_filter_reloading();
                let handle = subscriber.reload_handle();
                (subscriber.try_init(), Arc::new(move |filter| handle.reload(filter)))
            }
            LogFormat::Json => {
                let subscriber = subscriber.json().with_filter_reloading();
                let handle = subscriber.reload_handle();
                (subscriber.try_init(), Arc::new(move |filter| handle.reload(filter)))
            }
        };
        started.map_err(|error| anyhow!("logging cannot be started: {error}"))?;
        Ok(LogLevel { current: Arc::new(Mutex::new(level)), replace })
    }
}

fn report_lost(lines: u64) {
    tracing::warn!(lines, "log lines were lost because standard error was blocked or too slow");
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let (thread, message) =
        (thread.name().unwrap_or("unnamed"), panic.payload_as_str().unwrap_or("no message"));
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    // Empty unless RUST_BACKTRACE enables it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, at, %backtrace, "panicked: {message}");
    } else {
        tracing::error!(thread, at, "panicked: {message}");
    }
}

/// Prints a message that is not a log event, such as the error that ends the process. It uses the
/// queue and the format of the log if logging was started; otherwise it prints nothing and returns
/// `false`. `because`: the causes of an error, the nearest first.
pub(crate) fn print(level: tracing::Level, text: &str, message: &str, because: &[String]) -> bool {
    let Some((queue, format)) = STANDARD_ERROR.get() else { return false };
    match format {
        LogFormat::Text => queue.push(format!("{text}\n").as_bytes()),
        LogFormat::Json => queue.push(json_line(SystemTime::now(), level, message, because).as_bytes()),
    }
    true
}

/// A line in the JSON format of the subscriber.
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

/// Number of log lines lost since the process started.
pub(crate) fn lost_lines() -> u64 {
    STANDARD_ERROR.get().map_or(0, |(queue, _)| queue.lost())
}

/// Waits briefly for standard error to accept the last lines before the process ends.
pub(crate) fn flush() {
    if let Some((queue, _)) = STANDARD_ERROR.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

type Replace = Arc<dyn Fn(EnvFilter) -> Result<(), tracing_subscriber::reload::Error> + Send + Sync>;

/// The log level, which can be changed while the process runs. Clones change the same level.
#[derive(Clone)]
pub(crate) struct LogLevel {
    current: Arc<Mutex<String>>,
    replace: Replace,
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel").field("current", &self.current).finish_non_exhaustive()
    }
}

impl LogLevel {
    /// The level as it was set.
    pub(crate) fn get(&self) -> String {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the level; returns the previous one.
    ///
    /// # Errors
    /// Why the level is invalid.
    pub(crate) fn set(&self, level: &str) -> Result<String, String> {
        let filter = filter(level)?;
        // Held during the change, so that the reported level is always the one in force.
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        (self.replace)(filter).map_err(|error| format!("the level cannot be changed: {error}"))?;
        Ok(std::mem::replace(&mut *current, level.to_owned()))
    }
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    // An empty text would be parsed as a filter that rejects everything.
    if level.trim().is_empty() {
        return Err("an empty level would silence the log: write info, or off for no log at all".to_owned());
    }
    let invalid = |reason: &dyn fmt::Display| {
        let level = excerpt(level);
        format!("{level:?} is not a valid level ({reason}): write info, or info,quorate_network=debug")
    };
    // The parser panics at some texts with a character of several bytes.
    if !level.is_ascii() {
        return Err(invalid(&"it has a character that is not ASCII"));
    }
    // The parser takes an unknown word for a module, and then nothing else is logged.
    if let Some(part) = level.split(',').map(str::trim).find(|part| !is_directive(part)) {
        return Err(invalid(&format_args!("{:?} is no level", excerpt(part))));
    }
    EnvFilter::try_new(level).map_err(|error| invalid(&excerpt(&error.to_string())))
}

/// Whether a part of a filter is a level, or a module or span with a level.
fn is_directive(part: &str) -> bool {
    let is_level = |word: &str| {
        let levels = ["off", "error", "warn", "info", "debug", "trace"];
        levels.iter().any(|level| word.eq_ignore_ascii_case(level))
    };
    match part.rsplit_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(part),
    }
}

/// Whether a variable is set: NO_COLOR with any non-empty text disables colours
/// (<https://no-color.org>).
fn is_set(variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_variable_does_not_disable_colours() {
        assert!(is_set(Some(OsStr::new("1"))) && is_set(Some(OsStr::new("0"))));
        assert!(!is_set(Some(OsStr::new(""))) && !is_set(None));
    }

    /// An invalid level gets an error that repeats little of it. None makes the parser panic.
    #[test]
    fn invalid_levels_are_refused() {
        let typing_errors =
            ["inof", "info,", "info,,warn", "nonsense=", "info,quorate_network", "warn,a=inof"];
        let others = ["", " ", " \u{e9}=info", "info, \u{e9}=debug", "a=b=c", &"!".repeat(4000)];
        for level in typing_errors.into_iter().chain(others) {
            let problem = filter(level).unwrap_err();
            assert!(problem.contains("write info") && problem.len() < 400, "{problem}");
        }
        for level in ["info,quorate_network=debug", "OFF", "warn,a::b=trace", "debug,a[span{field=1}]=info"] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn an_error_in_json_has_the_format_of_the_log() {
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
    fn only_a_valid_level_is_set() {
        let (subscriber, handle) = tracing_subscriber::reload::Layer::<_, tracing_subscriber::Registry>::new(
            filter("info").unwrap_or_default(),
        );
        let replace: Replace = Arc::new(move |filter| handle.reload(filter));
        let level = LogLevel { current: Arc::new(Mutex::new("info".to_owned())), replace };
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
