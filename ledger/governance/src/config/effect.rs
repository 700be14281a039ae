//! Decided changes, as they wait for the height at which they take effect.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{PublicKey, bounded};

use crate::limits::{MAX_CANDIDATES, MAX_CHANGES};
use crate::operations::{Change, Name, ProposalId, Quota};

/// A decided change of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Effect {
    /// A quorum approved a proposal.
    Decision {
        /// The proposal.
        proposal: ProposalId,
        /// Its changes.
        #[borsh(deserialize_with = "bounded::<MAX_CHANGES, _, _>")]
        changes: Vec<Change>,
    },
    /// A member replaces its consensus key. If it has one key for both purposes, the new one serves
    /// both as well, so that a stolen key is of no further use.
    Rotation {
        /// The member.
        member: Name,
        /// The new key.
        consensus_key: PublicKey,
    },
    /// A member starts a new epoch with the same keys.
    Renewal {
        /// The member.
        member: Name,
    },
    /// A member adds a client.
    AddClient {
        /// The member.
        member: Name,
        /// The name of the client.
        name: Name,
        /// The key of the client.
        key: PublicKey,
    },
    /// A member removes a client.
    RemoveClient {
        /// The member.
        member: Name,
        /// The key of the client.
        key: PublicKey,
    },
    /// A member limits a client.
    SetClientQuota {
        /// The member.
        member: Name,
        /// The key of the client.
        key: PublicKey,
        /// The limit.
        quota: Option<Quota>,
    },
    /// The candidates of the open proposals, in ascending order.
    SetCandidates {
        /// All of them.
        #[borsh(deserialize_with = "bounded::<MAX_CANDIDATES, _, _>")]
        keys: Vec<PublicKey>,
    },
}

impl Effect {
    /// Whether it starts a new epoch.
    pub fn starts_epoch(&self) -> bool {
        match self {
            Effect::Decision { changes, .. } => changes.iter().any(Change::starts_epoch),
            Effect::Rotation { .. } | Effect::Renewal { .. } => true,
            Effect::AddClient { .. }
            | Effect::RemoveClient { .. }
            | Effect::SetClientQuota { .. }
            | Effect::SetCandidates { .. } => false,
        }
    }

    /// The member that changes its clients.
    pub(crate) fn client_change_of(&self) -> Option<&Name> {
        match self {
            Effect::AddClient { member, .. }
            | Effect::RemoveClient { member, .. }
            | Effect::SetClientQuota { member, .. } => Some(member),
            Effect::Decision { .. }
            | Effect::Rotation { .. }
            | Effect::Renewal { .. }
            | Effect::SetCandidates { .. } => None,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Decision { proposal, changes } => {
                write!(f, "proposal {proposal} with {} changes", changes.len())
            }
            Effect::Rotation { member, consensus_key } => {
                write!(f, "member {member} gets the consensus key {consensus_key}")
            }
            Effect::Renewal { member } => write!(f, "member {member} starts a new epoch"),
            Effect::AddClient { member, name, key } => write!(f, "member {member} adds client {name}, {key}"),
            Effect::RemoveClient { member, key } => write!(f, "member {member} removes client {key}"),
            Effect::SetClientQuota { member, key, .. } => {
                write!(f, "member {member} sets the quota of client {key}")
            }
            Effect::SetCandidates { keys } => write!(f, "{} candidates may send READY", keys.len()),
        }
    }
}
