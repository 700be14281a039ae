//! Lines between validators that can be listened to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes that are passed on at a time, at most.
const PIECE: usize = 64 << 10;

/// What has passed a relay, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Bytes, as they are on the wire: encrypted.
    pub bytes: u64,
    /// Pieces in which they came. One message is one piece or more; messages that come together are one.
    pub pieces: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    bytes: AtomicU64,
    pieces: AtomicU64,
}

/// Passes on whatever comes to its port, in both directions, and counts it. Ends when it is dropped.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    port: u16,
}

impl Relay {
    /// Listens on a port of 127.0.0.1 and passes on to `target`.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn start(port: u16, target: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
        let shared = Arc::<Shared>::default();
        let relay = Relay { shared: Arc::clone(&shared), port };
        std::thread::spawn(move || {
            while let Ok((caller, _)) = listener.accept()
                && !shared.stop.load(Ordering::Relaxed)
            {
                join(caller, target, &shared);
            }
        });
        relay
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        Passed {
            bytes: self.shared.bytes.load(Ordering::Relaxed),
            pieces: self.shared.pieces.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // Whoever waits for a caller gets one and sees that it is over.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// Connects a caller with the target; if nobody is there, the caller is hung up on. Both threads end with the
/// connection.
fn join(caller: TcpStream, target: SocketAddr, shared: &Arc<Shared>) {
    let streams = || {
        let called = TcpStream::connect(target)?;
        for stream in [&caller, &called] {
            stream.set_nodelay(true)?;
        }
        Ok::<_, std::io::Error>([(caller.try_clone()?, called.try_clone()?), (called, caller)])
    };
    let Ok(directions) = streams() else { return };
    for (from, to) in directions {
        let shared = Arc::clone(shared);
        std::thread::spawn(move || pass(from, to, &shared));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).unwrap_or_default();
        if length == 0 || to.write_all(&piece[..length]).is_err() {
            break;
        }
        shared.bytes.fetch_add(length as u64, Ordering::Relaxed);
        shared.pieces.fetch_add(1, Ordering::Relaxed);
    }
    // Errors mean that it is closed.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortBlock;
    use crate::wait::wait_until;

    #[test]
    fn what_passes_arrives_and_is_counted() {
        let ports = PortBlock::take(2);
        let target = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.rpc())).expect("it is free");
        let relay = Relay::start(ports.p2p(), target.local_addr().expect("it is bound"));
        let mut caller = TcpStream::connect((Ipv4Addr::LOCALHOST, ports.p2p())).expect("it listens");
        let (mut called, _) = target.accept().expect("it is called");
        let mut heard = [0; 5];
        caller.write_all(b"hello").expect("it is open");
        called.read_exact(&mut heard).expect("it is open");
        called.write_all(b"world").expect("it is open");
        caller.read_exact(&mut heard).expect("it is open");
        assert_eq!(&heard, b"world");
        wait_until("both are counted", || relay.passed() == Passed { bytes: 10, pieces: 2 });
        drop(called);
        assert_eq!(caller.read(&mut heard).unwrap_or_default(), 0, "the end is passed on, too");
    }
}
