#![allow(clippy::unwrap_used)]
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::*;
use crate::wait::{WAIT_LIMIT, wait_until};

/// Two validators in this process: the first has called the second.
struct Two {
    lines: Lines,
    target: TcpListener,
}

impl Two {
    fn new() -> Two {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = target.local_addr().unwrap();
        let two = Two { lines: Lines::to(vec![address, address]), target };
        two.lines.is_run_by(0, std::process::id());
        two
    }

    fn call(&self) -> TcpStream {
        let caller = TcpStream::connect(self.lines.address(1)).unwrap();
        caller.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        caller
    }

    fn connection(&self) -> (TcpStream, TcpStream) {
        let caller = self.call();
        let (called, _) = self.target.accept().unwrap();
        called.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
        wait_until("it is open", || self.lines.connections(0, 1) == 1);
        (caller, called)
    }
}

fn passes(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut heard = vec![0; bytes.len()];
    to.read_exact(&mut heard).unwrap();
    assert_eq!(heard, bytes);
}

/// Whether a connection ends without another byte.
fn is_cut(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 1]) {
        Ok(bytes) => bytes == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn delivered_data_is_counted() {
    let two = Two::new();
    let (mut caller, mut called) = two.connection();
    passes(&mut caller, &mut called, b"hello");
    passes(&mut called, &mut caller, b"world");
    wait_until("both are counted", || two.lines.passed() == Passed { bytes: 10, pieces: 2 });
    drop(called);
    assert_eq!(caller.read(&mut [0; 1]).unwrap_or_default(), 0, "the end of the stream is forwarded as well");
    drop(caller);
    wait_until("it is closed", || two.lines.connections(0, 1) == 0);
    assert_eq!(two.lines.unknown_callers(), 0);
}

#[test]
fn an_unknown_process_cannot_connect() {
    let two = Two::new();
    two.lines.is_run_by(0, u32::MAX);
    assert!(is_cut(&mut two.call()));
    two.lines.is_run_by(1, std::process::id());
    assert!(is_cut(&mut two.call()), "the target itself cannot call either");
    assert_eq!(two.lines.unknown_callers(), 2);
    assert_eq!(two.lines.connections(0, 1), 0);
}

#[test]
fn a_refusing_line_cuts_open_and_new_connections() {
    let two = Two::new();
    let (mut caller, mut called) = two.connection();
    two.lines.refuse(1, 0);
    assert!(is_cut(&mut caller) && is_cut(&mut called));
    assert!(is_cut(&mut two.call()));
    two.lines.heal();
    let (mut caller, mut called) = two.connection();
    passes(&mut caller, &mut called, b"again");
    two.lines.cut(0, 1);
    assert!(is_cut(&mut caller) && is_cut(&mut called));
    let (mut caller, mut called) = two.connection();
    passes(&mut caller, &mut called, b"at once");
}

#[test]
fn held_data_arrives_late_and_in_order_while_the_other_direction_is_open() {
    let two = Two::new();
    let (mut caller, mut called) = two.connection();
    two.lines.set(0, 1, Delivery::Held);
    caller.write_all(b"first").unwrap();
    passes(&mut called, &mut caller, b"open");
    caller.write_all(b"second").unwrap();
    called.set_nonblocking(true).unwrap();
    let held = called.read(&mut [0; 1]).unwrap_err();
    assert_eq!(held.kind(), std::io::ErrorKind::WouldBlock);
    called.set_nonblocking(false).unwrap();
    two.lines.heal();
    let mut heard = [0; 11];
    called.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"firstsecond");
}

#[test]
fn lost_data_never_arrives_and_the_connection_is_cut_when_the_direction_opens() {
    let two = Two::new();
    let (mut caller, mut called) = two.connection();
    two.lines.set(1, 0, Delivery::Lost);
    called.write_all(b"gone").unwrap();
    passes(&mut caller, &mut called, b"open");
    // A new connection is accepted, but receives nothing.
    let mut late = two.call();
    let (mut answer, _) = two.target.accept().unwrap();
    answer.write_all(b"gone, too").unwrap();
    passes(&mut late, &mut answer, b"hello");
    two.lines.heal();
    for stream in [&mut caller, &mut called, &mut late, &mut answer] {
        assert!(is_cut(stream));
    }
}

#[test]
fn a_delay_keeps_the_order_and_limits_nothing() {
    const PIECES: usize = 200;
    let delay = Duration::from_millis(50);
    let two = Two::new();
    let (mut caller, mut called) = two.connection();
    two.lines.delay(delay);
    let start = Instant::now();
    passes(&mut caller, &mut called, b"there");
    passes(&mut called, &mut caller, b"back");
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());

    let bytes: Vec<u8> = (0..PIECES * 1000).map(|number| number.to_le_bytes()[0]).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for piece in bytes.chunks(1000) {
                caller.write_all(piece).unwrap();
            }
        });
        let mut heard = vec![0; bytes.len()];
        called.read_exact(&mut heard).unwrap();
        assert!(heard == bytes);
    });
    let one_after_the_other = delay * u32::try_from(PIECES).unwrap();
    assert!(start.elapsed() < one_after_the_other, "{:?}", start.elapsed());
}
