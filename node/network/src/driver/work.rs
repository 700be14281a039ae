//! The operations in progress: attempts to connect, connections, links, requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use libp2p::Multiaddr;
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::ConnectionId;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::log_limiter::LogLimiter;
use crate::config::NetworkTiming;
use crate::dialing::addresses::without_peer;
use crate::dialing::names::Resolution;
use crate::direct::link::LinkEnd;
use crate::error::RequestError;
use crate::identity::PeerKey;
use crate::peer::Peer;
use crate::protocols::requests::Reply;
use crate::status::Direction;

/// The target of an attempt to connect.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attempt {
    Member(PeerKey),
    /// The bootstrap address with this index.
    Bootstrap(usize),
}

impl Attempt {
    /// The member to reach, if it is known which one.
    pub(super) fn member(self) -> Option<PeerKey> {
        match self {
            Attempt::Member(key) => Some(key),
            Attempt::Bootstrap(_) => None,
        }
    }
}

/// An attempt in progress.
pub(super) struct Dialed {
    pub(super) attempt: Attempt,
    /// The addresses being dialed, each with the address as it was written.
    pub(super) addresses: Vec<(Multiaddr, Multiaddr)>,
}

impl Dialed {
    /// The written form of a dialed address, which may have a peer id.
    pub(super) fn written(&self, dialed: &Multiaddr) -> Option<&Multiaddr> {
        let plain = without_peer(dialed).map_or_else(|_| dialed.clone(), |(plain, _)| plain);
        self.addresses.iter().find(|(found, _)| *found == plain).map(|(_, written)| written)
    }
}

/// One live connection.
pub(super) struct Connection {
    pub(super) peer: Arc<Peer>,
    /// Whether it was the member's only connection when it was established.
    pub(super) first: bool,
    pub(super) direction: Direction,
    pub(super) address: Multiaddr,
    /// When to close the connection unless its direct stream is open by then. `None` once the
    /// stream is open.
    pub(super) deadline: Option<Instant>,
    pub(super) cut: CancellationToken,
    pub(super) since: Instant,
}

/// The state of looking up members that are not connected.
pub(super) struct Lookup {
    pub(super) last: Instant,
    /// Time from the last round to the next.
    pub(super) delay: Duration,
    /// Index of the missing member with which the next round begins.
    pub(super) next_index: usize,
}

impl Lookup {
    pub(super) fn due(&self) -> Instant {
        self.last + self.delay
    }
}

/// A link that ended.
pub(super) struct Ended {
    pub(super) connection: ConnectionId,
    pub(super) peer: Arc<Peer>,
    pub(super) end: LinkEnd,
}

pub(super) type Resolved = (Attempt, Resolution);
pub(super) type Answered = (ResponseChannel<Reply>, Option<Bytes>);

/// The operations in progress.
pub(crate) struct Work {
    pub(super) lookup: Lookup,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    pub(super) attempts: HashMap<ConnectionId, Dialed>,
    pub(super) resolving: FuturesUnordered<BoxFuture<'static, Resolved>>,
    pub(super) links: JoinSet<Ended>,
    /// Sent requests that are not answered yet.
    pub(super) pending_requests: HashMap<OutboundRequestId, oneshot::Sender<Result<Bytes, RequestError>>>,
    /// Received requests that are not answered yet.
    pub(super) pending_answers: FuturesUnordered<BoxFuture<'static, Answered>>,
    pub(super) strangers: LogLimiter,
    pub(super) versions: LogLimiter,
    pub(super) garbage: LogLimiter,
    pub(super) accept_errors: LogLimiter,
}

impl Work {
    /// Nothing in progress yet.
    pub(crate) fn new(now: Instant, timing: &NetworkTiming) -> Self {
        Self {
            lookup: Lookup { last: now, delay: timing.lookup_min, next_index: 0 },
            connections: HashMap::new(),
            attempts: HashMap::new(),
            resolving: FuturesUnordered::new(),
            links: JoinSet::new(),
            pending_requests: HashMap::new(),
            pending_answers: FuturesUnordered::new(),
            strangers: LogLimiter::default(),
            versions: LogLimiter::default(),
            garbage: LogLimiter::default(),
            accept_errors: LogLimiter::default(),
        }
    }
}
