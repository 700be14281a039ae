use std::collections::HashMap;

use quorate_genesis::Genesis;
use quorate_ledger::ReplicaId;
use quorate_network::PeerKey;

/// Maps between keys, which the network uses, and member indices, which ordering uses.
#[derive(Debug)]
pub(crate) struct Members {
    keys: Vec<PeerKey>,
    names: Vec<String>,
    indices: HashMap<PeerKey, ReplicaId>,
}

impl Members {
    pub(crate) fn of(genesis: &Genesis) -> Self {
        let committee = genesis.committee();
        let keys: Vec<PeerKey> = committee.members().iter().map(|key| PeerKey(*key.as_bytes())).collect();
        let indices = keys.iter().copied().zip(committee.replicas()).collect();
        let names = genesis.validators().iter().map(|validator| validator.name.clone()).collect();
        Members { keys, names, indices }
    }

    pub(crate) fn keys(&self) -> &[PeerKey] {
        &self.keys
    }

    pub(crate) fn key(&self, replica: ReplicaId) -> PeerKey {
        self.keys[replica.index()]
    }

    pub(crate) fn name(&self, replica: ReplicaId) -> &str {
        &self.names[replica.index()]
    }

    /// The name of the node with this key.
    pub(crate) fn name_of(&self, key: &PeerKey) -> &str {
        self.index(key).map_or("an observer", |replica| self.name(replica))
    }

    /// The index of a member. The network also connects observers, which have no index.
    pub(crate) fn index(&self, key: &PeerKey) -> Option<ReplicaId> {
        self.indices.get(key).copied()
    }
}
