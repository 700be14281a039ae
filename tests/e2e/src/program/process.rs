//! A process of the program that runs until a test ends it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::binary::quorate;
use crate::program::command::{program, without_settings};
use crate::wait::{WAIT_LIMIT, until};

/// Bytes at the end of a log that are printed when a test fails.
const LOG_TAIL_BYTES: u64 = 6 << 10;

/// A running `quorate`. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// Where a process writes.
#[derive(Debug)]
pub struct Outputs {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Outputs {
    /// Both outputs go to the same file, pipe or device.
    ///
    /// # Panics
    /// If the system has no more file descriptors.
    pub fn both(output: impl AsFd) -> Outputs {
        let copy = || output.as_fd().try_clone_to_owned().expect("there are file descriptors left");
        Outputs { stdout: copy(), stderr: copy() }
    }
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// At present.
    pub now: u64,
    /// The maximum since the process started.
    pub most: u64,
}

impl Process {
    /// Runs the program with these arguments and variables. Both outputs are appended to `log`;
    /// `name` is used in messages.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)], log: &Path) -> Process {
        Process::run(name, program(arguments), variables, log)
    }

    fn run(name: &str, command: Command, variables: &[(&str, &str)], log: &Path) -> Process {
        let output = OpenOptions::new().create(true).append(true).open(log).expect("the log can be written");
        let outputs = Outputs::both(&output);
        Process::run_into(name, command, variables, outputs, log)
    }

    fn run_into(
        name: &str,
        mut command: Command,
        variables: &[(&str, &str)],
        outputs: Outputs,
        log: &Path,
    ) -> Process {
        command.envs(variables.iter().copied()).stdin(Stdio::null());
        command.stdout(outputs.stdout).stderr(outputs.stderr);
        let child = command.spawn().expect("the program can be run");
        Process { child, name: name.to_owned(), log: log.to_owned() }
    }

    /// As [`Process::node`], with other outputs than the log.
    pub(crate) fn node_into(
        name: &str,
        home: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        outputs: Outputs,
        log: &Path,
    ) -> Process {
        let home = home.to_str().expect("temporary directories have readable names");
        let arguments = [&["node", "--home", home], arguments].concat();
        Process::run_into(name, program(arguments), variables, outputs, log)
    }

    /// Runs `quorate node` on a home, with further arguments and variables.
    ///
    /// # Panics
    /// As [`Process::start`], and if the path is not UTF-8.
    pub fn node(
        name: &str,
        home: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Process {
        Process::node_of(quorate(), name, home, arguments, variables, log)
    }

    /// As [`Process::node`], with another program than the one under test.
    ///
    /// # Panics
    /// As [`Process::node`].
    pub(crate) fn node_of(
        program: &Path,
        name: &str,
        home: &Path,
        arguments: &[&str],
        variables: &[(&str, &str)],
        log: &Path,
    ) -> Process {
        let home = home.to_str().expect("temporary directories have readable names");
        let arguments = [&["node", "--home", home], arguments].concat();
        Process::run(name, without_settings(program, arguments), variables, log)
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its status if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Sends SIGKILL, like a power cut of this process. Returns when it is gone.
    pub fn kill(mut self) {
        self.kill_now();
    }

    /// Sends SIGKILL and does not wait.
    pub fn kill_without_waiting(&self) {
        self.signal(Signal::KILL);
    }

    fn kill_now(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends SIGTERM, as a service manager does. Returns how long it took and how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn terminate(self) -> (Duration, ExitStatus) {
        self.end(Signal::TERM)
    }

    /// Sends SIGHUP, as when the terminal is closed. Returns how long it took and how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn hang_up(self) -> (Duration, ExitStatus) {
        self.end(Signal::HUP)
    }

    /// Sends SIGINT and SIGTERM without a pause between them. Returns how long it took and how it
    /// ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn interrupt_and_terminate(self) -> (Duration, ExitStatus) {
        self.signal(Signal::INT);
        self.end(Signal::TERM)
    }

    /// Sends SIGINT, as Ctrl-C does. Returns how long it took and how it ended.
    ///
    /// # Panics
    /// If it does not end.
    pub fn interrupt(self) -> (Duration, ExitStatus) {
        self.end(Signal::INT)
    }

    fn end(mut self, signal: Signal) -> (Duration, ExitStatus) {
        let start = Instant::now();
        self.signal(signal);
        let status = until(&format!("{} stops", self.name), WAIT_LIMIT, || self.ended());
        (start.elapsed(), status)
    }

    /// Sends SIGSTOP: the process is frozen with all its connections open.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT: the process continues where it was frozen.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// The process id is still its own, because a child that has not been waited for keeps its id.
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.expect("a process has a positive number");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("cannot signal {}: {error}", self.name));
    }

    /// Its memory, as the system counts it.
    ///
    /// # Panics
    /// If it has ended.
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("the system describes its processes");
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            kibibytes.unwrap_or_else(|| panic!("{} has no {name}", self.name)) << 10
        };
        let now = bytes("VmRSS:");
        // The system updates this value only from time to time.
        Memory { now, most: bytes("VmHWM:").max(now) }
    }

    /// The processor time that each of its threads has used, by the thread's name and number.
    ///
    /// # Panics
    /// If it has ended.
    pub fn thread_times(&self) -> Vec<(String, Duration)> {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).expect("the system describes its processes");
        let time = |task: std::fs::DirEntry| {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
            let name = format!("{} {}", read("comm")?.trim(), task.file_name().to_string_lossy());
            let nanoseconds = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
            Some((name, Duration::from_nanos(nanoseconds)))
        };
        // A thread may end between the two reads.
        tasks.filter_map(|task| time(task.ok()?)).collect()
    }

    /// Everything that it has printed so far, in this and earlier runs.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log can be read")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_now();
    }
}

/// The end of a log file.
pub(crate) fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(no log: {error})"),
    }
}
