//! The events for the layer above, and the limits on how many may wait.
//!
//! All peers use one channel. Each peer has its own share of it, counted in messages and bytes. If
//! a peer sends faster than the node processes, it fills its own share. Then its stream is not read
//! until there is room. It cannot use the share of another peer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::NetworkLimits;
use crate::identity::PeerKey;

/// How many `Connected` and `Disconnected` events of one member may wait. At this limit the
/// member's next connection waits, too.
const LIFECYCLE_EVENTS: usize = 4;

/// An event of the network.
///
/// `Connected`, `Message` and `Disconnected` of one member are in order, and `Message` comes only
/// between the other two. `Gossip` and `Request` use other streams: they may come shortly before
/// `Connected` or after `Disconnected` of the same member.
///
/// [`Network::set_peers`](crate::Network::set_peers) ends the connection of a peer that it removes,
/// or whose role it changes. Once the call has returned, `Message`, `Gossip` and `Request` of the
/// old connection are no longer delivered, not even those that were waiting. `Disconnected` follows
/// if `Connected` was delivered or waits to be. A new connection of the same key reports
/// `Connected` only after that `Disconnected`.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A direct stream to this member works in both directions. This event also follows every
    /// reconnect; messages that were sent before it may be lost.
    Connected {
        /// The member.
        peer: PeerKey,
    },
    /// The direct stream to this member ended.
    Disconnected {
        /// The member.
        peer: PeerKey,
    },
    /// A direct message. It may share a larger buffer with other messages: decode or copy it, and
    /// do not keep it.
    Message {
        /// The sender.
        from: PeerKey,
        /// The content.
        bytes: Bytes,
    },
    /// A gossiped message.
    Gossip {
        /// The member that relayed the message, which need not be its author. Members relay
        /// messages without validating them, so do not blame this member for an invalid one.
        from: PeerKey,
        /// The content.
        bytes: Bytes,
    },
    /// A request.
    Request {
        /// The sender.
        from: PeerKey,
        /// The content.
        bytes: Bytes,
        /// The handle for the answer.
        answer: Answer,
    },
}

/// The handle to answer one [`NetworkEvent::Request`]. Dropping it refuses the request.
#[derive(Debug)]
#[must_use = "dropping an answer refuses the request"]
pub struct Answer {
    sender: oneshot::Sender<Bytes>,
}

impl Answer {
    /// A handle, and the receiver of the answer.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Bytes>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender }, receiver)
    }

    /// Sends the answer. An answer above the response limit becomes a refusal. An answer after the
    /// request timeout is dropped, because the requester no longer waits.
    pub fn send(self, bytes: Bytes) {
        // An error means that the connection ended or the timeout expired: no requester waits any
        // more.
        let _ = self.sender.send(bytes);
    }
}

/// The receiver of all network events.
#[derive(Debug)]
pub struct NetworkEvents {
    receiver: mpsc::Receiver<Parcel>,
}

impl NetworkEvents {
    /// The next event, or `None` after the network was shut down and all events were taken. Safe to
    /// cancel.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        self.next_parcel().await.map(|parcel| parcel.event)
    }

    /// Like [`NetworkEvents::recv`], together with the room that the event takes in its member's
    /// share. The room stays taken until it is dropped. Keep it with an event that waits in another
    /// queue: if too much of a member waits, the node stops reading that member's stream.
    pub async fn recv_with_room(&mut self) -> Option<(NetworkEvent, Room)> {
        self.next_parcel().await.map(|parcel| (parcel.event, parcel.room))
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        loop {
            let parcel = self.receiver.try_recv().ok()?;
            if parcel.is_wanted() {
                return Some(parcel.event);
            }
        }
    }

    /// Like [`NetworkEvents::recv`], for a thread outside the runtime.
    pub fn blocking_recv(&mut self) -> Option<NetworkEvent> {
        loop {
            let parcel = self.receiver.blocking_recv()?;
            if parcel.is_wanted() {
                return Some(parcel.event);
            }
        }
    }

    async fn next_parcel(&mut self) -> Option<Parcel> {
        loop {
            let parcel = self.receiver.recv().await?;
            if parcel.is_wanted() {
                return Some(parcel);
            }
        }
    }
}

/// An event, its source, and the room it takes.
#[derive(Debug)]
struct Parcel {
    event: NetworkEvent,
    source: Arc<Source>,
    room: Room,
}

impl Parcel {
    /// Whether to deliver the event. The receiver needs every `Connected` with its `Disconnected`,
    /// but nothing else of a peer that was removed.
    fn is_wanted(&self) -> bool {
        let lifecycle =
            matches!(self.event, NetworkEvent::Connected { .. } | NetworkEvent::Disconnected { .. });
        lifecycle || !self.source.is_removed()
    }
}

