//! The queue of lines for standard error.
//!
//! A write to a terminal, a pipe or a full disk can fail or block for ever. Therefore no thread of
//! a node writes its own log lines. It puts them into a bounded queue, and one thread writes them.
//! A full queue refuses further lines and counts them; it never blocks the thread that logs.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Upper limit of the bytes that wait to be written: some thousand lines. Further lines are lost.
pub(super) const QUEUE_BYTES: usize = 4 << 20;

/// Memory that a line takes in addition to its text, so that short lines are bounded as well.
pub(super) const LINE_OVERHEAD_BYTES: usize = 64;

/// Interval between two attempts while the output is in non-blocking mode and accepts nothing.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// A bounded queue of lines and the thread that writes them. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct LineQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Signals that the queue contains a line.
    filled: Condvar,
    /// Signals that the queue is empty and its last line is written or lost.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Box<[u8]>>,
    /// Memory of the lines, at most [`QUEUE_BYTES`].
    bytes: usize,
    /// The thread has taken a line and has not finished it.
    writing: bool,
    /// Lines that were lost since the start.
    lost: u64,
    /// How many of them were reported.
    reported: u64,
}

impl LineQueue {
    /// Starts the thread that writes to `output`. The thread runs until the process ends, because a
    /// write may block until then. After lines were lost, it calls `report` with their number, as
    /// soon as the output accepts lines again and the queue has room.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let queue = LineQueue { shared: Arc::clone(&shared) };
        let write = move || write_lines(&shared, output, report);
        thread::Builder::new().name("log".to_owned()).spawn(write)?;
        Ok(queue)
    }

    /// Appends text with its line break. If there is no room, the line is lost and counted.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        let bytes = state.bytes + cost(line);
        if bytes > QUEUE_BYTES {
            state.lost += 1;
            return;
        }
        state.bytes = bytes;
        state.lines.push_back(line.into());
        drop(state);
        self.shared.filled.notify_one();
    }

    /// Lines that were lost since the start: refused by the full queue, or not written because of
    /// an error.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    /// Waits at most this long until every line is written or lost. Returns whether that happened.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        let waited = self.shared.idle.wait_timeout_while(self.shared.lock(), limit, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next line.
    fn take(&self) -> Box<[u8]> {
        let mut state = self.lock();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.bytes -= cost(&line);
                state.writing = true;
                return line;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records that the line was written or lost. Returns the number of lost lines if it is time to
    /// report them.
    fn finish(&self, written: bool) -> Option<u64> {
        let mut state = self.lock();
        if !written {
            state.lost += 1;
        }
        // Wait until the queue has room: the report itself would be lost otherwise.
        let unreported = state.lost - state.reported;
        let is_due = written && unreported > 0 && state.bytes <= QUEUE_BYTES / 2;
        if is_due {
            state.reported = state.lost;
        }
        is_due.then_some(unreported)
    }

    /// Wakes the threads in [`LineQueue::flush`] if nothing is left to write.
    fn rest(&self) {
        let mut state = self.lock();
        state.writing = false;
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
    }
}

fn cost(line: &[u8]) -> usize {
    line.len() + LINE_OVERHEAD_BYTES
}

fn write_lines(shared: &Shared, mut output: impl Write, report: impl Fn(u64)) {
    let mut is_torn = false;
    loop {
        let line = shared.take();
        let written = write_line(&mut output, &line, &mut is_torn);
        // The report is a line as well, so push it before the queue counts as empty.
        if let Some(lost) = shared.finish(written) {
            report(lost);
        }
        shared.rest();
    }
}

/// Writes one line; `false` if it is lost. `is_torn`: only a part of the previous line was written.
fn write_line(output: &mut impl Write, line: &[u8], is_torn: &mut bool) -> bool {
    let separated = if *is_torn { [b"\n", line].concat() } else { Vec::new() };
    let whole = if *is_torn { &separated } else { line };
    let mut rest = whole;
    while !rest.is_empty() {
        match output.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process can put a shared terminal or pipe into non-blocking mode.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Err(_) => break,
        }
    }
    *is_torn = !rest.is_empty() && (*is_torn || rest.len() < whole.len());
    rest.is_empty()
}

impl Write for LineQueue {
    /// Pushes everything as one line. It never fails: the subscriber could not report the error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = LineQueue;

    fn make_writer(&'a self) -> LineQueue {
        self.clone()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
