//! The lines between validators, which a test can cut, hold up, slow down and count.
//!
//! All validators are told one address of each, at which a relay listens. Who calls is told by the system: it knows
//! which process holds the other end of a connection. So each pair of validators has a line of its own, whoever of the
//! two dials, and nobody can come by another way, whatever addresses they tell each other.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::caller::process_of;
use crate::carry::{Counted, carry};
use crate::network::Network;
use crate::ports::PortBlock;
use crate::validator::Validator;

/// What becomes of the bytes that go one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Way {
    /// They arrive.
    #[default]
    Open,
    /// They wait until the way is open again, and arrive then.
    Held,
    /// They are gone. Connections that may have lost some are cut when the way opens: what comes after is no use.
    Lost,
}

/// The state of a line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    /// From the validator with the lower index to the other, and back.
    ways: [Way; 2],
    /// How much longer bytes take, each way.
    delay: Duration,
    /// Whether calls are refused.
    refuses: bool,
    /// How many times all its connections were cut.
    cuts: u64,
}

impl Line {
    pub(crate) fn way(&self, upward: bool) -> Way {
        self.ways[usize::from(!upward)]
    }

    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }

    fn set(&mut self, upward: bool, way: Way) {
        let present = &mut self.ways[usize::from(!upward)];
        if *present == Way::Lost && way != Way::Lost {
            self.cuts += 1;
        }
        *present = way;
    }
}

/// What has passed all lines, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Bytes, as they are on the wire: encrypted.
    pub bytes: u64,
    /// Pieces in which they came. One message is one piece or more; messages that come together are one.
    pub pieces: u64,
}

/// A line with what it knows of itself.
#[derive(Debug, Default)]
struct Pair {
    line: watch::Sender<Line>,
    connections: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    /// Where the validators really listen.
    targets: Vec<SocketAddr>,
    /// Those of a lower and a higher validator, in the order of [`Shared::pair`].
    pairs: Vec<Pair>,
    /// The processes of the validators.
    processes: Mutex<Vec<Option<u32>>>,
    counted: Counted,
    strangers: AtomicU64,
}

impl Shared {
    fn pair(&self, one: usize, other: usize) -> &Pair {
        let (lower, higher) = (one.min(other), one.max(other));
        assert!(lower < higher && higher < self.targets.len(), "no line between {one} and {other}");
        &self.pairs[higher * (higher - 1) / 2 + lower]
    }

    /// Which validator has called from there.
    fn caller(&self, from: SocketAddr, to: SocketAddr) -> Option<usize> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let candidates: Vec<u32> = processes.iter().flatten().copied().collect();
        let process = process_of(from, to, &candidates)?;
        processes.iter().position(|known| *known == Some(process))
    }
}

/// The lines between all validators of a network. They are gone when it is dropped.
#[derive(Debug)]
pub struct Lines {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    runtime: Option<Runtime>,
    _ports: PortBlock,
}

