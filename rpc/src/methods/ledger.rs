//! Reads of blocks and proofs from the ledger.

use std::sync::Arc;

use quorate_api::{
    BlockAt, BlockJson, BlockOutcome, Blocks, ChainHead, ErrorKind, FinalityProofJson, LocatedTransaction,
    MAX_BLOCKS, OutcomeJson, RpcError, TransactionJson,
};
use quorate_ledger::{Height, TransactionId};
use quorate_store::{LedgerReader, StoreError, StoredBlock};
use tokio::sync::Semaphore;

use crate::json_rpc::internal;

/// Most bytes of blocks in one result of `chain_blocks`, as encoded in the ledger. JSON needs up to
/// five times as many. A single block is returned even if it is larger.
const BLOCKS_BYTES: usize = 2 << 20;

/// How many blocks a stream reads at a time, and their bytes as encoded in the ledger. There are
/// many streams, and each holds the blocks that it has read, so a stream reads less at a time than
/// a response has.
const STREAM_BLOCKS: usize = 100;
const STREAM_BYTES: usize = 256 << 10;

/// A block as JSON text for clients.
#[derive(Debug)]
pub(crate) struct BlockText {
    pub(crate) height: u64,
    pub(crate) json: String,
}

/// The ledger. Limits the number of large reads, and runs them on other threads than connections.
///
/// Reading a head, an index entry or a certificate touches a few pages, mostly cached, and takes
/// microseconds: switching threads would cost more. A whole block may have megabytes to read,
/// decode and convert, which takes milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct LedgerAccess {
    reader: LedgerReader,
    read_permits: Arc<Semaphore>,
}

impl LedgerAccess {
    pub(crate) fn new(reader: LedgerReader, max_block_reads: usize) -> Self {
        LedgerAccess { reader, read_permits: Arc::new(Semaphore::new(max_block_reads)) }
    }

    /// A large read on another thread. Waits while as many as may run at a time are running.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&LedgerReader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, RpcError> {
        let permit =
            Arc::clone(&self.read_permits).acquire_owned().await.expect("the semaphore is never closed");
        let reader = self.reader.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // The read continues if the request is dropped, so the read itself holds the permit.
            let _permit = permit;
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

    /// A small read on this thread.
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
                let outcomes = BlockOutcome::list(&reader.outcomes(height)?);
                Ok(Some(BlockJson::of(&block, certificate.as_ref(), full).with_outcomes(outcomes)))
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
                stored.iter().map(|stored| block_json(reader, stored, full)).collect::<Result<Vec<_>, _>>()
            })
            .await?;
        self.unless_pruned(Height(from), (!blocks.is_empty()).then_some(()))?;
        Ok(Blocks { blocks })
    }

    /// Consecutive blocks from a height on, for a stream; none above the head and if the blocks
    /// were pruned.
    pub(crate) async fn texts(&self, from: Height, full: bool) -> Result<Vec<BlockText>, RpcError> {
        self.read(move |reader| {
            let stored = reader.blocks(from, STREAM_BLOCKS, STREAM_BYTES)?;
            let text = |stored: &StoredBlock| {
                let block = block_json(reader, stored, full)?;
                let json = serde_json::to_string(&block).expect("a block has only string keys");
                Ok(BlockText { height: stored.block.height().0, json })
            };
            stored.iter().map(text).collect()
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
        // Avoids a large read for an unknown id. A known one needs the body of its block.
        if self.locate(&id)?.is_none() {
            return Ok(None);
        }
        self.read(move |reader| {
            let Some((transaction, height, index)) = reader.transaction(&id)? else { return Ok(None) };
            let outcome = reader.outcome(height, index)?;
            Ok(Some(LocatedTransaction {
                transaction: TransactionJson::with_id(id, &transaction),
                height: height.0,
                index,
                outcome: outcome.as_ref().map(OutcomeJson::from),
            }))
        })
        .await
    }

    pub(crate) fn locate(&self, id: &TransactionId) -> Result<Option<(Height, u32)>, RpcError> {
        self.look(|reader| reader.locate(id))
    }

    /// If nothing was found, distinguishes a pruned block from one that never existed.
    fn unless_pruned<T>(&self, height: Height, found: Option<T>) -> Result<Option<T>, RpcError> {
        if found.is_none() {
            check_not_pruned(height, self.look(LedgerReader::earliest)?)?;
        }
        Ok(found)
    }
}

/// A block with the outcomes of its governance transactions.
fn block_json(reader: &LedgerReader, stored: &StoredBlock, full: bool) -> Result<BlockJson, StoreError> {
    let outcomes = BlockOutcome::list(&reader.outcomes(stored.block.height())?);
    Ok(BlockJson::of(&stored.block, stored.certificate.as_ref(), full).with_outcomes(outcomes))
}

fn check_not_pruned(height: Height, earliest: Height) -> Result<(), RpcError> {
    // Height 0 is never pruned. It has no proof and no certificate.
    if height == Height(0) || height >= earliest {
        return Ok(());
    }
    let message = format!("this node pruned block {height}; the earliest block that it holds is {earliest}");
    Err(RpcError::new(ErrorKind::Pruned, message).detail("earliest_height", earliest.0))
}

/// The error's text has file paths of this machine, so clients get another message.
fn ledger_error(reader: &LedgerReader, error: &StoreError) -> RpcError {
    if !matches!(error, StoreError::Damaged { .. }) {
        tracing::error!(%error, "the ledger could not be read");
        return internal();
    }
    // Clients can request a damaged block any number of times: log only the first read; the metric
    // counts all.
    if reader.damage().is_none_or(|damage| damage.failed_reads <= 1) {
        tracing::error!(%error, "the ledger is damaged");
    } else {
        tracing::debug!(%error, "the ledger is damaged");
    }
    let message = "the disk of this node has damaged the requested data: use another node, and notify the operator of this \
                   one; its consensus_explain says what to do";
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
