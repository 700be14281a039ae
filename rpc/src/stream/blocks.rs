//! Consecutive blocks, as the chain grows.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use quorate_api::{EndReason, ErrorKind, RpcError};
use quorate_ledger::Height;
use tokio::sync::watch;

use crate::limits::{MemoryBudget, Reservation};
use crate::methods::{BlockText, LedgerAccess};

/// How far above the next block a stream may begin. A client that continues at another node may
/// find it some blocks behind, and waits for it. Further ahead, the height is a mistake or the node
/// is far behind, so the stream is refused.
const MAX_AHEAD: u64 = 1024;

/// When to try again at a node that is behind.
const BEHIND_RETRY_MS: u64 = 2000;

/// Begins streams. Clones share the limits of reads and memory.
#[derive(Debug, Clone)]
pub(crate) struct BlockSource {
    ledger: LedgerAccess,
    committed: watch::Receiver<Height>,
    memory: MemoryBudget,
}

/// A block for a reader, with the memory reservation of all blocks that were read together.
#[derive(Debug)]
pub(crate) struct BlockMessage {
    pub(crate) height: u64,
    /// As in the result of `chain_block`, without line breaks.
    pub(crate) json: String,
    pub(crate) reservation: Arc<Reservation>,
}

/// Every block from a height on, once and in order.
///
/// It does not queue blocks: it watches the committed height, reads a few blocks at a time from the
/// ledger, and reads the next ones when these were taken. So a reader that is far behind needs no
/// more memory.
#[derive(Debug)]
pub(crate) struct BlockStream {
    source: BlockSource,
    full: bool,
    /// Height of the block that is returned next.
    next: u64,
    /// The next blocks without a gap: read, but not yet returned.
    ready: VecDeque<BlockMessage>,
}

impl BlockSource {
    pub(crate) fn new(
        ledger: LedgerAccess,
        committed: watch::Receiver<Height>,
        memory: MemoryBudget,
    ) -> Self {
        BlockSource { ledger, committed, memory }
    }

    /// The blocks from a height on, or from the next one.
    pub(crate) fn stream(&self, from: Option<u64>, full: bool) -> Result<BlockStream, RpcError> {
        let head = self.committed.borrow().0;
        let following = head.saturating_add(1);
        let next = from.unwrap_or(following);
        if next > following.saturating_add(MAX_AHEAD) {
            let message = format!(
                "the newest block here is {head}, and a stream may begin at most {MAX_AHEAD} blocks above the \
                 next one; choose a lower height, or another node if this one is behind"
            );
            return Err(RpcError::new(ErrorKind::Syncing, message)
                .retry_after_ms(BEHIND_RETRY_MS)
                .detail("head_height", head));
        }
        self.ledger.check_held(Height(next))?;
        Ok(BlockStream { source: self.clone(), full, next, ready: VecDeque::new() })
    }
}

impl BlockStream {
    /// Height of the block that [`BlockStream::next`] returns next.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// Waits for the next block. Dropping the future loses no block.
    pub(crate) async fn next(&mut self) -> Result<BlockMessage, EndReason> {
        let block = match self.ready.pop_front() {
            Some(block) => block,
            None => {
                self.ready = self.read().await?;
                self.ready.pop_front().ok_or(EndReason::Internal)?
            }
        };
        if block.height != self.next {
            tracing::error!(found = block.height, expected = self.next, "the ledger has a gap");
            return Err(EndReason::Internal);
        }
        self.next += 1;
        Ok(block)
    }

    /// The same as a stream.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<BlockMessage, EndReason>> {
        stream::unfold(self, |mut blocks| async move { Some((blocks.next().await, blocks)) }).boxed()
    }

    async fn read(&self) -> Result<VecDeque<BlockMessage>, EndReason> {
        let BlockSource { ledger, committed, memory } = &self.source;
        let next = Height(self.next);
        // An error means that the node stops, so no block will follow.
        committed.clone().wait_for(|head| *head >= next).await.map_err(|_| EndReason::Stopping)?;
        let blocks = ledger.texts(next, self.full).await.map_err(|error| match error.kind() {
            ErrorKind::StorageDamaged => EndReason::Damaged,
            _ => EndReason::Internal,
        })?;
        if blocks.is_empty() {
            let pruned = ledger.check_held(next).is_err_and(|error| error.kind() == ErrorKind::Pruned);
            return Err(if pruned { EndReason::Pruned } else { EndReason::Internal });
        }
        let bytes = blocks.iter().map(|block| block.json.len()).sum();
        let reservation = Arc::new(memory.reserve(bytes).ok_or(EndReason::Overloaded)?);
        let message =
            |BlockText { height, json }| BlockMessage { height, json, reservation: Arc::clone(&reservation) };
        Ok(blocks.into_iter().map(message).collect())
    }
}
