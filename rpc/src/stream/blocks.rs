//! Blocks one after the other, as the chain grows.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use quorate_api::{EndReason, ErrorKind, RpcError};
use quorate_ledger::Height;
use tokio::sync::watch;

use crate::budget::{MemoryBudget, Reservation};
use crate::chain::{BlockText, LedgerAccess};

/// How far above the next block a stream may begin. Whoever goes on at another node meets one that is some
/// blocks behind now and then, and waits for it; further ahead lies a mistake or a node that is catching up.
const MAX_AHEAD: u64 = 1024;

/// When to come again to a node that is behind.
const BEHIND_RETRY_MS: u64 = 2000;

/// Where streams begin. Clones share the ledger's turns and the memory.
#[derive(Debug, Clone)]
pub(crate) struct BlockSource {
    ledger: LedgerAccess,
    committed: watch::Receiver<Height>,
    memory: MemoryBudget,
}

/// A block on its way to a reader, with the room that it and those read with it take.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) height: u64,
    /// As `chain_block` answers it; without line breaks, as all JSON here.
    pub(crate) json: String,
    pub(crate) room: Arc<Reservation>,
}

/// Every block from a height on, once and in order.
///
/// Blocks wait in the ledger, not here: the stream is told how far the chain has come, reads a few blocks at
/// a time, and reads on when they were taken. So a reader may be as far behind as it likes at no cost.
#[derive(Debug)]
pub(crate) struct BlockStream {
    source: BlockSource,
    full: bool,
    /// Height of the next block that is given out.
    next: u64,
    /// Read and not yet given out: the next blocks without a gap.
    ready: VecDeque<Told>,
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
                "the newest block here is {head}, and a stream begins at most {MAX_AHEAD} blocks above the \
                 next one; ask for a lower height, or another node if this one is behind"
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
    /// Height of the block that [`BlockStream::next`] gives next.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    /// The next block, once there is one. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Told, EndReason> {
        let told = match self.ready.pop_front() {
            Some(told) => told,
            None => {
                self.ready = self.read().await?;
                self.ready.pop_front().ok_or(EndReason::Internal)?
            }
        };
        if told.height != self.next {
            tracing::error!(found = told.height, expected = self.next, "the ledger has a gap");
            return Err(EndReason::Internal);
        }
        self.next += 1;
        Ok(told)
    }

    /// The same as a stream, which goes on where it was when it is polled again.
    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Told, EndReason>> {
        stream::unfold(self, |mut blocks| async move { Some((blocks.next().await, blocks)) }).boxed()
    }

    async fn read(&self) -> Result<VecDeque<Told>, EndReason> {
        let BlockSource { ledger, committed, memory } = &self.source;
        let next = Height(self.next);
        // An error means that the node ends, and no block will come any more.
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
        let room = Arc::new(memory.reserve(bytes).ok_or(EndReason::Overloaded)?);
        let told = |BlockText { height, json }| Told { height, json, room: Arc::clone(&room) };
        Ok(blocks.into_iter().map(told).collect())
    }
}
