use std::collections::BTreeMap;

use quorate_ledger::{Block, BlockHash, Height, TransactionId};

/// Blocks that are complete here and not committed yet: their bodies, and where each id is.
///
/// At most one block for each open height and view, so it is bounded by the replica's window.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    blocks: BTreeMap<BlockHash, Block>,
    /// An id may be in several blocks of which only one can become final.
    places: BTreeMap<TransactionId, Vec<BlockHash>>,
}

impl Flight {
    pub(crate) fn insert(&mut self, block: Block) {
        let hash = block.hash();
        for id in block.body().ids() {
            let places = self.places.entry(*id).or_default();
            if !places.contains(&hash) {
                places.push(hash);
            }
        }
        self.blocks.insert(hash, block);
    }

    pub(crate) fn get(&self, block: &BlockHash) -> Option<&Block> {
        self.blocks.get(block)
    }

    /// Whether one of the uncommitted ancestors of a block on `parent` contains the id (R16).
    pub(crate) fn on_branch(&self, id: &TransactionId, parent: &BlockHash) -> bool {
        let Some(places) = self.places.get(id) else { return false };
        let mut ancestor = self.blocks.get(parent);
        while let Some(block) = ancestor {
            if places.contains(&block.hash()) {
                return true;
            }
            ancestor = self.blocks.get(&block.header().parent);
        }
        false
    }

    /// Forgets blocks up to a committed height. Answers the ids that were in forgotten blocks and are in no
    /// other.
    pub(crate) fn forget_through(&mut self, height: Height) -> Vec<TransactionId> {
        let gone: Vec<BlockHash> =
            self.blocks.values().filter(|block| block.height() <= height).map(Block::hash).collect();
        gone.iter().flat_map(|hash| self.remove(hash)).collect()
    }

    /// Forgets a block. Answers its ids that are in no other.
    pub(crate) fn remove(&mut self, block: &BlockHash) -> Vec<TransactionId> {
        let Some(block) = self.blocks.remove(block) else { return Vec::new() };
        let hash = block.hash();
        let mut free = Vec::new();
        for id in block.body().ids() {
            let Some(places) = self.places.get_mut(id) else { continue };
            places.retain(|place| *place != hash);
            if places.is_empty() {
                self.places.remove(id);
                free.push(*id);
            }
        }
        free
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}
