//! The registry of clients: a part of the state tree that also answers look-ups.

use std::collections::BTreeMap;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{Hash, PublicKey, encode};

use crate::operations::{Name, Quota};
use crate::state::EntryKey;
use crate::tree::{Tree, path_of, value_hash};

/// A client. In the submit mode `registry`, only clients may send data transactions.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Client {
    /// The key that signs its transactions.
    pub key: PublicKey,
    /// The name that people use for it.
    pub name: Name,
    /// The member that added it. It goes with this member.
    pub member: Name,
    /// Its own limit in addition to that of the member.
    pub quota: Option<Quota>,
    /// Whether a quorum of members revoked it. That is final.
    pub revoked: bool,
}

/// The root of the tree of these clients, in any order: what a state root has of them. Of several
/// clients with one key, only one counts.
pub fn clients_root(clients: Vec<Client>) -> Hash {
    Registry::of(clients).tree().root()
}

/// All clients. Clones share their content, and a change costs about log2 of their number hashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    tree: Tree<Arc<Client>>,
    counts: BTreeMap<Name, u64>,
}

fn path(key: &PublicKey) -> Hash {
    path_of(&encode(&EntryKey::Client(*key)))
}

impl Registry {
    /// The registry of these clients. Of several with one key, only one is kept.
    pub(crate) fn of(clients: Vec<Client>) -> Self {
        let entry = |client: Client| (path(&client.key), value_hash(&encode(&client)), Arc::new(client));
        let tree = Tree::of(clients.into_iter().map(entry).collect());
        let mut counts = BTreeMap::new();
        for client in tree.values() {
            let count: &mut u64 = counts.entry(client.member.clone()).or_default();
            *count = count.saturating_add(1);
        }
        Registry { tree, counts }
    }

    pub(crate) fn tree(&self) -> &Tree<Arc<Client>> {
        &self.tree
    }

    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Client> {
        self.tree.get(&path(key)).map(Arc::as_ref)
    }

    pub(crate) fn len(&self) -> usize {
        self.tree.len()
    }

    pub(crate) fn count_of(&self, member: &Name) -> u64 {
        self.counts.get(member).copied().unwrap_or_default()
    }

    /// The members that have clients.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Name> {
        self.counts.keys()
    }

    pub(crate) fn all(&self) -> Vec<&Client> {
        self.tree.values().into_iter().map(Arc::as_ref).collect()
    }

    /// Adds a client, or replaces the one with its key, which belongs to the same member.
    pub(crate) fn put(&mut self, client: Client) {
        let before = self.tree.len();
        let (path, encoded, member) = (path(&client.key), encode(&client), client.member.clone());
        self.tree.insert(path, &encoded, Arc::new(client));
        if self.tree.len() > before {
            let count = self.counts.entry(member).or_default();
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn remove(&mut self, key: &PublicKey) {
        let Some(member) = self.get(key).map(|client| client.member.clone()) else { return };
        self.tree.remove(&path(key));
        if let Some(count) = self.counts.get_mut(&member) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&member);
            }
        }
    }

    /// Removes all clients of a member. Costs a visit of every client if the member has any.
    pub(crate) fn remove_member(&mut self, member: &Name) {
        if self.counts.remove(member).is_some() {
            self.tree.retain(&mut |client| client.member != *member);
        }
    }
}
