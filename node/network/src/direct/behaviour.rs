//! The libp2p behaviour behind direct streams: exactly one stream per connection.
//!
//! The dialing side opens the stream, the other side accepts it, and further streams are refused.
//! Each stream is reported together with its connection, so that the event loop knows to which
//! connection of a reconnecting peer it belongs.
//!
//! If this node dials a peer that it is already connected with, this behaviour closes the second
//! connection before any other behaviour processes it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::future::{Ready, ready};
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

/// A direct stream was opened, or opening it failed.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) outcome: Result<Stream, OpenError>,
}

/// Why the dialing side has no direct stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(
        "the member belongs to another network or speaks another protocol version: compare the genesis files"
    )]
    Foreign,
    #[error(
        "the member speaks protocol version {theirs}, this node version {ours}: run the same version on both"
    )]
    OtherVersion { ours: u32, theirs: u32 },
    #[error("the direct stream was not opened within the timeout")]
    TimedOut,
    #[error("the direct stream could not be opened: {0}")]
    Io(std::io::Error),
}

/// This node is already connected with the peer, so its second dial is not needed.
#[derive(Debug, thiserror::Error)]
#[error("already connected with this peer")]
pub(crate) struct AlreadyConnected;

/// See the module.
pub(crate) struct Behaviour {
    protocol: StreamProtocol,
    open_timeout: Duration,
    connected: HashMap<PeerId, HashSet<ConnectionId>>,
    events: VecDeque<Event>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Streams of `protocol`. `open_timeout` limits their negotiation.
    pub(crate) fn new(protocol: StreamProtocol, open_timeout: Duration) -> Self {
        Self { protocol, open_timeout, connected: HashMap::new(), events: VecDeque::new(), waker: None }
    }

    fn handler(&self, role: Role) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            open_timeout: self.open_timeout,
            state: State::Fresh(role),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        Ok(self.handler(Role::Accepts))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<Handler, ConnectionDenied> {
        if self.connected.contains_key(&peer) {
            return Err(ConnectionDenied::new(AlreadyConnected));
        }
        Ok(self.handler(Role::Opens))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.connected.entry(peer_id).or_default().insert(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(connections) = self.connected.get_mut(&peer_id) {
                    connections.remove(&connection_id);
                    if connections.is_empty() {
                        self.connected.remove(&peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        outcome: Result<Stream, OpenError>,
    ) {
        // At most one event per connection, so the connection limits bound this queue.
        self.events.push_back(Event { peer, connection, outcome });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Whether this side opens or accepts the stream of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Opens,
    Accepts,
}

#[derive(Debug)]
enum State {
    /// The stream is neither requested nor accepted yet.
    Fresh(Role),
    /// This side requested the stream.
    Asked,
    /// The outcome is known but not reported yet.
    Known(Result<Stream, OpenError>),
    /// The outcome was reported. There is no second stream.
    Done,
}

/// Accepts a stream of the protocol, or none at all.
#[derive(Debug)]
pub(crate) struct Accept {
    protocol: Option<StreamProtocol>,
}

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.protocol.clone().into_iter()
    }
}

impl<S> InboundUpgrade<S> for Accept {
    type Output = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;

    fn upgrade_inbound(self, stream: S, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Opens or accepts the one stream of a connection.
#[derive(Debug)]
pub(crate) struct Handler {
    protocol: StreamProtocol,
    open_timeout: Duration,
    state: State,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Result<Stream, OpenError>;
    type InboundProtocol = Accept;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let open = matches!(self.state, State::Fresh(Role::Accepts));
        let upgrade = Accept { protocol: open.then(|| self.protocol.clone()) };
        SubstreamProtocol::new(upgrade, ()).with_timeout(self.open_timeout)
    }

    fn connection_keep_alive(&self) -> bool {
        // Only the event loop decides when a connection ends.
        true
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                // Two streams may be negotiated at the same time: the first one is used.
                if matches!(self.state, State::Fresh(Role::Accepts)) => {
                    self.state = State::Known(Ok(stream));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.state = State::Known(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.state = State::Known(Err(match error {
                    StreamUpgradeError::NegotiationFailed => OpenError::Foreign,
                    StreamUpgradeError::Timeout => OpenError::TimedOut,
                    StreamUpgradeError::Io(error) => OpenError::Io(error),
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        // The state changes only in `on_connection_event`, after which the connection polls again.
        match std::mem::replace(&mut self.state, State::Done) {
            State::Fresh(Role::Opens) => {
                self.state = State::Asked;
                let upgrade = ReadyUpgrade::new(self.protocol.clone());
                let protocol = SubstreamProtocol::new(upgrade, ()).with_timeout(self.open_timeout);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            State::Known(outcome) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(outcome)),
            unchanged => {
                self.state = unchanged;
                Poll::Pending
            }
        }
    }
}
