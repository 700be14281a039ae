//! The messages that wait to be sent to one peer. When the queue is full, the oldest message is
//! dropped: the layer above resends, so the newest messages are the most useful. A slow peer must
//! cost neither memory nor the time of other tasks.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// A bounded queue that never makes its producers wait. Many producers, one consumer.
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    wake: Notify,
    messages_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    /// An empty queue for at most `messages_max` messages of together `bytes_max` bytes.
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), wake: Notify::new(), messages_max, bytes_max }
    }

    /// Adds `message`, and returns how many messages were dropped for it. If the message is longer
    /// than the whole queue may be, the message itself is dropped.
    pub(crate) fn push(&self, message: Bytes) -> u64 {
        if message.len() > self.bytes_max {
            return 1;
        }
        let mut dropped = 0;
        let mut waiting = self.lock();
        while waiting.messages.len() >= self.messages_max || waiting.bytes + message.len() > self.bytes_max {
            let Some(oldest) = waiting.messages.pop_front() else { break };
            waiting.bytes -= oldest.len();
            dropped += 1;
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        drop(waiting);
        self.wake.notify_one();
        dropped
    }

    /// Moves the oldest messages to `batch`: at most `messages`, and no more once `bytes` are
    /// reached, but at least one if there is any.
    pub(crate) fn take(&self, batch: &mut Vec<Bytes>, messages: usize, bytes: usize) {
        let mut waiting = self.lock();
        let mut taken = 0;
        while batch.len() < messages && taken < bytes {
            let Some(message) = waiting.messages.pop_front() else { return };
            taken += message.len();
            waiting.bytes -= message.len();
            batch.push(message);
        }
        if !waiting.messages.is_empty() {
            self.wake.notify_one();
        }
    }

    /// Waits until a message was added or [`Outbox::wake`] was called since the last wait.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Ends the consumer's wait.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The number of waiting messages.
    pub(crate) fn len(&self) -> usize {
        self.lock().messages.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Ignore poisoning: every critical section leaves the queue consistent, even if a thread
        // panics later.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(outbox: &Outbox) -> Vec<Bytes> {
        let mut all = Vec::new();
        outbox.take(&mut all, usize::MAX, usize::MAX);
        all
    }

    #[test]
    fn messages_leave_in_the_order_they_came() {
        let outbox = Outbox::new(4, 100);
        for text in ["a", "b", "c"] {
            assert_eq!(outbox.push(Bytes::from_static(text.as_bytes())), 0);
        }
        assert_eq!(drain(&outbox), ["a", "b", "c"]);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn the_oldest_are_dropped_when_there_are_too_many() {
        let outbox = Outbox::new(2, 100);
        let dropped: u64 = (0..5u8).map(|i| outbox.push(Bytes::copy_from_slice(&[i]))).sum();
        assert_eq!(dropped, 3);
        assert_eq!(drain(&outbox), [&[3u8][..], &[4]]);
    }

    #[test]
    fn the_oldest_are_dropped_when_they_are_too_long() {
        let outbox = Outbox::new(100, 10);
        outbox.push(Bytes::from_static(b"1234"));
        outbox.push(Bytes::from_static(b"5678"));
        assert_eq!(outbox.push(Bytes::from_static(b"abcdefg")), 2);
        assert_eq!(drain(&outbox), ["abcdefg"]);
        // The bytes of dropped messages are available again.
        assert_eq!(outbox.push(Bytes::from_static(b"0123456789")), 0);
    }

    #[test]
    fn a_message_that_cannot_fit_displaces_no_other() {
        let outbox = Outbox::new(10, 4);
        outbox.push(Bytes::from_static(b"1234"));
        assert_eq!(outbox.push(Bytes::from_static(b"12345")), 1);
        assert_eq!(drain(&outbox), ["1234"]);
    }

    #[test]
    fn a_batch_is_bounded_but_never_empty() {
        let outbox = Outbox::new(10, 100);
        for _ in 0..4 {
            outbox.push(Bytes::from_static(b"12345"));
        }
        let mut batch = Vec::new();
        outbox.take(&mut batch, 10, 6);
        assert_eq!(batch.len(), 2, "stops after the message that reaches the bound");
        batch.clear();
        outbox.take(&mut batch, 1, 100);
        assert_eq!(batch.len(), 1);
        batch.clear();
        outbox.take(&mut batch, 10, 1);
        assert_eq!(batch.len(), 1);
    }

    #[tokio::test]
    async fn messages_that_are_left_wake_the_consumer_again() {
        let outbox = Outbox::new(10, 100);
        outbox.push(Bytes::from_static(b"1"));
        outbox.push(Bytes::from_static(b"2"));
        outbox.woken().await;
        outbox.take(&mut Vec::new(), 1, 100);
        outbox.woken().await;
        assert_eq!(outbox.len(), 1);
    }
}
