//! Following the chain over several nodes.

use std::time::Duration;

use quorate_ledger::{Block, BlockHash, Height};
use tokio::time::{Instant, sleep};

use crate::blocks::check_height;
use crate::client::Client;
use crate::error::{ClientError, Untrusted};
use crate::events::Events;
use crate::fail_over::{FIRST_PAUSE, LONGEST_PAUSE, spread};

/// Every block from a height on, proven final, exactly once and in order, from whichever node has it.
#[derive(Debug)]
pub struct Follower<'a> {
    client: &'a Client,
    /// Height of the next block.
    next: Height,
    /// Hash of the block before it, once there is one.
    parent: Option<BlockHash>,
    /// Which node is read.
    node: usize,
    /// Its stream, and when it was opened.
    open: Option<(Events, Instant)>,
}

impl Client {
    /// Follows the chain from a height above 0 on: the blocks there are, then each as it is committed.
    ///
    /// When a node fails or tells something that is not proven, the next node goes on at the same height.
    pub fn follow(&self, from: Height) -> Follower<'_> {
        let node = self.nodes.preferred();
        Follower { client: self, next: from.max(Height(1)), parent: None, node, open: None }
    }
}

/// Failures since a block came, or since a stream was open for long.
struct Trouble {
    deadline: Instant,
    failures: usize,
    pause: Duration,
}

impl Follower<'_> {
    /// Height of the block that [`Follower::next`] gives next.
    pub fn position(&self) -> Height {
        self.next
    }

    /// The next block, once it is committed. Nothing is lost when the future is dropped.
    ///
    /// While a node is connected, that there is no newer block is its word: one that stands still makes the
    /// follower wait as an idle chain does.
    ///
    /// # Errors
    /// [`ClientError::Call`] and [`ClientError::Untrusted`] of the last node, when none could go on within
    /// the client's patience. Calling again tries again, from the same block.
    pub async fn next(&mut self) -> Result<Block, ClientError> {
        let mut trouble: Option<Trouble> = None;
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
            let patience = self.client.patience();
            // A node that served for long and then failed is no sign that all do.
            let was_fine = self.open.take().is_some_and(|(_, since)| since.elapsed() > patience);
            if was_fine {
                trouble = None;
            }
            let nodes = self.client.nodes().len();
            self.node = (self.node + 1) % nodes;
            let trouble = trouble.get_or_insert_with(|| Trouble {
                deadline: Instant::now() + patience,
                failures: 0,
                pause: FIRST_PAUSE,
            });
            trouble.failures += 1;
            if trouble.failures.is_multiple_of(nodes) {
                let pause = spread(trouble.pause);
                if Instant::now() + pause >= trouble.deadline {
                    return Err(error);
                }
                sleep(pause).await;
                trouble.pause = (trouble.pause * 2).min(LONGEST_PAUSE);
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
