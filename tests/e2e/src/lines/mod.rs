//! The lines between validators, which a test can cut, delay, slow down and count.
//!
//! Every validator is known to the others only by the address of a relay. The relay asks the
//! operating system which process holds the other end of a connection, so it knows the calling
//! validator. Each pair of validators therefore has its own line, independent of which of the two
//! dials. There is no other path between them, whatever addresses they advertise.

mod caller;
mod carry;
pub(crate) mod state;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use self::caller::process_of;
use self::carry::{Counted, carry};
use self::state::{Delivery, Line, Passed};
use crate::ports::PortBlock;

/// A line with its counters.
#[derive(Debug, Default)]
struct Pair {
    line: watch::Sender<Line>,
    connections: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    /// The addresses at which the validators actually listen.
    targets: Vec<SocketAddr>,
    /// The lines, in the order of [`Shared::pair`].
    pairs: Vec<Pair>,
    /// The processes of the validators.
    processes: Mutex<Vec<Option<u32>>>,
    counted: Counted,
    unknown_callers: AtomicU64,
}

impl Shared {
    fn pair(&self, one: usize, other: usize) -> &Pair {
        let (lower, higher) = (one.min(other), one.max(other));
        assert!(lower < higher && higher < self.targets.len(), "no line between {one} and {other}");
        &self.pairs[higher * (higher - 1) / 2 + lower]
    }

    /// The validator that opened a connection from this address.
    fn caller(&self, from: SocketAddr, to: SocketAddr) -> Option<usize> {
        let processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let candidates: Vec<u32> = processes.iter().flatten().copied().collect();
        let process = process_of(from, to, &candidates)?;
        processes.iter().position(|known| *known == Some(process))
    }
}

/// The lines between all validators of a network. They end when this is dropped.
#[derive(Debug)]
pub struct Lines {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    runtime: Option<Runtime>,
    _ports: PortBlock,
}

impl Lines {
    /// Creates lines to validators that listen at these addresses of 127.0.0.1.
    ///
    /// # Panics
    /// If the system does not provide the sockets and threads.
    pub fn to(targets: Vec<SocketAddr>) -> Lines {
        let size = targets.len();
        let (ports, listeners) = PortBlock::take_listening(u16::try_from(size).expect("a small network"));
        let addresses: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect();
        let shared = Arc::new(Shared {
            pairs: (0..size * size.saturating_sub(1) / 2).map(|_| Pair::default()).collect(),
            processes: Mutex::new(vec![None; size]),
            counted: Counted::default(),
            unknown_callers: AtomicU64::new(0),
            targets,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        for ((index, listener), address) in listeners.into_iter().enumerate().zip(&addresses) {
            listener.set_nonblocking(true).expect("a socket can be made non-blocking");
            runtime.spawn(listen(listener, *address, index, Arc::clone(&shared)));
        }
        Lines { shared, addresses, runtime: Some(runtime), _ports: ports }
    }

    /// The address at which others reach a validator.
    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    /// Sets the process of a validator.
    pub fn is_run_by(&self, index: usize, process: u32) {
        self.shared.processes.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(process);
    }

    fn change(&self, one: usize, other: usize, change: impl FnOnce(&mut Line)) {
        self.shared.pair(one, other).line.send_modify(change);
    }

    /// Cuts the connections of a line. New ones are possible at once.
    pub fn cut(&self, one: usize, other: usize) {
        self.change(one, other, |line| line.cuts += 1);
    }

    /// Cuts the connections of a line, and refuses new ones.
    pub fn refuse(&self, one: usize, other: usize) {
        self.change(one, other, |line| {
            line.cuts += 1;
            line.refuses = true;
        });
    }

    /// Sets what happens to bytes from one validator to another. Open connections stay open, and
    /// the system still accepts new ones: neither side is notified.
    pub fn set(&self, from: usize, to: usize, delivery: Delivery) {
        self.change(from, to, |line| line.set(from < to, delivery));
    }

    /// Sets the additional delay in each direction on all lines. Order and throughput stay the
    /// same.
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
                [true, false].into_iter().for_each(|upward| line.set(upward, Delivery::Open));
            });
        }
    }

    /// Number of open connections of a line.
    pub fn connections(&self, one: usize, other: usize) -> usize {
        self.shared.pair(one, other).connections.load(Ordering::Relaxed)
    }

    /// What has passed so far.
    pub fn passed(&self) -> Passed {
        self.shared.counted.passed()
    }

    /// Connections so far that came from none of the validators, or whose process could not be
    /// found in time.
    pub fn unknown_callers(&self) -> u64 {
        self.shared.unknown_callers.load(Ordering::Relaxed)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

async fn listen(listener: TcpListener, address: SocketAddr, index: usize, shared: Arc<Shared>) {
    let listener = Listener::from_std(listener).expect("it is a listener");
    loop {
        // The connection failed before it was accepted; its caller notices.
        let Ok((caller, from)) = listener.accept().await else { continue };
        let Some(who) = shared.caller(from, address).filter(|who| *who != index) else {
            shared.unknown_callers.fetch_add(1, Ordering::Relaxed);
            reset(caller);
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { join(caller, who, index, &shared).await });
    }
}

/// Resets a connection, as a machine does for a connection that it does not know.
fn reset(stream: TcpStream) {
    // An error means that it has ended.
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Connects a caller with the target until one of them ends the connection or the line is cut.
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
