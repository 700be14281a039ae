//! The transaction tree: the shape of RFC 6962, over Keccak-256.
//!
//! Leaves and inner nodes are hashed in different domains. A single node at the end of a level
//! moves up unchanged instead of being duplicated. The length of a path follows from the index and
//! the number of leaves. So a root, together with the header's count, determines the list of
//! transactions, its order and its length.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::codec::bounded;
use crate::hash::{Domain, Hash, TransactionId, tagged_hash};
use crate::limits::MAX_PATH_SIBLINGS;

fn leaf(id: &TransactionId) -> Hash {
    tagged_hash(Domain::MerkleLeaf, &[id.as_bytes()])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    tagged_hash(Domain::MerkleNode, &[left.as_bytes(), right.as_bytes()])
}

/// The next level: pairs are hashed together, a single last node moves up unchanged.
fn parents(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => node(left, right),
            [lone, ..] => *lone,
            [] => unreachable!("chunks are never empty"),
        })
        .collect()
}

/// The whole tree over the ids of one block. Use it to compute many paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MerkleTree {
    /// Leaf hashes first; the last level is only the root. Empty if there are no leaves.
    levels: Vec<Vec<Hash>>,
}

impl MerkleTree {
    /// The tree over transaction ids in block order.
    pub fn new(ids: &[TransactionId]) -> Self {
        let mut levels = Vec::new();
        let mut level: Vec<Hash> = ids.iter().map(leaf).collect();
        while level.len() > 1 {
            let above = parents(&level);
            levels.push(std::mem::replace(&mut level, above));
        }
        levels.extend((!level.is_empty()).then_some(level));
        MerkleTree { levels }
    }

    /// The root, which a header commits to.
    pub fn root(&self) -> Hash {
        match self.levels.last() {
            Some(top) => top[0],
            None => tagged_hash(Domain::MerkleEmpty, &[]),
        }
    }

    /// The path of the leaf at `index`; `None` if there is no such leaf.
    pub fn path(&self, index: usize) -> Option<MerklePath> {
        if index >= self.levels.first()?.len() {
            return None;
        }
        // A single last node has no sibling.
        let siblings = self.levels.iter().enumerate().map(|(up, level)| level.get((index >> up) ^ 1));
        Some(MerklePath { siblings: siblings.flatten().copied().collect() })
    }
}

/// The root over transaction ids in block order, without keeping the tree.
pub fn merkle_root(ids: &[TransactionId]) -> Hash {
    if ids.is_empty() {
        return tagged_hash(Domain::MerkleEmpty, &[]);
    }
    let mut level: Vec<Hash> = ids.iter().map(leaf).collect();
    while level.len() > 1 {
        level = parents(&level);
    }
    level[0]
}

/// The siblings from a leaf up to the root.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MerklePath {
    #[borsh(deserialize_with = "bounded::<MAX_PATH_SIBLINGS, _, _>")]
    siblings: Vec<Hash>,
}

impl MerklePath {
    /// The path of the leaf at `index`; `None` if there is no such leaf. To compute many paths of
    /// one block, use [`MerkleTree`].
    pub fn new(ids: &[TransactionId], index: usize) -> Option<Self> {
        MerkleTree::new(ids).path(index)
    }

    /// An unverified path, to be checked by [`MerklePath::leads_to`].
    pub fn from_siblings(siblings: Vec<Hash>) -> Self {
        MerklePath { siblings }
    }

    /// The siblings, leaf level first.
    pub fn siblings(&self) -> &[Hash] {
        &self.siblings
    }

    /// Whether this path proves that `id` is leaf `index` of `count` under `root`.
    ///
    /// Only the exact number of siblings that `index` and `count` require is accepted.
    pub fn leads_to(&self, root: &Hash, id: &TransactionId, index: u32, count: u32) -> bool {
        if index >= count {
            return false;
        }
        let (mut position, mut last) = (index, count - 1);
        let mut hash = leaf(id);
        let mut siblings = self.siblings.iter();
        while last > 0 {
            // The single last node of a level has no sibling and moves up.
            if position % 2 == 1 || position < last {
                let Some(sibling) = siblings.next() else {
                    return false;
                };
                hash = if position % 2 == 1 { node(sibling, &hash) } else { node(&hash, sibling) };
            }
            position /= 2;
            last /= 2;
        }
        siblings.next().is_none() && hash == *root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u8) -> Vec<TransactionId> {
        (0..count).map(|n| TransactionId::from_bytes([n; 32])).collect()
    }

    #[test]
    fn every_leaf_of_every_size_has_one_path() {
        for count in 1..=33u8 {
            let ids = ids(count);
            let root = merkle_root(&ids);
            assert_eq!(MerkleTree::new(&ids).root(), root);
            for index in 0..u32::from(count) {
                let path = MerklePath::new(&ids, index as usize).expect("leaf exists");
                for other in 0..u32::from(count) + 1 {
                    let proven = path.leads_to(&root, &ids[index as usize], other, u32::from(count));
                    assert_eq!(proven, other == index, "leaf {index} of {count} claimed at {other}");
                }
            }
        }
    }

    #[test]
    fn a_path_with_a_sibling_more_or_less_proves_nothing() {
        let ids = ids(5);
        let root = merkle_root(&ids);
        let path = MerklePath::new(&ids, 3).expect("leaf exists");
        let mut longer = path.siblings().to_vec();
        longer.push(root);
        assert!(!MerklePath::from_siblings(longer).leads_to(&root, &ids[3], 3, 5));
        let shorter = path.siblings()[..2].to_vec();
        assert!(!MerklePath::from_siblings(shorter).leads_to(&root, &ids[3], 3, 5));
    }

    #[test]
    fn an_empty_tree_has_a_root_and_no_path() {
        let tree = MerkleTree::new(&[]);
        assert_eq!(tree.root(), merkle_root(&[]));
        assert_eq!(tree.path(0), None);
    }

    #[test]
    fn a_doubled_last_leaf_changes_the_root() {
        let mut doubled = ids(3);
        let root = merkle_root(&doubled);
        doubled.push(doubled[2]);
        assert_ne!(merkle_root(&doubled), root);
    }

    #[test]
    fn an_inner_node_is_not_a_leaf() {
        let ids = ids(2);
        let inner = TransactionId(merkle_root(&ids));
        assert_ne!(merkle_root(&[inner]), inner.0);
    }
}
