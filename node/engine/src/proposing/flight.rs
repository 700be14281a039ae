use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Block, BlockHash, Height, TransactionId};

/// Blocks in flight: their bodies are complete here, and they are not committed. Also maps each id
/// to the blocks that contain it.
///
/// A block that the current view proposes is *marked*: its transactions are reserved, and are not
/// selected for another block. Blocks of views that were left are kept, since other replicas may
/// request them. There is at most one block for each open height and view, and the replica bounds
/// the views (R20d), so the memory is bounded.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    blocks: BTreeMap<BlockHash, Block>,
    /// An id may be in several blocks. Only one of them can become final.
    places: BTreeMap<TransactionId, Vec<BlockHash>>,
    marked: BTreeSet<BlockHash>,
    /// Blocks that the replica dropped. They are kept until the group with the record of that is
    /// written.
    given_up: Vec<BlockHash>,
}

impl Flight {
    /// Keeps a block; `marked` if the current view proposes it.
    pub(crate) fn insert(&mut self, block: Block, marked: bool) {
        let hash = block.hash();
        // The replica may drop a block of a past view, and accept the same block again in the
        // current view, within one group. Then the block must stay.
        self.given_up.retain(|given_up| !marked || *given_up != hash);
        if marked {
            self.marked.insert(hash);
        }
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

    /// All blocks. The order has no meaning.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.blocks.values()
    }

    /// Whether one of the blocks contains the id.
    pub(crate) fn contains(&self, id: &TransactionId) -> bool {
        self.places.contains_key(id)
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

    /// Unmarks all blocks for a new view, which proposes no block yet. Returns the ids that were
    /// marked.
    pub(crate) fn unmark_all(&mut self) -> Vec<TransactionId> {
        let marked = std::mem::take(&mut self.marked);
        let blocks = marked.iter().filter_map(|hash| self.blocks.get(hash));
        blocks.flat_map(|block| block.body().ids().iter().copied()).collect()
    }

    /// Unmarks the blocks whose ancestor was replaced by a committed block (R15b). The committed
    /// chain ends in `tip` at `height`. Returns the ids in them that no other marked block
    /// contains.
    pub(crate) fn unmark_superseded(&mut self, height: Height, tip: &BlockHash) -> Vec<TransactionId> {
        let mut marked: Vec<&Block> = self.marked.iter().filter_map(|hash| self.blocks.get(hash)).collect();
        marked.sort_by_key(|block| block.height());
        let mut superseded: BTreeMap<BlockHash, Block> = BTreeMap::new();
        for block in marked {
            let parent = &block.header().parent;
            if block.height() == height.next() && parent != tip || superseded.contains_key(parent) {
                superseded.insert(block.hash(), block.clone());
            }
        }
        self.marked.retain(|hash| !superseded.contains_key(hash));
        let ids = superseded.values().flat_map(|block| block.body().ids().iter().copied());
        ids.filter(|id| !self.is_marked(id)).collect()
    }

    /// Whether a marked block contains the id.
    fn is_marked(&self, id: &TransactionId) -> bool {
        self.places.get(id).is_some_and(|places| places.iter().any(|place| self.marked.contains(place)))
    }

    /// Removes unmarked blocks that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Block) -> bool) {
        let unwanted = |block: &&Block| !self.marked.contains(&block.hash()) && !wanted(block);
        let gone: Vec<BlockHash> = self.blocks.values().filter(unwanted).map(Block::hash).collect();
        for block in gone {
            self.remove(&block);
        }
    }

    /// The replica dropped a block. [`Flight::forget_given_up`] removes it once the group is
    /// written.
    pub(crate) fn give_up(&mut self, block: BlockHash) {
        self.given_up.push(block);
    }

    /// Removes the blocks that the replica dropped. Returns the ids that were marked by them and by
    /// no other block.
    pub(crate) fn forget_given_up(&mut self) -> Vec<TransactionId> {
        let given_up = std::mem::take(&mut self.given_up);
        given_up.iter().flat_map(|block| self.remove(block)).collect()
    }

    /// Removes blocks up to a committed height. Returns the ids that were marked by them and by no
    /// other block.
    pub(crate) fn forget_through(&mut self, height: Height) -> Vec<TransactionId> {
        let gone: Vec<BlockHash> =
            self.blocks.values().filter(|block| block.height() <= height).map(Block::hash).collect();
        gone.iter().flat_map(|hash| self.remove(hash)).collect()
    }

    /// Removes a block. Returns its ids that were marked by it and by no other block.
    pub(crate) fn remove(&mut self, block: &BlockHash) -> Vec<TransactionId> {
        let Some(block) = self.blocks.remove(block) else { return Vec::new() };
        let hash = block.hash();
        let was_marked = self.marked.remove(&hash);
        let mut free = Vec::new();
        for id in block.body().ids() {
            let Some(places) = self.places.get_mut(id) else { continue };
            places.retain(|place| *place != hash);
            if was_marked && !places.iter().any(|place| self.marked.contains(place)) {
                free.push(*id);
            }
            if places.is_empty() {
                self.places.remove(id);
            }
        }
        free
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
