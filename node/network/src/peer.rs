//! The state kept for each peer, shared by the handle, the event loop and the peer's link.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;

use crate::config::NetworkLimits;
use crate::counters::{Counter, Counters};
use crate::direct::queue::Outbox;
use crate::event::{Shares, Source};
use crate::identity::{InvalidKey, PeerKey, peer_id};
use crate::status::{Direction, PeerStatus};

/// The longest `last_error` kept, in bytes; libp2p's error texts can be long.
const ERROR_BYTES_MAX: usize = 300;

/// Why a peer is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rank {
    /// It is a member.
    Member,
    /// It is an observer: it may send requests, and receives the messages for observers.
    Observer,
}

/// The limits of one key, and the lock on its direct stream. A peer that is removed and added again
/// finds those it had, as long as anything uses them.
#[derive(Clone)]
pub(crate) struct PeerLimits {
    shares: Arc<Shares>,
    /// Permits for requests in flight to this peer.
    pub(crate) requests: Arc<Semaphore>,
    /// Held by the task that serves the peer's direct stream, so that the events of two connections
    /// of one peer never mix.
    pub(crate) link_lock: Arc<tokio::sync::Mutex<()>>,
}

impl PeerLimits {
    pub(crate) fn new(limits: &NetworkLimits) -> Self {
        Self {
            shares: Arc::new(Shares::new(limits)),
            requests: Arc::new(Semaphore::new(limits.requests_per_peer)),
            link_lock: Arc::default(),
        }
    }

    /// Whether neither a peer nor one of its events uses them.
    pub(crate) fn are_unused(&self) -> bool {
        // Every peer and every waiting event has a `Source`, which holds the shares. The room of an
        // event that the layer above has taken is counted by the shares themselves.
        Arc::strong_count(&self.shares) == 1 && self.shares.are_free()
    }
}

/// A member other than this node, or an observer: one key in one role. A peer whose role changes is
/// replaced by a new one.
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) rank: Rank,
    pub(crate) id: PeerId,
    pub(crate) source: Arc<Source>,
    pub(crate) limits: PeerLimits,
    pub(crate) messages_received: Counter,
    pub(crate) bytes_in: Counter,
    pub(crate) messages_sent: Counter,
    pub(crate) bytes_out: Counter,
    pub(crate) messages_dropped: Counter,
    pub(crate) dial_attempts: Counter,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    link: Option<Attached>,
    last_error: Option<String>,
    program: Option<String>,
}

/// The working link of a member.
struct Attached {
    outbox: Arc<Outbox>,
    address: String,
    direction: Direction,
    since: SystemTime,
    round_trip: Option<Duration>,
}

impl Peer {
    pub(crate) fn new(key: PeerKey, rank: Rank, limits: PeerLimits) -> Result<Self, InvalidKey> {
        Ok(Self {
            key,
            rank,
            id: peer_id(&key)?,
            source: Source::new(key, limits.shares.clone()),
            limits,
            messages_received: Counter::default(),
            bytes_in: Counter::default(),
            messages_sent: Counter::default(),
            bytes_out: Counter::default(),
            messages_dropped: Counter::default(),
            dial_attempts: Counter::default(),
            state: Mutex::default(),
        })
    }

    pub(crate) fn is_member(&self) -> bool {
        self.rank == Rank::Member
    }

    /// Directs messages for this member to `outbox` from now on.
    pub(crate) fn attach(&self, outbox: Arc<Outbox>, address: String, direction: Direction) {
        let since = SystemTime::now();
        self.lock().link = Some(Attached { outbox, address, direction, since, round_trip: None });
    }

    /// Drops messages for this member from now on. Returns how many were still waiting.
    pub(crate) fn detach(&self) -> u64 {
        let waiting = self.lock().link.take().map_or(0, |link| link.outbox.len() as u64);
        self.messages_dropped.add(waiting);
        waiting
    }

    /// Whether a direct stream works in both directions.
    pub(crate) fn is_connected(&self) -> bool {
        self.lock().link.is_some()
    }

    /// Queues a message on the working link. Drops it if there is none.
    pub(crate) fn send(&self, message: Bytes, counters: &Counters) {
        let outbox = self.lock().link.as_ref().map(|link| link.outbox.clone());
        let dropped = match outbox {
            Some(outbox) => {
                let dropped = outbox.push(message);
                counters.messages_dropped.add(dropped);
                dropped
            }
            None => {
                counters.messages_to_disconnected.one();
                1
            }
        };
        self.messages_dropped.add(dropped);
    }

    /// Records a measured round trip.
    pub(crate) fn measured(&self, round_trip: Duration) {
        if let Some(link) = &mut self.lock().link {
            link.round_trip = Some(round_trip);
        }
    }

    /// Records why a connection ended or an attempt failed.
    pub(crate) fn failed(&self, reason: &dyn std::fmt::Display) {
        let mut text = reason.to_string();
        let end = text.floor_char_boundary(ERROR_BYTES_MAX);
        text.truncate(end);
        self.lock().last_error = Some(text);
    }

    /// Records the program name that the member claims.
    pub(crate) fn identified(&self, program: String) {
        self.lock().program = Some(program);
    }

    /// The member's current status.
    pub(crate) fn status(&self) -> PeerStatus {
        let state = self.lock();
        let link = state.link.as_ref();
        PeerStatus {
            key: self.key,
            connected: link.is_some(),
            address: link.map(|link| link.address.clone()),
            since: link.map(|link| link.since),
            direction: link.map(|link| link.direction),
            round_trip: link.and_then(|link| link.round_trip),
            messages_received: self.messages_received.get(),
            messages_sent: self.messages_sent.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            messages_waiting: link.map_or(0, |link| link.outbox.len()),
            messages_dropped: self.messages_dropped.get(),
            dial_attempts: self.dial_attempts.get(),
            last_error: state.last_error.clone(),
            program: state.program.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
