//! A direct stream: one task that reads, writes and sends heartbeats.
//!
//! Each side sends a heartbeat first. The stream counts as connected when the other side has
//! answered this node's heartbeat, which shows that both directions work. The peer counts as alive
//! if a byte arrives within the silent timeout. While the layer above does not take this peer's
//! messages, the node neither reads the stream nor measures the silent timeout.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use libp2p::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, ReadHalf, WriteHalf};
use tokio::time::{MissedTickBehavior, interval_at, timeout};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};
use tokio_util::sync::CancellationToken;

use crate::config::{NetworkLimits, NetworkTiming};
use crate::counters::Counters;
use crate::direct::frame::{self, Decoder, Frame, FrameError};
use crate::direct::queue::Outbox;
use crate::event::{Inbox, NetworkEvent};
use crate::peer::Peer;
use crate::status::Direction;

/// Size of the read and write buffers.
const BUFFER_BYTES: usize = 64 * 1024;

/// Limits on what is written between two flushes: this many messages, and about this many bytes.
const BATCH_MESSAGES: usize = 128;
const BATCH_BYTES: usize = 1024 * 1024;

/// Unanswered heartbeats whose sending time is kept. If the round trip spans more heartbeats than
/// that, it is not measured.
const HEARTBEATS_REMEMBERED: usize = 16;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkEnd {
    #[error("the connection was cut")]
    Cut,
    #[error("this node shuts down")]
    Stopped,
    #[error("the member closed the connection")]
    Closed,
    #[error("no byte arrived from the member for {0:?}")]
    Silent(Duration),
    #[error("the member broke the protocol: {0}")]
    Garbage(#[from] FrameError),
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
}

/// The configuration and the shared state of a link.
pub(crate) struct Link {
    pub(crate) peer: Arc<Peer>,
    pub(crate) address: String,
    pub(crate) direction: Direction,
    pub(crate) inbox: Inbox,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<NetworkLimits>,
    pub(crate) timing: Arc<NetworkTiming>,
    /// Cancelled when the connection is closed: the link ends at once.
    pub(crate) cut: CancellationToken,
    /// Cancelled when the network shuts down: the link writes the waiting messages, then closes.
    pub(crate) stop: CancellationToken,
}

type Incoming = ReadHalf<Compat<Stream>>;
type Outgoing = BufWriter<WriteHalf<Compat<Stream>>>;

impl Link {
    /// Serves the stream until it ends. Sends `Connected` when it works, and `Disconnected` when it
    /// ends.
    pub(crate) async fn run(self, stream: Stream) -> LinkEnd {
        // The member's previous link may not have sent `Disconnected` yet; wait, so that the events
        // of two links do not mix.
        let _guard = tokio::select! {
            guard = self.peer.limits.link_lock.lock() => guard,
            () = self.cut.cancelled() => return LinkEnd::Cut,
        };
        let (incoming, outgoing) = tokio::io::split(stream.compat());
        let outbox = Arc::new(Outbox::new(self.limits.outbound_messages, self.limits.outbound_bytes));
        let work =
            Work { link: &self, outbox, heartbeat: Heartbeat::default(), connected: AtomicBool::new(false) };
        let end = tokio::select! {
            biased;
            () = self.cut.cancelled() => LinkEnd::Cut,
            Err(end) = work.read(incoming) => end,
            end = work.write(BufWriter::with_capacity(BUFFER_BYTES, outgoing)) => end,
        };
        if work.connected.into_inner() {
            self.counters.messages_dropped.add(self.peer.detach());
            let event = NetworkEvent::Disconnected { peer: self.peer.key };
            // An error means that the receiver was dropped; there is nothing to do then.
            let _ = self.inbox.lifecycle(&self.peer.source, event).await;
        }
        end
    }
}

/// A link with its queue. Reading and writing alternate in one task: nothing here runs in parallel,
/// and the locks and atomics only satisfy the compiler.
struct Work<'a> {
    link: &'a Link,
    outbox: Arc<Outbox>,
    heartbeat: Heartbeat,
    connected: AtomicBool,
}

