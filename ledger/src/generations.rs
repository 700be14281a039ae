//! A bounded map that drops its oldest entries.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a map of generations.
///
/// Poisoning is ignored: no code panics while it holds the lock, and a partly filled map is valid.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bounded map in two generations. When the young generation is full, it becomes the old one, and
/// the previous old one is dropped. The map holds at most twice `capacity` entries, and always the
/// last `capacity`.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Generations<K, V> {
    /// An empty map with `capacity` entries per generation, at least one.
    pub(crate) fn new(capacity: usize) -> Self {
        Generations { capacity: capacity.max(1), young: HashMap::new(), old: HashMap::new() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
        }
        self.young.insert(key, value);
    }

    /// Entries of both generations.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
