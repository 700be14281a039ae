use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::{Block, BlockHash, Height, TransactionId};

/// Blocks that are complete here and not committed yet: their bodies, and where each id is.
///
/// Those that the current view proposes have their transactions *marked*: they wait for nothing else. Blocks of
/// views that were left are kept because others may need them. At most one block for each open height and view,
/// and the replica bounds the views, so all of it is bounded.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    blocks: BTreeMap<BlockHash, Block>,
    /// An id may be in several blocks of which only one can become final.
    places: BTreeMap<TransactionId, Vec<BlockHash>>,
    marked: BTreeSet<BlockHash>,
    /// Blocks that the replica gave up: they are kept until the group that says so is written.
    given_up: Vec<BlockHash>,
}

impl Flight {
    /// Holds a block; `marked` if the current view proposes it.
    pub(crate) fn insert(&mut self, block: Block, marked: bool) {
        let hash = block.hash();
        // A block of a view that was left may be given up and be proposed again in one group.
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

    /// All of them, in no order that means anything.
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

    /// A new view: no block is proposed by it yet. Answers the ids that were marked.
    pub(crate) fn unmark_all(&mut self) -> Vec<TransactionId> {
        let marked = std::mem::take(&mut self.marked);
        let blocks = marked.iter().filter_map(|hash| self.blocks.get(hash));
        blocks.flat_map(|block| block.body().ids().iter().copied()).collect()
    }

    /// Unmarks the blocks below which another block became final than the one they extend: the committed chain ends in
    /// `tip`, at `height`. Answers their ids that no other marked block contains.
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

    /// Forgets unmarked blocks that are not wanted.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Block) -> bool) {
        let unwanted = |block: &&Block| !self.marked.contains(&block.hash()) && !wanted(block);
        let gone: Vec<BlockHash> = self.blocks.values().filter(unwanted).map(Block::hash).collect();
        for block in gone {
            self.remove(&block);
        }
    }

    /// The replica gave a block up: [`Flight::forget_given_up`] forgets it.
    pub(crate) fn give_up(&mut self, block: BlockHash) {
        self.given_up.push(block);
    }

    /// Forgets the blocks that were given up. Answers the ids that were marked by them and by no other.
    pub(crate) fn forget_given_up(&mut self) -> Vec<TransactionId> {
        let given_up = std::mem::take(&mut self.given_up);
        given_up.iter().flat_map(|block| self.remove(block)).collect()
    }

    /// Forgets blocks up to a committed height. Answers the ids that were marked by them and by no other.
    pub(crate) fn forget_through(&mut self, height: Height) -> Vec<TransactionId> {
        let gone: Vec<BlockHash> =
            self.blocks.values().filter(|block| block.height() <= height).map(Block::hash).collect();
        gone.iter().flat_map(|hash| self.remove(hash)).collect()
    }

    /// Forgets a block. Answers its ids that were marked by it and by no other.
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
