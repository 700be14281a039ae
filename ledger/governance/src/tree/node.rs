//! Nodes of a tree, the three ways to change it, and the differences of two trees.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_ledger::Hash;

use super::{bit, empty_hash, leaf_hash, node_hash};

/// A node with its hash. Nodes never change.
#[derive(Debug)]
pub(super) enum Node<V> {
    /// An entry.
    Leaf { path: Hash, value_hash: Hash, value: V, hash: Hash },
    /// A prefix that at least two paths have. The first child is left.
    Inner { children: [Child<V>; 2], hash: Hash },
}

type Child<V> = Option<Arc<Node<V>>>;

impl<V> Node<V> {
    pub(super) fn leaf(path: Hash, value_hash: Hash, value: V) -> Arc<Self> {
        Arc::new(Node::Leaf { path, value_hash, value, hash: leaf_hash(&path, &value_hash) })
    }

    fn inner(children: [Child<V>; 2]) -> Arc<Self> {
        let hash = node_hash(&hash_of(children[0].as_ref()), &hash_of(children[1].as_ref()));
        Arc::new(Node::Inner { children, hash })
    }

    pub(super) fn hash(&self) -> &Hash {
        match self {
            Node::Leaf { hash, .. } | Node::Inner { hash, .. } => hash,
        }
    }

    fn is_leaf(&self) -> bool {
        matches!(self, Node::Leaf { .. })
    }
}

/// The hash of a subtree.
pub(super) fn hash_of<V>(child: Option<&Arc<Node<V>>>) -> Hash {
    child.map_or_else(empty_hash, |node| *node.hash())
}

/// The subtree at `depth` of leaves with different paths, in ascending order of these.
pub(super) fn build<V>(leaves: &[(Hash, Arc<Node<V>>)], depth: usize) -> Child<V> {
    match leaves {
        [] => None,
        [(_, leaf)] => Some(Arc::clone(leaf)),
        _ => {
            let (left, right) = leaves.split_at(leaves.partition_point(|(path, _)| !bit(path, depth)));
            Some(Node::inner([build(left, depth + 1), build(right, depth + 1)]))
        }
    }
}

/// The subtree at `depth` with this leaf, and whether its path is new. The recursion ends after 256
/// levels, because two different paths differ in one of 256 bits.
pub(super) fn insert<V>(
    at: Option<&Arc<Node<V>>>,
    leaf: Arc<Node<V>>,
    path: &Hash,
    depth: usize,
) -> (Arc<Node<V>>, bool) {
    let Some(node) = at else { return (leaf, true) };
    match node.as_ref() {
        Node::Leaf { path: other, .. } if other == path => (leaf, false),
        Node::Leaf { path: other, .. } => (fork(Arc::clone(node), other, leaf, path, depth), true),
        Node::Inner { children, .. } => {
            let side = usize::from(bit(path, depth));
            let (child, added) = insert(children[side].as_ref(), leaf, path, depth + 1);
            (Node::inner(with(children, side, Some(child))), added)
        }
    }
}

/// The smallest subtree at `depth` with two leaves.
fn fork<V>(
    one: Arc<Node<V>>,
    one_path: &Hash,
    two: Arc<Node<V>>,
    two_path: &Hash,
    depth: usize,
) -> Arc<Node<V>> {
    let (first, second) = (bit(one_path, depth), bit(two_path, depth));
    if first == second {
        let below = fork(one, one_path, two, two_path, depth + 1);
        return Node::inner(if first { [None, Some(below)] } else { [Some(below), None] });
    }
    Node::inner(if second { [Some(one), Some(two)] } else { [Some(two), Some(one)] })
}

/// The subtree without a path: `None` if it has no such entry, `Some(None)` if nothing remains.
pub(super) fn remove<V>(node: &Arc<Node<V>>, path: &Hash, depth: usize) -> Option<Child<V>> {
    match node.as_ref() {
        Node::Leaf { path: found, .. } => (found == path).then_some(None),
        Node::Inner { children, .. } => {
            let side = usize::from(bit(path, depth));
            let rest = remove(children[side].as_ref()?, path, depth + 1)?;
            Some(joined(with(children, side, rest)))
        }
    }
}

/// The subtree with the entries that `keep` accepts. Unchanged subtrees stay shared.
pub(super) fn retain<V>(node: &Arc<Node<V>>, keep: &mut impl FnMut(&V) -> bool) -> Child<V> {
    match node.as_ref() {
        Node::Leaf { value, .. } => keep(value).then(|| Arc::clone(node)),
        Node::Inner { children, .. } => {
            let rest = [0, 1].map(|side| children[side].as_ref().and_then(|child| retain(child, keep)));
            let same = |side: usize| match (&rest[side], &children[side]) {
                (Some(new), Some(old)) => Arc::ptr_eq(new, old),
                (None, None) => true,
                _ => false,
            };
            if same(0) && same(1) { Some(Arc::clone(node)) } else { joined(rest) }
        }
    }
}

/// The node above two subtrees. A single leaf moves up, so that it is at its shortest prefix.
fn joined<V>(children: [Child<V>; 2]) -> Child<V> {
    match children {
        [None, None] => None,
        [Some(only), None] | [None, Some(only)] if only.is_leaf() => Some(only),
        children => Some(Node::inner(children)),
    }
}

fn with<V>(children: &[Child<V>; 2], side: usize, child: Child<V>) -> [Child<V>; 2] {
    let mut children = children.clone();
    children[side] = child;
    children
}

/// A value before and after a change; `None` where there is no entry.
pub(super) type Difference<'a, V> = (Option<&'a V>, Option<&'a V>);

/// Adds the entries that differ between two subtrees at the same place. Visits only nodes that
/// differ.
pub(super) fn differences<'a, V>(
    before: Option<&'a Arc<Node<V>>>,
    after: Option<&'a Arc<Node<V>>>,
    found: &mut Vec<Difference<'a, V>>,
) {
    if hash_of(before) == hash_of(after) {
        return;
    }
    if let (Some(Node::Inner { children: old, .. }), Some(Node::Inner { children: new, .. })) =
        (before.map(Arc::as_ref), after.map(Arc::as_ref))
    {
        for side in [0, 1] {
            differences(old[side].as_ref(), new[side].as_ref(), found);
        }
        return;
    }
    // One of them has at most one entry.
    let (old, new) = (leaves(before), leaves(after));
    for (path, (hash, value)) in &old {
        match new.get(path) {
            Some((same, _)) if same == hash => {}
            other => found.push((Some(value), other.map(|(_, value)| *value))),
        }
    }
    let added = new.iter().filter(|(path, _)| !old.contains_key(*path));
    found.extend(added.map(|(_, (_, value))| (None, Some(*value))));
}

/// The entries of a subtree by path: hash of the value, and value.
fn leaves<'a, V>(root: Option<&'a Arc<Node<V>>>) -> BTreeMap<&'a Hash, (&'a Hash, &'a V)> {
    let mut found = BTreeMap::new();
    let mut open: Vec<&'a Node<V>> = root.map(Arc::as_ref).into_iter().collect();
    while let Some(node) = open.pop() {
        match node {
            Node::Leaf { path, value_hash, value, .. } => _ = found.insert(path, (value_hash, value)),
            Node::Inner { children, .. } => open.extend(children.iter().flatten().map(Arc::as_ref)),
        }
    }
    found
}
