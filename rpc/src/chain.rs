//! Blocks and proofs out of the ledger.

use std::sync::Arc;

use quorate_api::{
    BlockAt, BlockJson, Blocks, ChainHead, ErrorKind, FinalityProofJson, LocatedTransaction, MAX_BLOCKS,
    RpcError, TransactionJson,
};
use quorate_ledger::{Height, TransactionId};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::Semaphore;

use crate::dispatch::internal;

/// Bytes of blocks that one `chain_blocks` answers with, as encoded in the ledger. JSON needs up to five
/// times as many. A larger single block is answered all the same.
const BLOCKS_BYTES: usize = 2 << 20;

/// What a stream of blocks reads at a time: blocks, and their bytes as encoded in the ledger. Streams are
/// many and each holds what it has read, so they read less at a time than an answer has.
const STREAM_BLOCKS: usize = 100;
const STREAM_BYTES: usize = 256 << 10;

/// A block as it is written to clients.
#[derive(Debug)]
pub(crate) struct BlockText {
    pub(crate) height: u64,
    pub(crate) json: String,
}

/// The ledger, with large reads kept few and off the threads that serve connections.
///
/// Reading a head, an index entry or a certificate touches a few pages, mostly cached, and takes
/// microseconds: handing it to another thread would cost more. Whole blocks are megabytes to read, decode
/// and convert, and take milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct LedgerAccess {
    reader: LedgerReader,
    turns: Arc<Semaphore>,
}

impl LedgerAccess {
    pub(crate) fn new(reader: LedgerReader, max_block_reads: usize) -> Self {
        LedgerAccess { reader, turns: Arc::new(Semaphore::new(max_block_reads)) }
    }