/// The peer that events come from.
#[derive(Debug)]
pub(crate) struct Source {
    key: PeerKey,
    shares: Arc<Shares>,
    removed: CancellationToken,
}

impl Source {
    /// The source of the events of `key`, which take room in `shares`.
    pub(crate) fn new(key: PeerKey, shares: Arc<Shares>) -> Arc<Self> {
        Arc::new(Self { key, shares, removed: CancellationToken::new() })
    }

    /// Ends the delivery of the peer's events, and cancels the tokens of its connections.
    pub(crate) fn remove(&self) {
        self.removed.cancel();
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.is_cancelled()
    }

    /// A token for one connection of the peer: cancelled by itself, or when the peer is removed.
    pub(crate) fn connection_token(&self) -> CancellationToken {
        self.removed.child_token()
    }
}

/// The room that one event takes in its member's share. Dropping it frees the room.
#[derive(Debug)]
pub struct Room {
    _message: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

/// A limit on the messages and bytes of one kind that may wait.
#[derive(Debug)]
pub(crate) struct Share {
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    messages_max: usize,
}

impl Share {
    /// Room for `messages` messages with `bytes` bytes in total.
    pub(crate) fn new(messages: usize, bytes: usize) -> Self {
        Self {
            messages: Arc::new(Semaphore::new(messages)),
            bytes: Arc::new(Semaphore::new(bytes)),
            messages_max: messages,
        }
    }

    fn is_free(&self) -> bool {
        self.messages.available_permits() == self.messages_max
    }

    /// Waits until there is room for a message of `length` bytes, which must not exceed the share.
    async fn admit(&self, length: usize) -> Room {
        const OPEN: &str = "the semaphores of a share are never closed";
        let message = self.messages.clone().acquire_owned().await.expect(OPEN);
        let bytes = self.bytes.clone().acquire_many_owned(permits(length)).await.expect(OPEN);
        Room { _message: message, _bytes: bytes }
    }

    /// Room for a message of `length` bytes, if there is any now.
    pub(crate) fn try_admit(&self, length: usize) -> Option<Room> {
        let message = self.messages.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(permits(length)).ok()?;
        Some(Room { _message: message, _bytes: bytes })
    }
}

fn permits(length: usize) -> u32 {
    u32::try_from(length).expect("a message is far below 4 GiB, see MESSAGE_BYTES_MAX")
}

/// One member's shares of the event channel.
#[derive(Debug)]
pub(crate) struct Shares {
    lifecycle: Share,
    direct: Share,
    gossip: Share,
    requests: Share,
}

impl Shares {
    pub(crate) fn new(limits: &NetworkLimits) -> Self {
        Self {
            lifecycle: Share::new(LIFECYCLE_EVENTS, 0),
            direct: Share::new(limits.inbound_messages, limits.inbound_bytes),
            gossip: Share::new(limits.gossip_messages, limits.gossip_bytes),
            requests: Share::new(limits.requests_per_peer, limits.requests_per_peer * limits.request_bytes),
        }
    }

    /// Whether no event takes room.
    pub(crate) fn are_free(&self) -> bool {
        [&self.lifecycle, &self.direct, &self.gossip, &self.requests].into_iter().all(Share::is_free)
    }
}

/// There was no room, or the receiver was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// The sender of the event channel.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<Parcel>,
}

/// A channel with a slot for every message that fits into the shares of `peers`. So the shares, not
/// the channel, limit what may wait. Slots that are not used take no memory.
pub(crate) fn channel(peers: usize, limits: &NetworkLimits) -> (Inbox, NetworkEvents) {
    let share =
        LIFECYCLE_EVENTS + limits.inbound_messages + limits.gossip_messages + limits.requests_per_peer;
    let (sender, receiver) = mpsc::channel((peers * share).max(1));
    (Inbox { sender }, NetworkEvents { receiver })
}

impl Inbox {
    /// Sends `Connected` or `Disconnected`. Waits for room.
    pub(crate) async fn lifecycle(&self, from: &Arc<Source>, event: NetworkEvent) -> Result<(), NotTaken> {
        let room = from.shares.lifecycle.admit(0).await;
        self.put(event, from, room)
    }

    /// Sends a direct message to the layer above. Waits for room.
    pub(crate) async fn message(&self, from: &Arc<Source>, bytes: Bytes) -> Result<(), NotTaken> {
        let room = from.shares.direct.admit(bytes.len()).await;
        self.put(NetworkEvent::Message { from: from.key, bytes }, from, room)
    }

    /// Sends a gossip message to the layer above, if there is room.
    pub(crate) fn gossip(&self, from: &Arc<Source>, bytes: Bytes) -> Result<(), NotTaken> {
        let room = from.shares.gossip.try_admit(bytes.len()).ok_or(NotTaken)?;
        self.put(NetworkEvent::Gossip { from: from.key, bytes }, from, room)
    }

