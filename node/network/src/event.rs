//! The events for the layer above, and the limits on how many may wait.
//!
//! All peers use one channel. Each peer has its own share of it, counted in messages and bytes. If
//! a peer sends faster than the node processes, it fills its own share. Then its stream is not read
//! until there is room. It cannot use the share of another peer.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

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
        self.receiver.recv().await.map(|parcel| parcel.event)
    }

    /// Like [`NetworkEvents::recv`], together with the room that the event takes in its member's
    /// share. The room stays taken until it is dropped. Keep it with an event that waits in another
    /// queue: if too much of a member waits, the node stops reading that member's stream.
    pub async fn recv_with_room(&mut self) -> Option<(NetworkEvent, Room)> {
        self.receiver.recv().await.map(|parcel| (parcel.event, parcel.room))
    }

    /// The next event if there is one now.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        self.receiver.try_recv().ok().map(|parcel| parcel.event)
    }

    /// Like [`NetworkEvents::recv`], for a thread outside the runtime.
    pub fn blocking_recv(&mut self) -> Option<NetworkEvent> {
        self.receiver.blocking_recv().map(|parcel| parcel.event)
    }
}

/// An event and the room it takes.
#[derive(Debug)]
struct Parcel {
    event: NetworkEvent,
    room: Room,
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
}

impl Share {
    /// Room for `messages` messages with `bytes` bytes in total.
    pub(crate) fn new(messages: usize, bytes: usize) -> Self {
        Self { messages: Arc::new(Semaphore::new(messages)), bytes: Arc::new(Semaphore::new(bytes)) }
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
}

/// There was no room, or the receiver was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotTaken;

/// The sender of the event channel.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    sender: mpsc::Sender<Parcel>,
}

/// A channel with a slot for every message that fits into the shares of `members`. So the shares,
/// not the channel, limit what may wait.
pub(crate) fn channel(members: usize, limits: &NetworkLimits) -> (Inbox, NetworkEvents) {
    let share =
        LIFECYCLE_EVENTS + limits.inbound_messages + limits.gossip_messages + limits.requests_per_peer;
    let (sender, receiver) = mpsc::channel((members * share).max(1));
    (Inbox { sender }, NetworkEvents { receiver })
}

impl Inbox {
    /// Sends `Connected` or `Disconnected`. Waits for room.
    pub(crate) async fn lifecycle(&self, shares: &Shares, event: NetworkEvent) -> Result<(), NotTaken> {
        let room = shares.lifecycle.admit(0).await;
        self.put(event, room)
    }

    /// Sends a direct message to the layer above. Waits for room.
    pub(crate) async fn message(&self, shares: &Shares, from: PeerKey, bytes: Bytes) -> Result<(), NotTaken> {
        let room = shares.direct.admit(bytes.len()).await;
        self.put(NetworkEvent::Message { from, bytes }, room)
    }

    /// Sends a gossip message to the layer above, if there is room.
    pub(crate) fn gossip(&self, shares: &Shares, from: PeerKey, bytes: Bytes) -> Result<(), NotTaken> {
        let room = shares.gossip.try_admit(bytes.len()).ok_or(NotTaken)?;
        self.put(NetworkEvent::Gossip { from, bytes }, room)
    }

    /// Sends a request to the layer above, if there is room.
    pub(crate) fn request(
        &self,
        shares: &Shares,
        from: PeerKey,
        bytes: Bytes,
        answer: Answer,
    ) -> Result<(), NotTaken> {
        let room = shares.requests.try_admit(bytes.len()).ok_or(NotTaken)?;
        self.put(NetworkEvent::Request { from, bytes, answer }, room)
    }

    fn put(&self, event: NetworkEvent, room: Room) -> Result<(), NotTaken> {
        // An event with room has a slot, because the channel is as large as all shares together. So
        // an error means that the receiver was dropped.
        self.sender.try_send(Parcel { event, room }).map_err(|_| NotTaken)
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

    #[tokio::test]
    async fn a_full_share_waits_and_leaves_the_others_alone() {
        let (inbox, mut events) = channel(2, &limits());
        let (a, b) = (Shares::new(&limits()), Shares::new(&limits()));
        for _ in 0..2 {
            inbox.message(&a, A, Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
        }
        let mut third = Box::pin(inbox.message(&a, A, Bytes::from_static(b"third")));
        assert!(third.as_mut().now_or_never().is_none(), "two messages are the limit");
        inbox.message(&b, B, Bytes::from_static(b"y")).now_or_never().unwrap().unwrap();

        events.recv().await.unwrap();
        third.await.unwrap();
    }

    #[tokio::test]
    async fn room_that_is_kept_stays_taken() {
        let (inbox, mut events) = channel(1, &limits());
        let a = Shares::new(&limits());
        for _ in 0..2 {
            inbox.message(&a, A, Bytes::from_static(b"x")).now_or_never().unwrap().unwrap();
        }
        let (_, room) = events.recv_with_room().await.unwrap();
        let mut third = Box::pin(inbox.message(&a, A, Bytes::from_static(b"y")));
        assert!(third.as_mut().now_or_never().is_none(), "the event is taken, its room is not free");
        drop(room);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn bytes_count_as_well_as_messages() {
        let (inbox, mut events) = channel(1, &limits());
        let a = Shares::new(&limits());
        inbox.message(&a, A, Bytes::from_static(b"123456")).now_or_never().unwrap().unwrap();
        let mut second = Box::pin(inbox.message(&a, A, Bytes::from_static(b"12345")));
        assert!(second.as_mut().now_or_never().is_none(), "eleven bytes are above ten");
        events.recv().await.unwrap();
        second.await.unwrap();
    }

    #[test]
    fn gossip_without_room_is_dropped() {
        let (inbox, mut events) = channel(1, &limits());
        let a = Shares::new(&limits());
        assert_eq!(inbox.gossip(&a, A, Bytes::new()), Ok(()));
        assert_eq!(inbox.gossip(&a, A, Bytes::new()), Err(NotTaken));
        assert!(events.try_recv().is_some());
        assert_eq!(inbox.gossip(&a, A, Bytes::new()), Ok(()));
    }

    #[tokio::test]
    async fn a_dropped_receiver_blocks_no_sender() {
        let (inbox, events) = channel(1, &limits());
        drop(events);
        let a = Shares::new(&limits());
        for _ in 0..10 {
            assert_eq!(inbox.message(&a, A, Bytes::from_static(b"12345")).await, Err(NotTaken));
        }
    }
}
