//! A compact sparse Merkle tree: a binary trie over the paths of its entries.
//!
//! The path of an entry is the hash of its key, so no choice of keys makes the tree deep at low
//! cost. A leaf is at the shortest prefix of its path that no other path has. Therefore the shape
//! depends only on the set of entries, not on the order of changes.
//!
//! Nodes are immutable and shared: a clone of a tree costs nothing, and a change copies and hashes
//! only the nodes from its leaf to the root, about log2 of the number of entries.

mod node;
mod proof;

use std::sync::Arc;

use quorate_ledger::{Domain, Hash, tagged_hash};

pub use proof::{EntryProof, ProofError};

use node::Node;

/// The longest path from the root to a leaf.
pub(crate) const MAX_DEPTH: usize = 256;

/// The path of the entry with this encoded key.
pub(crate) fn path_of(key: &[u8]) -> Hash {
    tagged_hash(Domain::StateKey, &[key])
}

pub(crate) fn value_hash(value: &[u8]) -> Hash {
    tagged_hash(Domain::StateValue, &[value])
}

pub(crate) fn leaf_hash(path: &Hash, value: &Hash) -> Hash {
    tagged_hash(Domain::StateLeaf, &[path.as_bytes(), value.as_bytes()])
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    tagged_hash(Domain::StateNode, &[left.as_bytes(), right.as_bytes()])
}

pub(crate) fn empty_hash() -> Hash {
    tagged_hash(Domain::StateEmpty, &[])
}

/// Bit `depth` of a path, the most significant one first: false leads left, true right.
pub(crate) fn bit(path: &Hash, depth: usize) -> bool {
    let byte = path.as_bytes().get(depth / 8).copied().unwrap_or_default();
    byte & (0x80 >> (depth % 8)) != 0
}

/// A tree whose leaves hold values. The hash of a leaf covers its path and its encoded value.
#[derive(Debug, Clone)]
pub(crate) struct Tree<V> {
    root: Option<Arc<Node<V>>>,
    count: usize,
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Tree { root: None, count: 0 }
    }
}

impl<V: Clone> Tree<V> {
    /// The tree of these entries: path, hash of the encoded value, and value. Of several entries with
    /// one path, only one is kept. Hashes each node once.
    pub(crate) fn of(mut entries: Vec<(Hash, Hash, V)>) -> Self {
        entries.sort_by_key(|(path, ..)| *path);
        entries.dedup_by_key(|(path, ..)| *path);
        let leaves: Vec<(Hash, Arc<Node<V>>)> =
            entries.into_iter().map(|(path, hash, value)| (path, Node::leaf(path, hash, value))).collect();
        Tree { root: node::build(&leaves, 0), count: leaves.len() }
    }

    /// Hash of all entries.
    pub(crate) fn root(&self) -> Hash {
        self.root.as_ref().map_or_else(empty_hash, |node| *node.hash())
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The value at a path.
    pub(crate) fn get(&self, path: &Hash) -> Option<&V> {
        let mut node = self.root.as_deref()?;
        for depth in 0..=MAX_DEPTH {
            match node {
                Node::Leaf { path: found, value, .. } => return (found == path).then_some(value),
                Node::Inner { children, .. } => {
                    node = children[usize::from(bit(path, depth))].as_deref()?;
                }
            }
        }
        None
    }

    /// Sets the entry at a path to a value with this encoding.
    pub(crate) fn insert(&mut self, path: Hash, encoded: &[u8], value: V) {
        let leaf = Node::leaf(path, value_hash(encoded), value);
        let (root, added) = node::insert(self.root.as_ref(), leaf, &path, 0);
        self.root = Some(root);
        self.count += usize::from(added);
    }

    /// Removes the entry at a path. Returns whether there was one.
    pub(crate) fn remove(&mut self, path: &Hash) -> bool {
        let Some(root) = &self.root else { return false };
        let Some(rest) = node::remove(root, path, 0) else { return false };
        self.root = rest;
        self.count = self.count.saturating_sub(1);
        true
    }

    /// Keeps the entries for which `keep` is true. Hashes each changed node once.
    pub(crate) fn retain(&mut self, keep: &mut impl FnMut(&V) -> bool) {
        let Some(root) = &self.root else { return };
        let mut removed = 0;
        self.root = node::retain(root, &mut |value| {
            let kept = keep(value);
            removed += usize::from(!kept);
            kept
        });
        self.count = self.count.saturating_sub(removed);
    }

    /// The entries that differ from those of an earlier version of this tree: each value before and
    /// after, in no useful order. Costs time in proportion to the differences, because both versions
    /// share the other nodes.
    pub(crate) fn differences<'a>(&'a self, before: &'a Tree<V>) -> Vec<(Option<&'a V>, Option<&'a V>)> {
        let mut found = Vec::new();
        node::differences(before.root.as_ref(), self.root.as_ref(), &mut found);
        found
    }

    /// The values in the order of their paths.
    pub(crate) fn values(&self) -> Vec<&V> {
        let mut values = Vec::with_capacity(self.count);
        let mut open: Vec<&Node<V>> = self.root.as_deref().into_iter().collect();
        while let Some(node) = open.pop() {
            match node {
                Node::Leaf { value, .. } => values.push(value),
                Node::Inner { children, .. } => open.extend(children.iter().rev().flatten().map(Arc::as_ref)),
            }
        }
        values
    }

    /// The siblings of the nodes from the root to the place of a path, the one below the root first,
    /// and path and value hash of the leaf that is there, if there is one.
    pub(crate) fn siblings_of(&self, path: &Hash) -> (Vec<Hash>, Option<(Hash, Hash)>) {
        let mut siblings = Vec::new();
        let mut at = self.root.as_deref();
        while let Some(node) = at {
            match node {
                Node::Leaf { path, value_hash, .. } => return (siblings, Some((*path, *value_hash))),
                Node::Inner { children, .. } => {
                    let right = bit(path, siblings.len());
                    siblings.push(node::hash_of(children[usize::from(!right)].as_ref()));
                    at = children[usize::from(right)].as_deref();
                }
            }
        }
        (siblings, None)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
