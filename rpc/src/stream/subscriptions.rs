//! The subscriptions of one WebSocket.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::BoxStream;
use quorate_api::{EndReason, NOTIFICATION};

use super::blocks::{BlockMessage, BlockStream};

/// One subscription to blocks.
pub(crate) struct Subscription {
    pub(crate) id: u64,
    /// Height of the next block that is passed to the socket.
    position: u64,
    blocks: BoxStream<'static, Result<BlockMessage, EndReason>>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.id).field("position", &self.position).finish()
    }
}

impl Subscription {
    pub(crate) fn new(id: u64, blocks: BlockStream) -> Self {
        Subscription { id, position: blocks.position(), blocks: blocks.into_stream() }
    }

    /// The notification that ends it.
    pub(crate) fn end_notification(&self, reason: EndReason) -> String {
        serde_json::json!({
            "jsonrpc": "2.0",
            "method": NOTIFICATION,
            "params": { "subscription": self.id, "error": reason.at(self.position) },
        })
        .to_string()
    }
}

/// The next event of a subscription.
#[derive(Debug)]
pub(crate) enum Event {
    /// The next block of the subscription with this id.
    Block(u64, BlockMessage),
    /// The subscription has ended, and was removed.
    Ended(Subscription, EndReason),
}

/// All subscriptions of a connection, served in round-robin order.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    /// The index to poll first, so that a subscription with many blocks does not starve the others.
    first: usize,
}

impl Subscriptions {
    pub(crate) fn add(&mut self, begun: impl IntoIterator<Item = Subscription>) {
        self.all.extend(begun);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.all.retain(|subscription| keep(subscription.id));
    }

    /// The notifications that end all of them.
    pub(crate) fn end_notifications(&self, reason: EndReason) -> Vec<String> {
        self.all.iter().map(|subscription| subscription.end_notification(reason)).collect()
    }

    /// Waits for the next event of any subscription. Dropping the future loses no event.
    pub(crate) async fn next(&mut self) -> Event {
        let (index, item) = poll_fn(|context| {
            let count = self.all.len();
            for step in 0..count {
                let index = (self.first + step) % count;
                if let Poll::Ready(item) = self.all[index].blocks.poll_next_unpin(context) {
                    return Poll::Ready((index, item));
                }
            }
            Poll::Pending
        })
        .await;
        self.first = index + 1;
        match item {
            Some(Ok(block)) => {
                self.all[index].position = block.height + 1;
                Event::Block(self.all[index].id, block)
            }
            Some(Err(reason)) => Event::Ended(self.all.remove(index), reason),
            None => Event::Ended(self.all.remove(index), EndReason::Internal),
        }
    }
}

/// The notification with a block.
pub(crate) fn notification(id: u64, block: &BlockMessage) -> String {
    let BlockMessage { height, json, .. } = block;
    format!(
        r#"{{"jsonrpc":"2.0","method":"{NOTIFICATION}","params":{{"subscription":{id},"height":{height},"result":{json}}}}}"#
    )
}
