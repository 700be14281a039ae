//! Rows of one kind, with the keys that changed since the state tree was brought up to date.

use std::collections::{BTreeMap, BTreeSet};

/// Rows in the order of their keys.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, V> {
    rows: BTreeMap<K, V>,
    touched: BTreeSet<K>,
}

impl<K: Ord + Clone, V> Table<K, V> {
    /// A table of which the state tree has no row yet.
    pub(crate) fn new(rows: BTreeMap<K, V>) -> Self {
        Table { touched: rows.keys().cloned().collect(), rows }
    }

    pub(crate) fn rows(&self) -> &BTreeMap<K, V> {
        &self.rows
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.touched.insert(key.clone());
        self.rows.insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if self.rows.remove(key).is_some() {
            self.touched.insert(key.clone());
        }
    }

    /// Keeps the rows for which `keep` is true. It may change the rows, and must then return `Some`
    /// of whether to keep it; `None` keeps a row as it is.
    pub(crate) fn revise(&mut self, mut keep: impl FnMut(&K, &mut V) -> Option<bool>) {
        let touched = &mut self.touched;
        self.rows.retain(|key, value| {
            let verdict = keep(key, value);
            if verdict.is_some() {
                touched.insert(key.clone());
            }
            verdict.unwrap_or(true)
        });
    }

    /// The keys that changed, with their rows or `None`. They no longer count as changed.
    pub(crate) fn take_touched(&mut self) -> Vec<(K, Option<&V>)> {
        let touched = std::mem::take(&mut self.touched);
        let rows = &self.rows;
        touched.into_iter().map(|key| (key.clone(), rows.get(&key))).collect()
    }
}
