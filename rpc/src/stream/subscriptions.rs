//! The subscriptions of one WebSocket.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use futures::StreamExt;
use futures::stream::BoxStream;
use quorate_api::{EndReason, NOTIFICATION, RpcError};

use super::blocks::{BlockStream, Told};

/// Blocks that a WebSocket has asked for.
pub(crate) struct Subscription {
    pub(crate) id: u64,
    /// Height of the next block that is handed to the socket.
    position: u64,
    blocks: BoxStream<'static, Result<Told, EndReason>>,
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

    /// What the reader is told at the end.
    pub(crate) fn farewell(&self, reason: EndReason) -> String {
        farewell(self.id, reason.at(self.position))
    }
}

/// What a subscription says.
#[derive(Debug)]
pub(crate) enum News {
    /// The next block of the subscription with this id.
    Block(u64, Told),
    /// It is over, and was taken out.
    Ended(Subscription, EndReason),
}

/// All of them, each in its turn.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    /// Where to look first, so that one that has much to say does not silence the others.
    turn: usize,
}

impl Subscriptions {
    pub(crate) fn add(&mut self, begun: impl IntoIterator<Item = Subscription>) {
        self.all.extend(begun);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.all.retain(|subscription| keep(subscription.id));
    }

    /// What the reader is told when all end.
    pub(crate) fn farewells(&self, reason: EndReason) -> Vec<String> {
        self.all.iter().map(|subscription| subscription.farewell(reason)).collect()
    }

    /// The next news of any of them, once there is some. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> News {
        let (index, said) = poll_fn(|context| {
            let count = self.all.len();
            for step in 0..count {
                let index = (self.turn + step) % count;
                if let Poll::Ready(said) = self.all[index].blocks.poll_next_unpin(context) {
                    return Poll::Ready((index, said));
                }
            }
            Poll::Pending
        })
        .await;
        self.turn = index + 1;
        match said {
            Some(Ok(told)) => {
                self.all[index].position = told.height + 1;
                News::Block(self.all[index].id, told)
            }
            Some(Err(reason)) => News::Ended(self.all.remove(index), reason),
            None => News::Ended(self.all.remove(index), EndReason::Internal),
        }
    }
}

/// The notification that brings a block.
pub(crate) fn notification(id: u64, told: &Told) -> String {
    let Told { height, json, .. } = told;
    format!(
        r#"{{"jsonrpc":"2.0","method":"{NOTIFICATION}","params":{{"subscription":{id},"height":{height},"result":{json}}}}}"#
    )
}

fn farewell(id: u64, error: RpcError) -> String {
    let error = jsonrpsee::types::ErrorObjectOwned::from(error);
    serde_json::json!({
        "jsonrpc": "2.0",
        "method": NOTIFICATION,
        "params": { "subscription": id, "error": error },
    })
    .to_string()
}
