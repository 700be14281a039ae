//! Decodes and checks messages of members on threads of their own. Messages of one member are
//! checked in order, members are served fairly ([`Lanes`]), and messages that the replica cannot
//! use are dropped unchecked ([`Screen`]).
//!
//! The threads, their queues and screens exist for one epoch. The next epoch has new ones. What
//! waits in the old queues is lost, like messages on the way.

mod ahead;
mod check;
mod lanes;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quorate_engine::MemberMessage;
use quorate_ledger::ReplicaId;
use quorate_network::Room;
use quorate_pbft::{Dropped, Screen};

use ahead::AheadLimit;
pub(crate) use check::CheckContext;
use lanes::{Lanes, Weight};

/// Minimum number of threads: one message that takes long to check must not block all others.
const THREADS_MIN: usize = 2;

/// A message of a member, to be processed in order.
#[derive(Debug)]
pub(crate) struct PeerMessage {
    pub(crate) bytes: Bytes,
    /// Whether it arrived over the direct stream of the member. Otherwise the member relays it by
    /// gossip.
    pub(crate) direct: bool,
}

impl PeerMessage {
    /// Read from the first two numbers of the message, which encode its kind.
    fn weight(&self) -> Weight {
        if MemberMessage::is_dear(&self.bytes) { Weight::Dear } else { Weight::Light }
    }
}

/// What decides which messages of one member are checked. Only the thread that works on the
/// member's lane uses it.
struct Filter {
    screen: Screen,
    ahead: AheadLimit,
}

/// Number of messages dropped unchecked since the start, by reason.
#[derive(Debug, Default)]
pub(crate) struct NotChecked {
    useless: AtomicU64,
    repeated: AtomicU64,
    too_often: AtomicU64,
}

impl NotChecked {
    fn of(&self, why: Dropped) -> &AtomicU64 {
        match why {
            Dropped::Useless => &self.useless,
            Dropped::Repeated => &self.repeated,
            Dropped::TooOften => &self.too_often,
        }
    }

    /// The counts, with the label of each reason in metrics.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        let of = |why| self.of(why).load(Ordering::Relaxed);
        [
            ("useless", of(Dropped::Useless)),
            ("repeated", of(Dropped::Repeated)),
            ("too_often", of(Dropped::TooOften)),
        ]
    }
}

/// Handle of the checking threads. They end when it is dropped.
pub(crate) struct Checker {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// By member index.
    filters: Vec<Mutex<Filter>>,
    context: CheckContext,
}

struct State {
    /// Each piece of work with its share of the member's queue in the network. When this share is
    /// used up, the network stops reading the member's stream and drops what the member relays.
    lanes: Lanes<(PeerMessage, Room)>,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.wake.notify_all();
    }
}

impl Checker {
    /// Starts this many threads, but at least two.
    pub(crate) fn start(threads: usize, context: CheckContext) -> std::io::Result<Self> {
        let threads = threads.max(THREADS_MIN);
        let committee = context.epoch.committee();
        let members = committee.size();
        let filters = committee.replicas().map(|from| Mutex::new(context.filter(from))).collect();
        let state = State { lanes: Lanes::new(members, threads - 1), closed: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new(), filters, context });
        let checker = Checker { shared };
        for number in 0..threads {
            let worker = Worker { shared: Arc::clone(&checker.shared) };
            std::thread::Builder::new().name(format!("check-{number}")).spawn(move || worker.run())?;
        }
        Ok(checker)
    }

    /// Queues a message behind all earlier ones of this member. `false` if the threads have ended.
    pub(crate) fn push(&self, from: ReplicaId, message: PeerMessage, room: Room) -> bool {
        let mut state = self.shared.state();
        if state.closed {
            return false;
        }
        state.lanes.push(from.index(), message.weight(), (message, room));
        drop(state);
        self.shared.wake.notify_one();
        true
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Worker {
    shared: Arc<Shared>,
}

impl Drop for Worker {
    /// Also when a check panics: a node that no longer processes messages of one member must stop.
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Worker {
    fn run(self) {
        while let Some((member, (message, room))) = self.next() {
            let from = ReplicaId(u16::try_from(member).expect("a committee is small"));
            let (work, cost) = self.shared.context.work(&self.shared.filters[member], from, &message);
            drop(room);
            // A full inbox blocks the checking threads here, which keeps the order of one member's
            // messages.
            if let Some(work) = work
                && self.shared.context.inbox.blocking_send(work).is_err()
            {
                return;
            }
            self.shared.state().lanes.done(member, cost);
            self.shared.wake.notify_one();
        }
    }

    fn next(&self) -> Option<(usize, (PeerMessage, Room))> {
        let mut state = self.shared.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(taken) = state.lanes.take() {
                return Some(taken);
            }
            state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_genesis::TestNetwork;

    use super::check::tests::vote;
    use super::*;

    #[test]
    fn expensive_messages_are_recognised_by_their_first_bytes() {
        let network = TestNetwork::seeded(4, 1);
        let bytes = MemberMessage::consensus(vote(&network, 1));
        let message = |bytes: Vec<u8>| PeerMessage { bytes: bytes.into(), direct: true };
        assert_eq!(message(bytes).weight(), Weight::Light);
        assert_eq!(message(vec![0, 4]).weight(), Weight::Dear);
        assert_eq!(message(vec![0]).weight(), Weight::Light);
    }
}
