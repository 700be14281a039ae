//! Changes that need the approval of a quorum.

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::PublicKey;

use crate::operations::Name;
use crate::parameters::{ParameterName, Submit};

/// One change of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Change {
    /// Adds a member. It must be ready.
    AddMember {
        /// Its name, which no other member has.
        name: Name,
        /// The key with which it will sign votes.
        consensus_key: PublicKey,
        /// The key with which it will sign governance operations. It may be the consensus key.
        governance_key: PublicKey,
    },
    /// Removes a member and its clients.
    RemoveMember {
        /// Its name.
        name: Name,
    },
    /// Replaces one or both keys of a member, for example because its governance key is lost. A new
    /// consensus key must be ready.
    ReplaceKeys {
        /// Its name.
        name: Name,
        /// The new consensus key; `None` to keep it.
        consensus_key: Option<PublicKey>,
        /// The new governance key; `None` to keep it.
        governance_key: Option<PublicKey>,
    },
    /// Revokes a client of any member. Its key stays in the registry as revoked, so that no member
    /// can add it again.
    RevokeClient {
        /// Its key.
        key: PublicKey,
    },
    /// Sets a parameter.
    SetParameter {
        /// Which one.
        parameter: ParameterName,
        /// Its new value.
        value: u64,
    },
    /// Sets whose transactions the network accepts.
    SetSubmitMode {
        /// The new mode.
        mode: Submit,
    },
}

impl Change {
    /// Whether the change starts a new epoch: it changes members, keys, or a parameter for which
    /// [`ParameterName::starts_epoch`] holds.
    pub fn starts_epoch(&self) -> bool {
        match self {
            Change::AddMember { .. } | Change::RemoveMember { .. } | Change::ReplaceKeys { .. } => true,
            Change::SetParameter { parameter, .. } => parameter.starts_epoch(),
            Change::RevokeClient { .. } | Change::SetSubmitMode { .. } => false,
        }
    }

    /// The member that is added, removed or gets new keys.
    pub fn member(&self) -> Option<&Name> {
        match self {
            Change::AddMember { name, .. }
            | Change::RemoveMember { name }
            | Change::ReplaceKeys { name, .. } => Some(name),
            Change::RevokeClient { .. } | Change::SetParameter { .. } | Change::SetSubmitMode { .. } => None,
        }
    }

    /// The key that must be ready before the change is decided.
    pub fn candidate(&self) -> Option<PublicKey> {
        match self {
            Change::AddMember { consensus_key, .. } => Some(*consensus_key),
            Change::ReplaceKeys { consensus_key, .. } => *consensus_key,
            _ => None,
        }
    }
}
