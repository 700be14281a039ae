//! The watcher: reads the chain to find out which transactions are in final blocks, and when.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use quorate_ledger::TransactionId;
use serde::{Deserialize, Deserializer};
use tokio::time::{MissedTickBehavior, interval};

use super::submit::Submission;
use crate::http::{Connection, Endpoint};

/// Interval between two requests for new blocks. It limits the resolution of the measured
/// latencies.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long a response may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Blocks per request.
const BLOCKS: u32 = 20;

/// Reads new blocks from one node, and from the next node when that one fails.
pub(super) struct Watcher {
    endpoints: Vec<Endpoint>,
    node: usize,
    connection: Connection,
    next_height: u64,
}

#[derive(Deserialize)]
struct Reply {
    result: Option<Blocks>,
}

#[derive(Deserialize)]
struct Blocks {
    blocks: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    header: Header,
    transactions: Vec<Id>,
}

#[derive(Deserialize)]
struct Header {
    height: u64,
}

struct Id(TransactionId);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        text.parse().map(Id).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
struct HeadReply {
    result: Option<Header>,
}

impl Watcher {
    /// Starts above the newest block.
    ///
    /// # Errors
    /// If no node responds.
    pub(super) async fn above_head(endpoints: &[Endpoint]) -> anyhow::Result<Self> {
        let mut failure = anyhow!("the network file lists no node");
        for (node, endpoint) in endpoints.iter().enumerate() {
            let mut connection = Connection::new(endpoint.clone(), TIMEOUT);
            match head(&mut connection).await {
                Ok(height) => {
                    let endpoints = endpoints.to_vec();
                    return Ok(Watcher {
                        endpoints,
                        node,
                        connection,
                        next_height: height.saturating_add(1),
                    });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure.context("no node responds: does the network run?"))
    }

    /// Counts the transactions of new blocks until it is dropped.
    pub(super) async fn run(mut self, submission: Arc<Submission>) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.new_blocks().await {
                Ok(blocks) => blocks.iter().for_each(|block| count(block, &submission)),
                Err(_) => {
                    self.node = (self.node + 1) % self.endpoints.len();
                    self.connection = Connection::new(self.endpoints[self.node].clone(), TIMEOUT);
                }
            }
        }
    }

    async fn new_blocks(&mut self) -> anyhow::Result<Vec<Block>> {
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":0,"method":"chain_blocks","params":[{},{BLOCKS},false]}}"#,
            self.next_height
        );
        let (_, answer) = self.connection.post(body.into()).await?;
        let reply: Reply = serde_json::from_slice(&answer)?;
        let mut blocks = reply.result.context("the node refused")?.blocks;
        // Keep the blocks that are ascending without gaps; the rest is requested again from another
        // node. The range ends at the largest height, whatever height a node claims.
        let expected = self.next_height..=u64::MAX;
        let in_order =
            blocks.iter().zip(expected).take_while(|(block, height)| block.header.height == *height);
        let in_order = in_order.count();
        blocks.truncate(in_order);
        self.next_height = self.next_height.saturating_add(in_order as u64);
        Ok(blocks)
    }
}

async fn head(connection: &mut Connection) -> anyhow::Result<u64> {
    let body = r#"{"jsonrpc":"2.0","id":0,"method":"chain_head","params":[]}"#;
    let (status, answer) = connection.post(body.into()).await?;
    let reply: HeadReply =
        serde_json::from_slice(&answer).with_context(|| format!("HTTP {status} without JSON-RPC"))?;
    Ok(reply.result.context("the response does not contain the head")?.height)
}

fn count(block: &Block, submission: &Submission) {
    let mut own = 0_usize;
    let (mut foreign, mut repeated) = (0, 0);
    for Id(id) in &block.transactions {
        match submission.load.position(id) {
            Some(position) if submission.tally.committed(position) => own += 1,
            Some(_) => repeated += 1,
            None => foreign += 1,
        }
    }
    let mut counts = submission.tally.counts();
    counts.blocks += u64::from(own > 0);
    counts.foreign += foreign;
    counts.repeated += repeated;
    drop(counts);
    submission.room.add_permits(own);
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
