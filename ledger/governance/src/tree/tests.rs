#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn path(number: u32) -> Hash {
    path_of(&number.to_le_bytes())
}

/// The root of these entries by the definition: a leaf where a path is alone.
fn reference(entries: &[(Hash, Hash)], depth: usize) -> Hash {
    match entries {
        [] => empty_hash(),
        [(path, value)] => leaf_hash(path, value),
        _ => {
            let (right, left): (Vec<_>, Vec<_>) = entries.iter().partition(|(path, _)| bit(path, depth));
            node_hash(&reference(&left, depth + 1), &reference(&right, depth + 1))
        }
    }
}

fn of(entries: &BTreeMap<Hash, u32>) -> Hash {
    let entries: Vec<_> =
        entries.iter().map(|(path, value)| (*path, value_hash(&value.to_le_bytes()))).collect();
    reference(&entries, 0)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_root_depends_only_on_the_entries(
        changes in proptest::collection::vec((0_u32..40, any::<bool>(), 0_u32..3), 0..120),
    ) {
        let (mut tree, mut entries) = (Tree::default(), BTreeMap::new());
        for (number, adds, value) in changes {
            if adds {
                tree.insert(path(number), &value.to_le_bytes(), value);
                entries.insert(path(number), value);
            } else {
                prop_assert_eq!(tree.remove(&path(number)), entries.remove(&path(number)).is_some());
            }
            prop_assert_eq!(tree.len(), entries.len());
        }
        prop_assert_eq!(tree.root(), of(&entries));
        prop_assert_eq!(tree.values(), entries.values().collect::<Vec<_>>());
        for number in 0..40 {
            prop_assert_eq!(tree.get(&path(number)), entries.get(&path(number)));
        }
        let pairs = entries.iter().map(|(path, value)| (*path, value_hash(&value.to_le_bytes()), *value));
        let twice: Vec<_> = pairs.clone().chain(pairs).collect();
        let built = Tree::of(twice);
        prop_assert_eq!((built.root(), built.len()), (tree.root(), tree.len()));
        tree.retain(&mut |value| *value == 1);
        entries.retain(|_, value| *value == 1);
        prop_assert_eq!(tree.len(), entries.len());
        prop_assert_eq!(tree.root(), of(&entries));
    }
}

#[test]
fn paths_that_differ_only_in_the_last_bit_have_a_place() {
    let (mut low, mut high) = ([7; 32], [7; 32]);
    (low[31], high[31]) = (0, 1);
    let (low, high) = (Hash::from_bytes(low), Hash::from_bytes(high));
    let mut tree = Tree::default();
    tree.insert(low, b"low", 0);
    let alone = tree.root();
    tree.insert(high, b"high", 1);
    assert_eq!((tree.get(&low), tree.get(&high)), (Some(&0), Some(&1)));
    assert_eq!(tree.siblings_of(&high).0.len(), MAX_DEPTH);
    assert!(tree.remove(&high));
    assert_eq!(tree.root(), alone, "the leaf is at its shortest prefix again");
}

#[test]
fn a_clone_does_not_see_later_changes() {
    let mut tree = Tree::default();
    for number in 0..100 {
        tree.insert(path(number), &number.to_le_bytes(), number);
    }
    let (old, root) = (tree.clone(), tree.root());
    tree.remove(&path(3));
    tree.insert(path(5), b"other", 0);
    assert_eq!((old.root(), old.len(), old.get(&path(3))), (root, 100, Some(&3)));
    assert_ne!(tree.root(), root);
}
