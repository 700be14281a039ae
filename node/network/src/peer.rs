//! The state kept for each peer, shared by the handle, the event loop and the peer's link.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use libp2p::PeerId;
use tokio::sync::Semaphore;

use crate::config::NetworkLimits;
use crate::counters::{Counter, Counters};
use crate::direct::queue::Outbox;
use crate::event::Shares;
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

/// A member other than this node, or an observer.
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) rank: Rank,
    pub(crate) id: PeerId,
    /// Held by the task that serves the member's direct stream, so that the events of two
    /// connections of one member never mix.
    pub(crate) link_lock: tokio::sync::Mutex<()>,
    pub(crate) shares: Shares,
    /// Permits for requests in flight to this member.
    pub(crate) requests: Arc<Semaphore>,
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
    fn new(key: PeerKey, rank: Rank, limits: &NetworkLimits) -> Result<Self, InvalidKey> {
        Ok(Self {
            key,
            rank,
            id: peer_id(&key)?,
            link_lock: tokio::sync::Mutex::new(()),
            shares: Shares::new(limits),
            requests: Arc::new(Semaphore::new(limits.requests_per_peer)),
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

/// All members and observers except this node.
pub(crate) struct Peers {
    by_key: BTreeMap<PeerKey, Arc<Peer>>,
    by_id: HashMap<PeerId, Arc<Peer>>,
}

impl Peers {
    /// The members and observers without `own`. A key that is listed twice counts once, and as a
    /// member if it is one.
    pub(crate) fn new(
        members: &[PeerKey],
        observers: &[PeerKey],
        own: PeerKey,
        limits: &NetworkLimits,
    ) -> Result<Self, InvalidKey> {
        let mut peers = Self { by_key: BTreeMap::new(), by_id: HashMap::new() };
        let members = members.iter().map(|key| (*key, Rank::Member));
        let all = observers.iter().map(|key| (*key, Rank::Observer)).chain(members);
        for (key, rank) in all.filter(|(key, _)| *key != own) {
            let peer = Arc::new(Peer::new(key, rank, limits)?);
            peers.by_id.insert(peer.id, peer.clone());
            peers.by_key.insert(key, peer);
        }
        Ok(peers)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// In the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.by_key.values()
    }

    /// The members, in the order of their keys.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Peer>> {
        self.iter().filter(|peer| peer.is_member())
    }

    /// Queues a direct message for every connected peer of this rank. The peers share the bytes.
    pub(crate) fn broadcast(&self, to: Rank, bytes: &Bytes, counters: &Counters) {
        for peer in self.iter().filter(|peer| peer.rank == to && peer.is_connected()) {
            peer.send(bytes.clone(), counters);
        }
    }

    pub(crate) fn by_key(&self, key: &PeerKey) -> Option<&Arc<Peer>> {
        self.by_key.get(key)
    }

    pub(crate) fn by_id(&self, id: &PeerId) -> Option<&Arc<Peer>> {
        self.by_id.get(id)
    }
}
