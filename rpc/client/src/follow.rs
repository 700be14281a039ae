//! Follows the chain over several nodes.

use std::time::Duration;

use quorate_ledger::{Block, BlockHash, Height};
use tokio::time::{Instant, sleep};

use crate::blocks::check_height;
use crate::client::Client;
use crate::error::{ClientError, Untrusted};
use crate::events::Events;
use crate::fail_over::{FIRST_PAUSE, LONGEST_PAUSE, spread};

/// Reads every block from a height on, proven final, exactly once and in order, from any of the
/// nodes.
#[derive(Debug)]
pub struct Follower<'a> {
    client: &'a Client,
    /// Height of the next block.
    next: Height,
    /// Hash of the block before it, once there is one.
    parent: Option<BlockHash>,
    /// Index of the node that is read.
    node: usize,
    /// Its stream, and when it was opened.
    open: Option<(Events, Instant)>,
}

impl Client {
    /// Follows the chain from a height above 0 on: existing blocks first, then each block when it
    /// is committed.
    ///
    /// If a node fails or sends something that is not proven, the follower continues at the next
    /// node, at the same height.
    pub fn follow(&self, from: Height) -> Follower<'_> {
        let node = self.nodes.preferred();
        Follower { client: self, next: from.max(Height(1)), parent: None, node, open: None }
    }
}

/// Failures since the last block, or since a stream was open for a long time.
struct Failures {
    deadline: Instant,
    count: usize,
    pause: Duration,
}

impl Follower<'_> {
    /// Height of the block that [`Follower::next`] returns next.
    pub fn position(&self) -> Height {
        self.next
    }

    /// Waits for the next block. Dropping the future loses no block.
    ///
    /// While a node is connected, the absence of newer blocks is its claim: the follower waits for
    /// a stalled node as for an idle chain.
    ///
    /// # Errors
    /// [`ClientError::Call`] and [`ClientError::Untrusted`] of the last node, if none could
    /// continue within [`crate::ClientConfig::timeout`]. Calling again tries again, from the same
    /// block.
    pub async fn next(&mut self) -> Result<Block, ClientError> {
        let mut failures: Option<Failures> = None;
        loop {
            let error = match self.try_next().await {
                Ok(block) => {
                    self.next = block.height().next();
                    self.parent = Some(block.hash());
                    return Ok(block);
                }
                Err(error) => error,
            };
            tracing::debug!(%error, height = %self.next, "following the chain at the next node");
            let timeout = self.client.timeout();
            // A node that served for a long time before it failed does not suggest that all nodes
            // fail.
            let was_fine = self.open.take().is_some_and(|(_, since)| since.elapsed() > timeout);
            if was_fine {
                failures = None;
            }
            let nodes = self.client.nodes().len();
            self.node = (self.node + 1) % nodes;
            let failures = failures.get_or_insert_with(|| Failures {
                deadline: Instant::now() + timeout,
                count: 0,
                pause: FIRST_PAUSE,
            });
            failures.count += 1;
            if failures.count.is_multiple_of(nodes) {
                let pause = spread(failures.pause);
                if Instant::now() + pause >= failures.deadline {
                    return Err(error);
                }
                sleep(pause).await;
                failures.pause = (failures.pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    async fn try_next(&mut self) -> Result<Block, ClientError> {
        let node = &self.client.nodes()[self.node];
        let (events, _) = match &mut self.open {
            Some(open) => open,
            closed @ None => {
                let events = Events::open(node.url(), self.next.0, self.client.config()).await?;
                closed.insert((events, Instant::now()))
            }
        };
        let json = events.next().await?;
        let block = json.to_block().map_err(|reason| Client::untrusted(node, reason))?;
        check_height(node, self.next, &block)?;
        if self.parent.is_some_and(|parent| parent != block.header().parent) {
            return Err(Client::untrusted(node, Untrusted::Unlinked(block.height())));
        }
        self.client.prove(node, &block, &json).await?;
        Ok(block)
    }
}