impl Work<'_> {
    async fn read(&self, mut incoming: Incoming) -> Result<Infallible, LinkEnd> {
        let silent = self.link.timing.silent_timeout;
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        let longest = self.link.limits.frame_bytes;
        // A member that lacks the block that removed it still sends messages. If they ended the
        // connection, it could not fetch this block.
        let mut decoder = if self.link.peer.is_member() {
            Decoder::new(longest)
        } else {
            Decoder::skipping_messages(longest)
        };
        loop {
            while let Some(frame) = decoder.decode(&mut buffer)? {
                self.take(frame).await?;
            }
            if buffer.capacity() == buffer.len() {
                buffer.reserve(BUFFER_BYTES);
            }
            match timeout(silent, incoming.read_buf(&mut buffer)).await {
                Err(_) => return Err(LinkEnd::Silent(silent)),
                Ok(Ok(0)) => return Err(LinkEnd::Closed),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(LinkEnd::Broken(error)),
            }
        }
    }

    async fn take(&self, frame: Frame) -> Result<(), LinkEnd> {
        match frame {
            Frame::Ping(sequence) => {
                self.heartbeat.queue_pong(sequence);
                self.outbox.wake();
            }
            Frame::Pong(sequence) => {
                if let Some(round_trip) = self.heartbeat.answered(sequence, Instant::now())? {
                    self.connect().await;
                    self.link.peer.measured(round_trip);
                }
            }
            Frame::Message(bytes) => self.deliver(bytes).await?,
            Frame::Skipped => {
                self.check_is_connected()?;
                self.link.peer.messages_dropped.one();
                self.link.counters.messages_dropped.one();
                // Unlike the delivery of a message, skipping waits for nothing. A peer that sends many
                // such frames must not occupy this thread, nor keep the task from being cancelled.
                tokio::task::consume_budget().await;
            }
        }
        Ok(())
    }

    async fn connect(&self) {
        if self.connected.swap(true, Ordering::Relaxed) {
            return;
        }
        let link = self.link;
        // Attach the queue before emitting `Connected`: a receiver of the event may send at once.
        link.peer.attach(self.outbox.clone(), link.address.clone(), link.direction);
        let event = NetworkEvent::Connected { peer: link.peer.key };
        let _ = link.inbox.lifecycle(&link.peer.source, event).await;
    }

    /// A message that arrives here too early is never an accident. A peer sends a message only after
    /// it received this node's answer to its heartbeat. This node sends its own first heartbeat
    /// before that answer. So the peer has received that heartbeat, and it answers it before it sends
    /// a message.
    fn check_is_connected(&self) -> Result<(), FrameError> {
        if self.connected.load(Ordering::Relaxed) { Ok(()) } else { Err(FrameError::EarlyMessage) }
    }

    async fn deliver(&self, bytes: Bytes) -> Result<(), LinkEnd> {
        self.check_is_connected()?;
        let link = self.link;
        let length = bytes.len() as u64;
        if link.inbox.message(&link.peer.source, bytes).await.is_ok() {
            link.peer.messages_received.one();
            link.peer.bytes_in.add(length);
            link.counters.messages_received.one();
        }
        Ok(())
    }

    async fn write(&self, outgoing: Outgoing) -> LinkEnd {
        match self.write_until_stopped(outgoing).await {
            Ok(()) => LinkEnd::Stopped,
            Err(error) => LinkEnd::Broken(error),
        }
    }

    async fn write_until_stopped(&self, mut outgoing: Outgoing) -> io::Result<()> {
        // Write a heartbeat first. The first tick of an interval is not used for it: the tick may
        // come after the first answer is due.
        let sequence = self.heartbeat.send(Instant::now());
        outgoing.write_all(&frame::ping(sequence)).await?;
        outgoing.flush().await?;
        let period = self.link.timing.heartbeat_interval;
        let mut beat = interval_at(tokio::time::Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(BATCH_MESSAGES);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    let sequence = self.heartbeat.send(Instant::now());
                    outgoing.write_all(&frame::ping(sequence)).await?;
                }
                () = self.link.stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.outbox.wake();
                }
                () = self.outbox.woken() => {}
            }
            // Write the answer before the messages. No frame can arrive between these two lines.
            let pong = self.heartbeat.take_pong();
            self.outbox.take(&mut batch, BATCH_MESSAGES, BATCH_BYTES);
            let empty = batch.is_empty();
            if let Some(sequence) = pong {
                outgoing.write_all(&frame::pong(sequence)).await?;
            }
            self.write_batch(&mut outgoing, &mut batch).await?;
            if stopping {
                if empty {
                    return outgoing.shutdown().await;
                }
                self.outbox.wake();
            }
        }
    }

    async fn write_batch(&self, outgoing: &mut Outgoing, batch: &mut Vec<Bytes>) -> io::Result<()> {
        for message in &*batch {
            outgoing.write_all(&frame::message_head(message.len())).await?;
            outgoing.write_all(message).await?;
        }
        outgoing.flush().await?;
        let messages = batch.len() as u64;
        let bytes = batch.drain(..).map(|message| message.len() as u64).sum();
        self.link.peer.messages_sent.add(messages);
        self.link.peer.bytes_out.add(bytes);
        self.link.counters.messages_sent.add(messages);
        Ok(())
    }
}