    /// Sends a request to the layer above, if there is room.
    pub(crate) fn request(&self, from: &Arc<Source>, bytes: Bytes, answer: Answer) -> Result<(), NotTaken> {
        let room = from.shares.requests.try_admit(bytes.len()).ok_or(NotTaken)?;
        self.put(NetworkEvent::Request { from: from.key, bytes, answer }, from, room)
    }

    fn put(&self, event: NetworkEvent, source: &Arc<Source>, room: Room) -> Result<(), NotTaken> {
        // An event with room has a slot, because the channel is as large as all shares together. So
        // an error means that the receiver was dropped.
        let parcel = Parcel { event, source: source.clone(), room };
        self.sender.try_send(parcel).map_err(|_| NotTaken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::FutureExt;

    use super::*;

    fn limits() -> NetworkLimits {
        NetworkLimits {
            inbound_messages: 2,
            inbound_bytes: 10,
            gossip_messages: 1,
            ..NetworkLimits::default()
        }
    }

    const A: PeerKey = PeerKey([2; 33]);
    const B: PeerKey = PeerKey([3; 33]);

    fn source(key: PeerKey) -> Arc<Source> {
        Source::new(key, Arc::new(Shares::new(&limits())))
    }

    #[tokio::test]
    async fn a_full_share_waits_and_leaves_the_others_alone() {
        let (inbox, mut events) = channel(2, &limits());
        let (a, b) = (source(A), source(B));
        for _ in 0..2 {
            inbox.message(&a, Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
        }
        let mut third = Box::pin(inbox.message(&a, Bytes::from_static(b"third")));
        assert!(third.as_mut().now_or_never().is_none(), "two messages are the limit");
        inbox.message(&b, Bytes::from_static(b"y")).now_or_never().unwrap().unwrap();

        events.recv().await.unwrap();
        third.await.unwrap();
    }

    #[tokio::test]
    async fn room_that_is_kept_stays_taken() {
        let (inbox, mut events) = channel(1, &limits());
        let a = source(A);
        for _ in 0..2 {
            inbox.message(&a, Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
        }
        let (_, room) = events.recv_with_room().await.unwrap();
        let mut third = Box::pin(inbox.message(&a, Bytes::from_static(b"y")));
        assert!(third.as_mut().now_or_never().is_none(), "the event is taken, its room is not free");
        drop(room);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn bytes_count_as_well_as_messages() {
        let (inbox, mut events) = channel(1, &limits());
        let a = source(A);
        inbox.message(&a, Bytes::from_static(b"123456")).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(inbox.message(&a, Bytes::from_static(b"12345")));
        assert!(second.as_mut().now_or_never().is_none(), "eleven bytes are above ten");
        events.recv().await.unwrap();
        second.await.unwrap();
    }

    #[test]
    fn gossip_without_room_is_dropped() {
        let (inbox, mut events) = channel(1, &limits());
        let a = source(A);
        assert_eq!(inbox.gossip(&a, Bytes::new()), Ok(()));
        assert_eq!(inbox.gossip(&a, Bytes::new()), Err(NotTaken));
        assert!(events.try_recv().is_some());
        assert_eq!(inbox.gossip(&a, Bytes::new()), Ok(()));
    }

    #[tokio::test]
    async fn a_dropped_receiver_blocks_no_sender() {
        let (inbox, events) = channel(1, &limits());
        drop(events);
        let a = source(A);
        for _ in 0..10 {
            assert_eq!(inbox.message(&a, Bytes::from_static(b"12345")).await, Err(NotTaken));
        }
    }

    #[tokio::test]
    async fn of_a_removed_peer_only_the_end_of_its_connection_is_delivered() {
        let (inbox, mut events) = channel(1, &limits());
        let a = source(A);
        inbox.lifecycle(&a, NetworkEvent::Connected { peer: A }).await.unwrap();
        inbox.message(&a, Bytes::from_static(b"x")).await.unwrap();
        inbox.gossip(&a, Bytes::from_static(b"y")).unwrap();
        let (answer, answered) = Answer::new();
        inbox.request(&a, Bytes::from_static(b"z"), answer).unwrap();
        a.remove();
        inbox.lifecycle(&a, NetworkEvent::Disconnected { peer: A }).await.unwrap();
        assert!(matches!(events.recv().await, Some(NetworkEvent::Connected { .. })));
        assert!(!a.shares.are_free(), "what waits takes room");
        assert!(matches!(events.try_recv(), Some(NetworkEvent::Disconnected { .. })));
        assert!(a.shares.are_free());
        assert!(answered.await.is_err(), "the request is refused");
    }
}
