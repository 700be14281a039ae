use std::collections::HashMap;

use quorate_governance::{Config, Member};
use quorate_ledger::{PublicKey, ReplicaId};
use quorate_network::PeerKey;

/// The members of an epoch. Maps between keys, which the network uses, and member indices, which
/// ordering uses.
#[derive(Debug)]
pub(crate) struct Members {
    keys: Vec<PeerKey>,
    names: Vec<String>,
    indices: HashMap<PeerKey, ReplicaId>,
}

impl Members {
    pub(crate) fn of(config: &Config) -> Self {
        let key = |member: &Member| peer_key(&member.consensus_key);
        let keys: Vec<PeerKey> = config.members().iter().map(key).collect();
        let indices = keys.iter().copied().zip(config.committee().replicas()).collect();
        let names = config.members().iter().map(|member| member.name.to_string()).collect();
        Members { keys, names, indices }
    }

    pub(crate) fn keys(&self) -> &[PeerKey] {
        &self.keys
    }

    pub(crate) fn key(&self, replica: ReplicaId) -> PeerKey {
        self.keys[replica.index()]
    }

    /// The names of all members, in committee order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of a member, also for an index that no member has.
    pub(crate) fn name(&self, replica: ReplicaId) -> &str {
        self.names.get(replica.index()).map_or("an unknown member", String::as_str)
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

/// The key of a node as the network writes it.
pub(crate) fn peer_key(key: &PublicKey) -> PeerKey {
    PeerKey(*key.as_bytes())
}
