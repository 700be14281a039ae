//! Runs a command of the program until it ends.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::program::binary::{example, quorate};
use crate::wait::{WAIT_LIMIT, until};

/// Upper limit of bytes kept of each output of a command.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;

/// The beginning of the program's message when it cannot do its work.
const ERROR: &str = "error: ";

/// Distinguishes a log line from a line of an error message.
const LOG_LEVELS: [&str; 3] = [" INFO ", " WARN ", " ERROR "];

/// A command that has not been run yet.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// The result of a command.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    line: String,
}

/// The program with its arguments, without settings from the environment of the tests.
pub(crate) fn program(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    without_settings(quorate(), arguments)
}

/// The same for another program.
pub(crate) fn without_settings(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Command {
    let mut command = Command::new(program);
    let settings = std::env::vars_os().map(|(name, _)| name).filter(is_setting);
    for setting in settings {
        command.env_remove(setting);
    }
    command.args(arguments);
    command
}

fn is_setting(name: &OsString) -> bool {
    name.to_string_lossy().starts_with("QUORATE_")
}

impl Invocation {
    /// `quorate` with these arguments.
    pub fn new(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Invocation { command: program(arguments), input: Vec::new(), limit: WAIT_LIMIT }
    }

    /// An example of the client with these arguments.
    pub fn example(name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let command = without_settings(&example(name), arguments);
        Invocation { command, input: Vec::new(), limit: WAIT_LIMIT }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// In another directory.
    #[must_use]
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// With something on its standard input.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// With another time limit than [`WAIT_LIMIT`].
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the command until it ends.
    ///
    /// # Panics
    /// If it does not end in time; it is then killed.
    pub fn run(mut self) -> Finished {
        let line = format!("{:?}", self.command);
        let child = self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Ended(child.expect("the program can be run"));
        let mut input = child.0.stdin.take().expect("it is piped");
        let stdout = collect(child.0.stdout.take().expect("it is piped"));
        let stderr = collect(child.0.stderr.take().expect("it is piped"));
        // A program that does not read its input may end before everything is written.
        let _ = input.write_all(&self.input);
        drop(input);
        let status = until(&format!("{line} ends"), self.limit, || {
            child.0.try_wait().expect("a child can be waited for")
        });
        let text = |output: JoinHandle<Vec<u8>>| {
            let bytes = output.join().expect("reading does not panic");
            String::from_utf8(bytes).expect("the program prints UTF-8")
        };
        Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr), line }
    }
}

/// A child process that is killed when dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn collect(output: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // Keep what was read before an error. If something is missing, the assertions of the test
        // fail.
        let _ = output.take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
        bytes
    })
}

impl Finished {
    /// Asserts an exit code and returns itself.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// The standard output of a successful command, as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let finished = self.expect_code(0);
        serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {finished}"))
    }

    /// Asserts that the program ended with one understandable message: a non-zero exit code,
    /// nothing on standard output, and on standard error exactly one error at the end, without a
    /// panic. The message must contain all of `words`.
    #[track_caller]
    pub fn expect_error(&self, words: &[&str]) {
        assert!(self.code.is_some_and(|code| code != 0), "{self}");
        assert!(self.stdout.is_empty(), "{self}");
        for trace in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!self.stderr.contains(trace), "{trace}: {self}");
        }
        let lines: Vec<&str> = self.stderr.lines().collect();
        let beginnings = lines.iter().filter(|line| line.starts_with(ERROR)).count();
        assert_eq!(beginnings, 1, "one message: {self}");
        let start = lines.iter().position(|line| line.starts_with(ERROR)).expect("there is one");
        let (message, rest) = (lines[start], &lines[start + 1..]);
        let logged = |line: &&str| LOG_LEVELS.iter().any(|level| line.contains(level));
        assert!(!rest.iter().any(logged), "the message ends the output: {self}");
        let block = format!("{message}\n{}", rest.join("\n"));
        for word in words {
            assert!(block.contains(word), "{word:?} is not in the message: {self}");
        }
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finished { code, stdout, stderr, line } = self;
        write!(f, "{line} ended with {code:?}\n--- standard output\n{stdout}\n--- standard error\n{stderr}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(stderr: &str) -> Finished {
        let (stdout, line) = (String::new(), "quorate".to_owned());
        Finished { code: Some(1), stdout, stderr: stderr.to_owned(), line }
    }

    fn is_one_error(finished: &Finished) -> bool {
        std::panic::catch_unwind(|| finished.expect_error(&["disk", "full"])).is_ok()
    }

    #[test]
    fn one_understandable_error_is_recognised() {
        let good = "12:00 WARN quorate: odd\nerror: cannot start\n  because: the disk is full\n";
        assert!(is_one_error(&failed(good)));
        assert!(!is_one_error(&failed("")));
        assert!(!is_one_error(&failed("the disk is full\n")));
        assert!(!is_one_error(&failed("error: the disk is broken\n")), "a word is missing");
        assert!(!is_one_error(&failed(&format!("{good}{good}"))), "printed twice");
        assert!(!is_one_error(&failed(&format!("{good}12:01 INFO quorate: goes on\n"))));
        assert!(!is_one_error(&failed(&format!("thread 'main' panicked at x.rs\n{good}"))));
        assert!(!is_one_error(&Finished { code: Some(0), ..failed(good) }));
        assert!(!is_one_error(&Finished { code: None, ..failed(good) }), "a signal is no exit code");
        assert!(!is_one_error(&Finished { stdout: "done".to_owned(), ..failed(good) }));
    }
}