    /// A large read, once it is its turn.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&LedgerReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // The read goes on when the request is dropped, so the turn goes with the read.
            let _turn = turn;
            look(&reader)
        });
        match reading.await {
            Ok(found) => found.map_err(|error| ledger_error(&self.reader, &error)),
            Err(error) => {
                tracing::error!(%error, "reading the ledger panicked");
                Err(internal())
            }
        }
    }

    /// A small read, at once.
    pub(crate) fn look<T>(
        &self,
        look: impl FnOnce(&LedgerReader) -> Result<T, StoreError>,
    ) -> Result<T, RpcError> {
        look(&self.reader).map_err(|error| ledger_error(&self.reader, &error))
    }

    pub(crate) fn head(&self) -> Result<ChainHead, RpcError> {
        let head = self.look(LedgerReader::head)?;
        Ok(ChainHead { height: head.height.0, hash: head.hash, timestamp_ms: head.timestamp.0 })
    }

    pub(crate) async fn block(&self, at: BlockAt, full: bool) -> Result<Option<BlockJson>, RpcError> {
        let height = match at {
            BlockAt::Height(height) => Some(Height(height)),
            BlockAt::Hash(hash) => self.look(|reader| reader.height_of(&hash))?,
            BlockAt::Latest => Some(self.look(LedgerReader::head)?.height),
        };
        let Some(height) = height else {
            return Ok(None);
        };
        let block = self
            .read(move |reader| {
                let Some(block) = reader.block(height)? else {
                    return Ok(None);
                };
                let certificate = reader.certificate(height)?;
                Ok(Some(BlockJson::of(&block, certificate.as_ref(), full)))
            })
            .await?;
        self.unless_pruned(height, block)
    }

    pub(crate) async fn blocks(&self, from: u64, limit: u32, full: bool) -> Result<Blocks, RpcError> {
        if !(1..=MAX_BLOCKS).contains(&limit) {
            let message = format!(
                "invalid params for chain_blocks: \"limit\" must be an integer from 1 to {MAX_BLOCKS}, not {limit}"
            );
            return Err(RpcError::new(ErrorKind::InvalidParams, message).detail("limit", MAX_BLOCKS));
        }
        let count = usize::try_from(limit).expect("a small number");
        let blocks = self
            .read(move |reader| {
                let stored = reader.blocks(Height(from), count, BLOCKS_BYTES)?;
                let json = |stored: &quorate_store::StoredBlock| {
                    BlockJson::of(&stored.block, stored.certificate.as_ref(), full)
                };
                Ok(stored.iter().map(json).collect::<Vec<_>>())
            })
            .await?;
        self.unless_pruned(Height(from), (!blocks.is_empty()).then_some(()))?;
        Ok(Blocks { blocks })
    }

    /// Consecutive blocks from a height on, for a stream; none above the head and where they were pruned.
    pub(crate) async fn texts(&self, from: Height, full: bool) -> Result<Vec<BlockText>, RpcError> {
        self.read(move |reader| {
            let stored = reader.blocks(from, STREAM_BLOCKS, STREAM_BYTES)?;
            let text = |stored: &quorate_store::StoredBlock| {
                let block = BlockJson::of(&stored.block, stored.certificate.as_ref(), full);
                let json = serde_json::to_string(&block).expect("a block has no maps of odd keys");
                BlockText { height: stored.block.height().0, json }
            };
            Ok(stored.iter().map(text).collect())
        })
        .await
    }

    /// Refuses a height whose block was pruned.
    pub(crate) fn check_held(&self, height: Height) -> Result<(), RpcError> {
        check_not_pruned(height, self.look(LedgerReader::earliest)?)
    }

    pub(crate) fn proof(&self, height: Height) -> Result<Option<FinalityProofJson>, RpcError> {
        let proof = self.look(|reader| reader.finality_proof(height))?;
        self.unless_pruned(height, proof.as_ref().map(FinalityProofJson::from))
    }

    pub(crate) async fn transaction(
        &self,
        id: TransactionId,
    ) -> Result<Option<LocatedTransaction>, RpcError> {
        // Most unknown ids end here; a known one needs its block's body.
        if self.locate(&id)?.is_none() {
            return Ok(None);
        }
        let located = self.read(move |reader| reader.transaction(&id)).await?;
        Ok(located.map(|(transaction, height, index)| LocatedTransaction {
            transaction: TransactionJson::with_id(id, &transaction),
            height: height.0,
            index,
        }))
    }

    pub(crate) fn locate(&self, id: &TransactionId) -> Result<Option<(Height, u32)>, RpcError> {
        self.look(|reader| reader.locate(id))
    }

    /// Tells what was never there from what is no longer there.
    fn unless_pruned<T>(&self, height: Height, found: Option<T>) -> Result<Option<T>, RpcError> {
        if found.is_none() {
            check_not_pruned(height, self.look(LedgerReader::earliest)?)?;
        }
        Ok(found)
    }
}

fn check_not_pruned(height: Height, earliest: Height) -> Result<(), RpcError> {
    // Height 0 is never pruned: what is missing of it, a proof or certificate, was never there.
    if height == Height(0) || height >= earliest {
        return Ok(());
    }
    let message = format!("block {height} was pruned here; the earliest this node holds is {earliest}");
    Err(RpcError::new(ErrorKind::Pruned, message).detail("earliest_height", earliest.0))
}

/// The text of the error names paths of this machine, which clients are not told.
fn ledger_error(reader: &LedgerReader, error: &StoreError) -> RpcError {
    if !matches!(error, StoreError::Damaged { .. }) {
        tracing::error!(%error, "the ledger could not be read");
        return internal();
    }
    // Clients can ask for a damaged block as often as they like: the log has the first time, the metric counts.
    if reader.damage().is_none_or(|damage| damage.failed_reads <= 1) {
        tracing::error!(%error, "the ledger is damaged");
    } else {
        tracing::debug!(%error, "the ledger is damaged");
    }
    let message = "the disk of this node has damaged what was asked for: ask another node, and tell the operator of this \
                   one, whose consensus_explain says what to do";
    RpcError::new(ErrorKind::StorageDamaged, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pruned_height_is_an_error_that_names_the_earliest() {
        let error = check_not_pruned(Height(6), Height(7)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Pruned);
        assert_eq!(error.data.details["earliest_height"], 7);
        for (height, earliest) in [(7, 7), (8, 7), (0, 7), (0, 0)] {
            assert_eq!(check_not_pruned(Height(height), Height(earliest)), Ok(()));
        }
    }
}
