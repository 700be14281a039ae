//! The queue of work of an ordering thread: the engine's thread, or an observer's thread.

use std::time::Duration;

use quorate_pbft::Moment;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout_at;

use super::clock::Clock;

/// Upper limit of pieces of work that wait for the thread. When it is reached, senders wait: peers
/// through the backpressure of their streams, clients until their requests time out.
const CAPACITY: usize = 4096;

/// Upper limit of pieces of work in one group. A group shares one disk sync.
const GROUP: usize = 512;

/// The thread wakes up this often even without work, so that a stale snapshot means that the thread
/// is stuck.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// The receiving end of the queue. `W` is the work of the node's role.
pub(crate) struct Inbox<W> {
    queue: mpsc::Receiver<W>,
    clock: Clock,
}

impl<W> Inbox<W> {
    /// An empty queue, and its sender.
    pub(crate) fn new(clock: Clock) -> (mpsc::Sender<W>, Self) {
        let (sender, queue) = mpsc::channel(CAPACITY);
        (sender, Inbox { queue, clock })
    }

    /// Waits for work or for the deadline, then takes everything in the queue. `false` if there
    /// will be no more work: the node was dropped without being stopped.
    pub(crate) fn wait(&mut self, runtime: &Runtime, deadline: Option<Moment>, group: &mut Vec<W>) -> bool {
        let heartbeat = self.clock.now().moment.after(HEARTBEAT);
        let until = self.clock.instant(deadline.map_or(heartbeat, |deadline| deadline.min(heartbeat)));
        let received = self.queue.recv_many(group, GROUP);
        // The timer must be created inside the runtime. The work is taken whether the wait timed
        // out or not.
        runtime.block_on(async { timeout_at(until, received).await }) != Ok(0)
    }
}

/// Number of pieces of work that wait in a queue.
pub(crate) fn waiting<W>(queue: &mpsc::Sender<W>) -> usize {
    queue.max_capacity() - queue.capacity()
}