/// The heartbeats in both directions.
#[derive(Default)]
struct Heartbeat {
    beats: Mutex<Beats>,
}

#[derive(Default)]
struct Beats {
    /// The number of the next heartbeat.
    next: u64,
    /// The last heartbeats sent, each with its sending time.
    unanswered: VecDeque<(u64, Instant)>,
    /// The member's last heartbeat, if not answered yet. Only the last one is kept, so a member
    /// cannot queue more than one answer.
    pending_pong: Option<u64>,
}

impl Heartbeat {
    /// Records a heartbeat sent now, and returns its number.
    fn send(&self, now: Instant) -> u64 {
        let mut beats = self.lock();
        let sequence = beats.next;
        beats.next += 1;
        beats.unanswered.push_back((sequence, now));
        if beats.unanswered.len() > HEARTBEATS_REMEMBERED {
            beats.unanswered.pop_front();
        }
        sequence
    }

    /// Records the answer to a heartbeat of this node. Returns the round-trip time, if the sending
    /// time is still kept.
    fn answered(&self, sequence: u64, now: Instant) -> Result<Option<Duration>, FrameError> {
        let mut beats = self.lock();
        if sequence >= beats.next {
            return Err(FrameError::UnsentHeartbeat(sequence));
        }
        let mut round_trip = None;
        while let Some((sent, at)) = beats.unanswered.pop_front_if(|(sent, _)| *sent <= sequence) {
            if sent == sequence {
                round_trip = Some(now.saturating_duration_since(at));
            }
        }
        Ok(round_trip)
    }

    fn queue_pong(&self, sequence: u64) {
        self.lock().pending_pong = Some(sequence);
    }

    fn take_pong(&self) -> Option<u64> {
        self.lock().pending_pong.take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_measured_by_its_number() {
        let heartbeat = Heartbeat::default();
        let start = Instant::now();
        let later = |ms| start + Duration::from_millis(ms);
        assert_eq!(heartbeat.send(start), 0);
        assert_eq!(heartbeat.send(later(10)), 1);
        assert_eq!(heartbeat.answered(1, later(15)), Ok(Some(Duration::from_millis(5))));
        assert_eq!(heartbeat.answered(0, later(20)), Ok(None), "an old answer is not measured");
        assert_eq!(heartbeat.answered(1, later(20)), Ok(None), "nor is a repeated one");
    }

    #[test]
    fn an_answer_to_an_unsent_heartbeat_violates_the_protocol() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.answered(0, Instant::now()), Err(FrameError::UnsentHeartbeat(0)));
    }

    #[test]
    fn unanswered_heartbeats_and_due_answers_are_bounded() {
        let heartbeat = Heartbeat::default();
        for sequence in 0..1000 {
            heartbeat.send(Instant::now());
            heartbeat.queue_pong(sequence);
        }
        assert_eq!(heartbeat.lock().unanswered.len(), HEARTBEATS_REMEMBERED);
        assert_eq!(heartbeat.take_pong(), Some(999));
        assert_eq!(heartbeat.take_pong(), None);
    }
}
