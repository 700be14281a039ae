#![allow(clippy::unwrap_used)]

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// Longer than any step of these tests takes, on a machine that is busy with others.
const PATIENCE: Duration = Duration::from_secs(60);

/// An output that asks the test what to do with each write.
struct Output {
    attempts: Sender<Vec<u8>>,
    outcomes: Receiver<io::Result<usize>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The test has ended if there is no other side: the writing thread outlives it.
        self.attempts.send(bytes.to_vec()).map_err(io::Error::other)?;
        self.outcomes.recv().map_err(io::Error::other)?
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Scene {
    queue: LineQueue,
    attempts: Receiver<Vec<u8>>,
    outcomes: Sender<io::Result<usize>>,
    reports: Receiver<u64>,
}

impl Scene {
    fn new() -> Self {
        let (attempts, attempted) = channel();
        let (decide, outcomes) = channel();
        let (reported, reports) = channel();
        let report = move |lost| reported.send(lost).unwrap_or_default();
        let queue = LineQueue::start(Output { attempts, outcomes }, report).unwrap();
        Scene { queue, attempts: attempted, outcomes: decide, reports }
    }

    /// Waits until the thread is in a write.
    fn attempt(&self) -> String {
        String::from_utf8(self.attempts.recv_timeout(PATIENCE).unwrap()).unwrap()
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
    let scene = Scene::new();
    assert!(scene.queue.flush(PATIENCE), "nothing is there to be written");
    scene.queue.push(b"one\n");
    scene.queue.push(b"two\n");
    assert_eq!(scene.attempt(), "one\n");
    assert!(!scene.queue.flush(Duration::ZERO), "the output has not answered");
    scene.takes(1);
    assert_eq!(scene.attempt(), "ne\n");
    scene.takes(3);
    assert_eq!(scene.attempt(), "two\n");
    scene.takes(4);
    assert!(scene.queue.flush(PATIENCE));
    assert_eq!((scene.queue.lost(), scene.reports.try_recv().ok()), (0, None));
}

#[test]
fn a_stalled_output_costs_lines_and_blocks_nobody_and_is_reported_when_it_recovers() {
    let scene = Scene::new();
    let line = [b'x'; 1000];
    let capacity = QUEUE_BYTES / (line.len() + LINE_OVERHEAD_BYTES);
    scene.queue.push(&line);
    scene.attempt();
    // The thread has the first one.
    (0..capacity).for_each(|_| scene.queue.push(&line));
    assert_eq!(scene.queue.lost(), 0);
    (0..3).for_each(|_| scene.queue.push(&line));
    assert_eq!(scene.queue.lost(), 3);
    scene.takes(line.len());
    let mut written = 1;
    let reported = loop {
        scene.attempt();
        if let Ok(lost) = scene.reports.try_recv() {
            break lost;
        }
        scene.takes(line.len());
        written += 1;
    };
    assert_eq!(reported, 3);
    assert!(written >= capacity / 2, "not while the report itself could be lost: {written}");
}

#[test]
fn many_empty_lines_are_bounded_too() {
    let scene = Scene::new();
    scene.queue.push(b"-");
    scene.attempt();
    (0..=QUEUE_BYTES / LINE_OVERHEAD_BYTES).for_each(|_| scene.queue.push(b""));
    assert_eq!(scene.queue.lost(), 1);
}

#[test]
fn an_output_that_fails_loses_lines_until_it_takes_them_again() {
    let scene = Scene::new();
    for (line, kind) in [(&b"one\n"[..], ErrorKind::BrokenPipe), (b"two\n", ErrorKind::StorageFull)] {
        scene.queue.push(line);
        scene.attempt();
        scene.fails(kind);
    }
    assert!(scene.queue.flush(PATIENCE), "what is lost is not waited for");
    assert_eq!((scene.queue.lost(), scene.reports.try_recv().ok()), (2, None));
    scene.queue.push(b"three\n");
    assert_eq!(scene.attempt(), "three\n");
    scene.takes(6);
    assert_eq!(scene.reports.recv_timeout(PATIENCE), Ok(2));
    scene.queue.push(b"four\n");
    scene.attempt();
    scene.takes(5);
    assert!(scene.queue.flush(PATIENCE));
    assert!(scene.reports.try_recv().is_err(), "reported once");
}

#[test]
fn a_line_after_a_torn_one_begins_anew() {
    let scene = Scene::new();
    scene.queue.push(b"one\n");
    scene.attempt();
    scene.takes(2);
    assert_eq!(scene.attempt(), "e\n");
    scene.fails(ErrorKind::StorageFull);
    for _ in 0..2 {
        scene.queue.push(b"two\n");
        assert_eq!(scene.attempt(), "\ntwo\n", "also after an attempt that wrote nothing");
        scene.fails(ErrorKind::StorageFull);
    }
    scene.queue.push(b"three\n");
    assert_eq!(scene.attempt(), "\nthree\n");
    scene.takes(7);
    scene.queue.push(b"four\n");
    assert_eq!(scene.attempt(), "four\n");
}

#[test]
fn an_output_that_is_interrupted_or_not_ready_is_tried_again() {
    let scene = Scene::new();
    scene.queue.push(b"one\n");
    for kind in [ErrorKind::Interrupted, ErrorKind::WouldBlock] {
        assert_eq!(scene.attempt(), "one\n");
        scene.fails(kind);
    }
    assert_eq!(scene.attempt(), "one\n");
    scene.takes(4);
    assert!(scene.queue.flush(PATIENCE));
    assert_eq!(scene.queue.lost(), 0);
}
