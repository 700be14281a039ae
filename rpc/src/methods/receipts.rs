//! A cache of receipts of recent blocks.
//!
//! When a block is committed, all clients that waited for its transactions need a receipt at the
//! same moment. Reading the block, hashing its Merkle tree and reading its finality proof once for
//! each of a thousand transactions would cost more than ordering them, so this is done once for
//! each block.
//!
//! A block of n transactions costs 3 n hashes: the ledger keeps encodings, so each id is one, and
//! the tree has 2 n. No transaction is decoded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use quorate_api::{FinalityProofJson, ReceiptJson, RpcError};
use quorate_ledger::{Height, MerkleTree, TransactionId};
use quorate_store::{LedgerReader, StoreError};
use tokio::sync::OnceCell;

use super::ledger::LedgerAccess;

/// How many blocks are cached: more than are committed while the waiting clients are served. The
/// largest block takes about a megabyte here.
const CACHED_BLOCKS: usize = 32;

/// The parts of all receipts of one block.
#[derive(Debug)]
struct BlockReceipts {
    tree: MerkleTree,
    ids: Vec<TransactionId>,
    /// Whether the header commits to these ids. If not, the body on the disk is damaged.
    is_intact: bool,
    proof: FinalityProofJson,
}

type Shared = Arc<OnceCell<Arc<BlockReceipts>>>;

/// The receipts of recent blocks. Committed heights are final, so no entry ever becomes invalid.
#[derive(Debug, Default)]
pub(crate) struct ReceiptBook(Mutex<BTreeMap<Height, Shared>>);

impl ReceiptBook {
    /// The receipt of the transaction at its height and index in the ledger; `None` if the block
    /// was pruned.
    pub(crate) async fn receipt(
        &self,
        ledger: &LedgerAccess,
        id: TransactionId,
        height: Height,
        index: u32,
    ) -> Result<Option<ReceiptJson>, RpcError> {
        let shared = self.cached(height);
        // The first request reads the block; the others wait for it.
        let read = || async {
            let block = ledger.read(move |reader| BlockReceipts::read(reader, height)).await;
            match block {
                Ok(Some(block)) => Ok(Arc::new(block)),
                Ok(None) => Err(None),
                Err(error) => Err(Some(error)),
            }
        };
        let block = match shared.get_or_try_init(read).await {
            Ok(block) => block,
            Err(None) => return Ok(None),
            Err(Some(error)) => return Err(error),
        };
        let position = usize::try_from(index).expect("indices in a block fit");
        let path = block.tree.path(position).filter(|_| block.is_intact && block.ids[position] == id);
        let Some(path) = path else {
            // The ledger's body or index is wrong. Let the ledger detect and record the damage.
            let receipt = ledger.read(move |reader| reader.receipt(&id)).await?;
            return Ok(receipt.as_ref().map(ReceiptJson::from));
        };
        Ok(Some(ReceiptJson {
            transaction: id,
            index,
            path: path.siblings().to_vec(),
            proof: block.proof.clone(),
        }))
    }

    fn cached(&self, height: Height) -> Shared {
        // Nothing that can panic runs while the lock is held.
        let mut blocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = Arc::clone(blocks.entry(height).or_default());
        if blocks.len() > CACHED_BLOCKS {
            // Evict the lowest block. If that is the requested one, it is served but not cached.
            blocks.pop_first();
        }
        shared
    }
}

impl BlockReceipts {
    fn read(reader: &LedgerReader, height: Height) -> Result<Option<Self>, StoreError> {
        let (Some(ids), Some(proof)) = (reader.ids(height)?, reader.finality_proof(height)?) else {
            return Ok(None);
        };
        let tree = MerkleTree::new(&ids);
        let is_intact = tree.root() == proof.header.transactions_root;
        Ok(Some(BlockReceipts { tree, ids, is_intact, proof: (&proof).into() }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_newest_blocks_are_cached() {
        let book = ReceiptBook::default();
        let newest = 1000 + u64::try_from(CACHED_BLOCKS).unwrap();
        for height in 1000..newest {
            book.cached(Height(height));
        }
        book.cached(Height(3));
        book.cached(Height(newest));
        let blocks = book.0.lock().unwrap();
        assert_eq!(blocks.len(), CACHED_BLOCKS);
        assert!(!blocks.contains_key(&Height(3)));
        assert!(blocks.contains_key(&Height(newest)));
    }
}