impl Lines {
    /// Lines to validators that listen at these addresses of 127.0.0.1.
    ///
    /// # Panics
    /// If the system does not give what it takes.
    pub fn to(targets: Vec<SocketAddr>) -> Lines {
        let size = targets.len();
        let (ports, listeners) = PortBlock::take_listening(u16::try_from(size).expect("a small network"));
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect();
        let shared = Arc::new(Shared {
            pairs: (0..size * size.saturating_sub(1) / 2).map(|_| Pair::default()).collect(),
            processes: Mutex::new(vec![None; size]),
            counted: Counted::default(),
            strangers: AtomicU64::new(0),
            targets,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        for ((index, listener), address) in listeners.into_iter().enumerate().zip(&addresses) {
            listener.set_nonblocking(true).expect("a socket can be told so");
            runtime.spawn(listen(listener, *address, index, Arc::clone(&shared)));
        }
        Lines { shared, addresses, runtime: Some(runtime), _ports: ports }
    }

    /// Where others reach a validator.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    /// Says in which process a validator runs now.
    pub fn is_run_by(&self, index: usize, process: u32) {
        self.shared.processes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(process);
    }

    fn change(&self, one: usize, other: usize, change: impl FnOnce(&mut Line)) {
        self.shared.pair(one, other).line.send_modify(change);
    }

    /// Cuts the connections of a line. There may be new ones at once.
    pub fn cut(&self, one: usize, other: usize) {
        self.change(one, other, |line| line.cuts += 1);
    }

    /// Cuts the connections of a line, and all that are tried.
    pub fn refuse(&self, one: usize, other: usize) {
        self.change(one, other, |line| {
            line.cuts += 1;
            line.refuses = true;
        });
    }

    /// Says what becomes of bytes from a validator to another. Connections stay, and new ones come about as far as it
    /// is for the system to say: nobody is told that anything is wrong.
    pub fn set(&self, from: usize, to: usize, way: Way) {
        self.change(from, to, |line| line.set(from < to, way));
    }

    /// Makes bytes take longer by so much, each way, on all lines. They stay in order, and as many pass.
    pub fn delay(&self, delay: Duration) {
        for pair in &self.shared.pairs {
            pair.line.send_modify(|line| line.delay = delay);
        }
    }

    /// Opens all lines. Delays stay.
    pub fn heal(&self) {
        for pair in &self.shared.pairs {
            pair.line.send_modify(|line| {
                line.refuses = false;
                [true, false].into_iter().for_each(|upward| line.set(upward, Way::Open));
            });
        }
    }

    /// Connections of a line that are open now.
    pub fn connections(&self, one: usize, other: usize) -> usize {
        self.shared.pair(one, other).connections.load(Ordering::Relaxed)
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        self.shared.counted.passed()
    }

    /// Calls so far that came from none of the validators, or of which it was too late to find out.
    pub fn strangers(&self) -> u64 {
        self.shared.strangers.load(Ordering::Relaxed)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Network {
    /// Puts lines between the validators, none of which runs yet, so that they reach each other by no other way.
    ///
    /// # Panics
    /// If the system does not give what it takes.
    #[must_use]
    pub fn behind_lines(mut self) -> Network {
        let lines = Lines::to(self.validators().iter().map(Validator::p2p_address).collect());
        let address = |index| format!("/ip4/127.0.0.1/tcp/{}", lines.address(index).port());
        for index in 0..self.size() {
            let others: Vec<String> = (0..self.size()).filter(|other| *other != index).map(address).collect();
            self.set_variable(index, "QUORATE_P2P__ADVERTISE", format!("[{:?}]", address(index)));
            self.set_variable(index, "QUORATE_P2P__BOOTSTRAP", format!("{others:?}"));
        }
        self.lines = Some(lines);
        self
    }

    /// The lines between the validators.
    ///
    /// # Panics
    /// Unless the network was made with [`Network::behind_lines`].
    pub fn lines(&self) -> &Lines {
        self.lines.as_ref().expect("the network is behind lines")
    }
}

async fn listen(listener: TcpListener, address: SocketAddr, index: usize, shared: Arc<Shared>) {
    let listener = Listener::from_std(listener).expect("it is a listener");
    loop {
        // An error is the caller's, who is gone already.
        let Ok((caller, from)) = listener.accept().await else { continue };
        let Some(who) = shared.caller(from, address).filter(|who| *who != index) else {
            shared.strangers.fetch_add(1, Ordering::Relaxed);
            reset(caller);
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { join(caller, who, index, &shared).await });
    }
}

/// Ends a connection as a machine does that knows nothing of it.
fn reset(stream: TcpStream) {
    // An error means that it has ended.
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Joins a caller with the one that is called, until one of them ends the connection or the line is cut.
async fn join(mut caller: TcpStream, from: usize, to: usize, shared: &Shared) {
    let pair = shared.pair(from, to);
    let mut line = pair.line.subscribe();
    let present = *line.borrow_and_update();
    let called = if present.refuses { None } else { TcpStream::connect(shared.targets[to]).await.ok() };
    let Some(mut called) = called else { return reset(caller) };
    pair.connections.fetch_add(1, Ordering::Relaxed);
    // An error means that it has ended.
    let _ = (caller.set_nodelay(true), called.set_nodelay(true));
    let upward = from < to;
    let ended = {
        let ((call, answer), (listen, speak)) = (caller.split(), called.split());
        let there = carry(call, speak, pair.line.subscribe(), upward, &shared.counted);
        let back = carry(listen, answer, pair.line.subscribe(), !upward, &shared.counted);
        tokio::select! {
            ended = async { tokio::try_join!(there, back) } => ended.is_ok(),
            _ = line.wait_for(|line| line.cuts != present.cuts) => false,
        }
    };
    if !ended {
        reset(caller);
        reset(called);
    }
    pair.connections.fetch_sub(1, Ordering::Relaxed);
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
