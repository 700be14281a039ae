#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Longer than any step of these tests takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An output that asks the test for the result of each write.
struct Output {
    attempts: Sender<Vec<u8>>,
    outcomes: Receiver<io::Result<usize>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // If the receiver is gone, the test has ended: the writing thread outlives it.
        self.attempts.send(bytes.to_vec()).map_err(io::Error::other)?;
        self.outcomes.recv().map_err(io::Error::other)?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Setup {
    queue: LineQueue,
    attempts: Receiver<Vec<u8>>,
    outcomes: Sender<io::Result<usize>>,
    reports: Receiver<u64>,
}

impl Setup {
    fn new() -> Self {
        let (attempts, attempted) = channel();
        let (decide, outcomes) = channel();
        let (reported, reports) = channel();
        let report = move |lost| reported.send(lost).unwrap_or_default();
        let queue = LineQueue::start(Output { attempts, outcomes }, report).unwrap();
        Setup { queue, attempts: attempted, outcomes: decide, reports }
    }

    /// Waits until the thread is in a write.
    fn attempt(&self) -> String {
        String::from_utf8(self.attempts.recv_timeout(TIMEOUT).unwrap()).unwrap()
    }

    fn takes(&self, bytes: usize) {
        self.outcomes.send(Ok(bytes)).unwrap();
    }

    fn fails(&self, kind: ErrorKind) {
        self.outcomes.send(Err(kind.into())).unwrap();
    }
}

#[test]
fn lines_are_written_in_order_and_waited_for() {
    let setup = Setup::new();
    assert!(setup.queue.flush(TIMEOUT), "nothing is there to be written");
    setup.queue.push(b"one\n");
    setup.queue.push(b"two\n");
    assert_eq!(setup.attempt(), "one\n");
    assert!(!setup.queue.flush(Duration::ZERO), "the output has not answered");
    setup.takes(1);
    assert_eq!(setup.attempt(), "ne\n");
    setup.takes(3);
    assert_eq!(setup.attempt(), "two\n");
    setup.takes(4);
    assert!(setup.queue.flush(TIMEOUT));
    assert_eq!((setup.queue.lost(), setup.reports.try_recv().ok()), (0, None));
}

#[test]
fn a_blocked_output_loses_lines_blocks_no_thread_and_is_reported_after_recovery() {
    let setup = Setup::new();
    let line = [b'x'; 1000];
    let capacity = QUEUE_BYTES / (line.len() + LINE_OVERHEAD_BYTES);
    setup.queue.push(&line);
    setup.attempt();
    // The thread has taken the first one.
    (0..capacity).for_each(|_| setup.queue.push(&line));
    assert_eq!(setup.queue.lost(), 0);
    (0..3).for_each(|_| setup.queue.push(&line));
    assert_eq!(setup.queue.lost(), 3);
    setup.takes(line.len());
    let mut written = 1;
    let reported = loop {
        setup.attempt();
        if let Ok(lost) = setup.reports.try_recv() {
            break lost;
        }
        setup.takes(line.len());
        written += 1;
    };
    assert_eq!(reported, 3);
    assert!(written >= capacity / 2, "not while the report itself could be lost: {written}");
}

#[test]
fn many_empty_lines_are_bounded_too() {
    let setup = Setup::new();
    setup.queue.push(b"-");
    setup.attempt();
    (0..=QUEUE_BYTES / LINE_OVERHEAD_BYTES).for_each(|_| setup.queue.push(b""));
    assert_eq!(setup.queue.lost(), 1);
}

#[test]
fn an_output_that_fails_loses_lines_until_it_accepts_them_again() {
    let setup = Setup::new();
    for (line, kind) in [(&b"one\n"[..], ErrorKind::BrokenPipe), (b"two\n", ErrorKind::StorageFull)] {
        setup.queue.push(line);
        setup.attempt();
        setup.fails(kind);
    }
    assert!(setup.queue.flush(TIMEOUT), "flush does not wait for lost lines");
    assert_eq!((setup.queue.lost(), setup.reports.try_recv().ok()), (2, None));
    setup.queue.push(b"three\n");
    assert_eq!(setup.attempt(), "three\n");
    setup.takes(6);
    assert_eq!(setup.reports.recv_timeout(TIMEOUT), Ok(2));
    setup.queue.push(b"four\n");
    setup.attempt();
    setup.takes(5);
    assert!(setup.queue.flush(TIMEOUT));
    assert!(setup.reports.try_recv().is_err(), "reported once");
}

#[test]
fn a_line_after_a_torn_one_starts_on_a_new_line() {
    let setup = Setup::new();
    setup.queue.push(b"one\n");
    setup.attempt();
    setup.takes(2);
    assert_eq!(setup.attempt(), "e\n");
    setup.fails(ErrorKind::StorageFull);
    for _ in 0..2 {
        setup.queue.push(b"two\n");
        assert_eq!(setup.attempt(), "\ntwo\n", "also after an attempt that wrote nothing");
        setup.fails(ErrorKind::StorageFull);
    }
    setup.queue.push(b"three\n");
    assert_eq!(setup.attempt(), "\nthree\n");
    setup.takes(7);
    setup.queue.push(b"four\n");
    assert_eq!(setup.attempt(), "four\n");
}

#[test]
fn an_interrupted_or_busy_output_is_retried() {
    let setup = Setup::new();
    setup.queue.push(b"one\n");
    for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        assert_eq!(setup.attempt(), "one\n");
        setup.fails(kind);
    }
    assert_eq!(setup.attempt(), "one\n");
    setup.takes(4);
    assert!(setup.queue.flush(TIMEOUT));
    assert_eq!(setup.queue.lost(), 0);
}
