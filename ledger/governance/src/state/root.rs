//! The state root, and proofs of single entries.

use std::collections::BTreeSet;
use std::sync::Arc;

use borsh::BorshSerialize;
use quorate_ledger::{Hash, encode};

use super::State;
use super::entries::StoredEntry;
use super::entry::EntryKey;
use crate::config::Config;
use crate::tree::{EntryProof, Tree, node_hash, path_of};

impl State {
    /// The state root: the node above the tree of all other entries (left) and the tree of clients
    /// (right).
    pub fn root(&self) -> Hash {
        node_hash(&self.entries.root(), &self.in_force().clients.tree().root())
    }

    /// Proves the value of an entry, or that there is no entry with this key.
    pub fn prove(&self, key: &EntryKey) -> EntryProof {
        let path = path_of(&encode(key));
        let clients = self.in_force().clients.tree();
        if key.is_client() {
            EntryProof::new(&path, clients.siblings_of(&path), self.entries.root())
        } else {
            EntryProof::new(&path, self.entries.siblings_of(&path), clients.root())
        }
    }

    /// Writes the entries of all rows that changed, and the head.
    pub(super) fn write_changes(&mut self) {
        let entries = &mut self.entries;
        for (id, row) in self.proposals.take_touched() {
            put(entries, &EntryKey::Proposal(id), row);
        }
        for (number, row) in self.scheduled.take_touched() {
            put(entries, &EntryKey::Scheduled(number), row);
        }
        for (key, row) in self.ready.take_touched() {
            put(entries, &EntryKey::Ready(key), row);
        }
        for (key, row) in self.retired.take_touched() {
            put(entries, &EntryKey::Retired(key), row);
        }
        for (name, row) in self.renewals.take_touched() {
            put(entries, &EntryKey::Renewal(name), row);
        }
        put(entries, &EntryKey::Head, Some(&self.head));
    }

    /// Writes the entries of the configuration in force, given the one before it.
    pub(super) fn write_config(&mut self, before: Option<&Config>) {
        let now = Arc::clone(self.in_force());
        let entries = &mut self.entries;
        if before.is_none_or(|before| before.settings != now.settings) {
            put(entries, &EntryKey::Settings, Some(&now.settings));
        }
        let members = before.map_or(&[][..], Config::members);
        for gone in members.iter().filter(|member| now.member(&member.name).is_none()) {
            put::<()>(entries, &EntryKey::Member(gone.name.clone()), None);
        }
        for member in now.members().iter().filter(|member| !members.contains(member)) {
            put(entries, &EntryKey::Member(member.name.clone()), Some(member));
        }
        let none = BTreeSet::new();
        let candidates = before.map_or(&none, Config::candidates);
        for gone in candidates.difference(now.candidates()) {
            put::<()>(entries, &EntryKey::Candidate(*gone), None);
        }
        for key in now.candidates().difference(candidates) {
            put(entries, &EntryKey::Candidate(*key), Some(&()));
        }
    }

    /// Writes all entries into an empty tree.
    pub(super) fn write_all(&mut self) {
        self.entries = Tree::default();
        self.write_config(None);
        self.write_changes();
    }
}

fn put<V: BorshSerialize>(entries: &mut Tree<Arc<StoredEntry>>, key: &EntryKey, value: Option<&V>) {
    let key = encode(key);
    let path = path_of(&key);
    match value.map(encode) {
        Some(value) => {
            let entry = StoredEntry { key, value };
            entries.insert(path, &entry.value.clone(), Arc::new(entry));
        }
        None => _ = entries.remove(&path),
    }
}
