//! Read access to a ledger.

use std::fmt;
use std::sync::Arc;

use quorate_governance::{Outcome, State};
use quorate_ledger::{
    Block, BlockHash, ChainAnchor, CommitCertificate, Epoch, EpochProof, FinalityProof, Hash, Header, Height,
    Receipt, Timestamp, Transaction, TransactionId,
};

use crate::database::storage::{Damage, Storage};
use crate::error::{Fault, StoreError};
use crate::ledger::stored::{BlockIds, Head, StoredBlock};
use crate::ledger::view::View;

/// Reads a ledger. Clones share the open file and can be moved to any thread.
///
/// Each method is a separate short transaction on the newest blocks, including those that are not
/// durable yet. The bytes read must decode, and a body must match its header. Damage that shows
/// this way is [`StoreError::Damaged`] and is recorded ([`LedgerReader::damage`]);
/// [`crate::Ledger::verify`] finds all other damage. The file stays open and locked until the
/// [`crate::Ledger`] and all its readers are dropped.
#[derive(Clone)]
pub struct LedgerReader {
    storage: Arc<Storage>,
}

impl fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerReader of {}", self.storage.path().display())
    }
}

impl LedgerReader {
    pub(crate) fn new(storage: Arc<Storage>) -> Self {
        LedgerReader { storage }
    }

    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&redb::ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.storage.read(look)
    }

    pub(crate) fn view<T>(&self, look: impl FnOnce(&View<'_>) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.storage.read(|transaction| look(&View::of(transaction)))
    }

    /// The damage that reads through any handle of this file have detected since it was opened.
    /// Costs no access to the file.
    pub fn damage(&self) -> Option<Damage> {
        self.storage.damage()
    }

    /// The highest stored block.
    ///
    /// # Errors
    /// This method and the others of this type: [`StoreError::Damaged`] and [`StoreError::Failed`].
    pub fn head(&self) -> Result<Head, StoreError> {
        self.view(|view| view.head())
    }

    /// The lowest height whose block is still stored: 0 unless the ledger was pruned.
    pub fn earliest(&self) -> Result<Height, StoreError> {
        self.view(|view| view.earliest())
    }

    /// The header at a height, including the genesis header.
    pub fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        self.view(|view| view.header(height))
    }

    /// The header at a height that the ledger has.
    ///
    /// # Errors
    /// As for the other reads; [`StoreError::Damaged`] if there is no header.
    pub fn present_header(&self, height: Height) -> Result<Header, StoreError> {
        self.view(|view| view.present_header(height))
    }

    /// The block at a height. At 0 it is the genesis header with an empty body.
    pub fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        self.view(|view| view.block(height))
    }

    /// The height of the block with this hash.
    pub fn height_of(&self, hash: &BlockHash) -> Result<Option<Height>, StoreError> {
        self.view(|view| view.height_of(hash))
    }

    /// The certificate of exactly this height; `None` also for a block that only a later
    /// certificate finalises.
    pub fn certificate(&self, height: Height) -> Result<Option<CommitCertificate>, StoreError> {
        self.view(|view| view.certificate(height))
    }

    /// The nearest certificate that finalises this height, with its own height. `None` above the
    /// head.
    pub fn certified_at_or_above(
        &self,
        height: Height,
    ) -> Result<Option<(Height, CommitCertificate)>, StoreError> {
        self.view(|view| view.certified_at_or_above(height))
    }

    /// Proof that the block at a height is final; `None` for the genesis and above the head.
    pub fn finality_proof(&self, height: Height) -> Result<Option<FinalityProof>, StoreError> {
        self.view(|view| view.finality_proof(height))
    }

    /// Height of a transaction, and its index in the block.
    ///
    /// Searches one index for every 4096 blocks, newest first. So recent transactions are found at
    /// once, and an unknown id costs a few microseconds for each index.
    pub fn locate(&self, id: &TransactionId) -> Result<Option<(Height, u32)>, StoreError> {
        self.view(|view| view.locate(id))
    }

    /// A transaction with its height and its index in the block.
    pub fn transaction(&self, id: &TransactionId) -> Result<Option<(Transaction, Height, u32)>, StoreError> {
        self.view(|view| view.transaction(id))
    }

    /// The transactions at these positions in a block, in this order. Positions that the block does
    /// not have are left out. Returns as many as fit in `max_bytes` of their encodings, but at
    /// least one; `None` if the block is not stored.
    ///
    /// Decodes only these transactions, and does not compare the body with its header. A caller
    /// that needs that certainty compares the ids.
    pub fn transactions(
        &self,
        height: Height,
        indices: &[u32],
        max_bytes: usize,
    ) -> Result<Option<Vec<Transaction>>, StoreError> {
        self.view(|view| view.pick(height, indices, max_bytes))
    }

    /// The ids of the transactions of a block, in order; `None` if the block is not stored. No
    /// transaction is decoded, and the ids are not compared with the header.
    pub fn ids(&self, height: Height) -> Result<Option<Vec<TransactionId>>, StoreError> {
        self.view(|view| view.ids(height))
    }

    /// Proof that a transaction was ordered, for offline verification.
    pub fn receipt(&self, id: &TransactionId) -> Result<Option<Receipt>, StoreError> {
        self.view(|view| view.receipt(id))
    }

    /// Consecutive blocks from a height upwards: at most `max_count`, and no more than fit in
    /// `max_bytes` of body encodings, but at least one if there is one (and `max_count` is not 0).
    ///
    /// The result ends before a block that cannot be read; if that is the first block, it is an
    /// error. It is empty above the head and for pruned blocks. The last block may lack a
    /// certificate; see [`LedgerReader::certified_at_or_above`].
    pub fn blocks(
        &self,
        from: Height,
        max_count: usize,
        max_bytes: usize,
    ) -> Result<Vec<StoredBlock>, StoreError> {
        let (blocks, fault) = self.view(|view| Ok(view.blocks(from, max_count, max_bytes)))?;
        let Some(fault) = fault else { return Ok(blocks) };
        let error = self.storage.note(self.storage.name(fault));
        if blocks.is_empty() { Err(error) } else { Ok(blocks) }
    }

    /// The ids in all blocks with this time or later, in ascending order, without the genesis.
    ///
    /// Walks back from the head only as far as needed: cost and memory are in proportion to that
    /// window, 32 bytes for each transaction.
    pub fn ids_since(&self, since: Timestamp) -> Result<Vec<BlockIds>, StoreError> {
        let recent = self.view(|view| view.recent(since))?;
        let ids = |(header, ids): (Header, Vec<TransactionId>)| BlockIds {
            height: header.height,
            timestamp: header.timestamp,
            ids,
        };
        Ok(recent.into_iter().rev().map(ids).collect())
    }

    /// The governance state after the head. Costs time in proportion to the state: rebuild it seldom,
    /// and never for each request.
    pub fn governance(&self) -> Result<State, StoreError> {
        self.view(|view| view.governance())
    }

    /// What became of the governance transaction at this index of a block; `None` if there is no such
    /// transaction, or if it is data.
    pub fn outcome(&self, height: Height, index: u32) -> Result<Option<Outcome>, StoreError> {
        self.view(|view| view.outcome(height, index))
    }

    /// The outcomes of the governance transactions of a block with their indices, in block order.
    pub fn outcomes(&self, height: Height) -> Result<Vec<(u32, Outcome)>, StoreError> {
        self.view(|view| view.outcomes(height))
    }

    /// The newest governance transactions in blocks below a height, by height and index in the block,
    /// newest first. Returns `limit` of them, or as many more as complete the last block; fewer only if
    /// there are no others. Reads only these rows.
    pub fn outcomes_below(
        &self,
        height: Height,
        limit: usize,
    ) -> Result<Vec<(Height, u32, Outcome)>, StoreError> {
        self.view(|view| view.outcomes_below(height, limit))
    }

    /// The root of the governance state after the block at a height. Stored for the genesis, for
    /// multiples of K, and for the last block of each epoch; `None` for other heights.
    pub fn state_root(&self, height: Height) -> Result<Option<Hash>, StoreError> {
        self.view(|view| view.state_root(height))
    }

    /// Proofs of the ends of consecutive epochs: of epoch `from` first, and at most `limit` of them.
    /// Empty if epoch `from` has not ended.
    pub fn epoch_proofs(&self, from: Epoch, limit: usize) -> Result<Vec<EpochProof>, StoreError> {
        self.view(|view| view.epoch_proofs(from, limit))
    }

    /// An anchor of this chain, extended by all epochs of this file that it does not have yet. Costs
    /// a quorum of signature verifications for each of these.
    pub fn anchor(&self, known: &ChainAnchor) -> Result<ChainAnchor, StoreError> {
        let mut anchor = known.clone();
        self.view(|view| {
            while let Some(proof) = view.epoch_proof(anchor.newest().epoch())? {
                anchor.extend(&proof).map_err(|error| Fault::damaged(error.to_string()))?;
            }
            Ok(())
        })?;
        Ok(anchor)
    }
}
