//! Whose transactions a change of the configuration may forbid.

use std::collections::BTreeSet;

use quorate_ledger::PublicKey;

use super::{Config, Effect};
use crate::operations::Change;

/// The senders whose transactions a new configuration may forbid although the one before permitted them.
///
/// One member alone may change its clients in every block. So a node must not look through its whole
/// pool for that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Affected {
    /// None.
    #[default]
    Nothing,
    /// Only these.
    Senders(BTreeSet<PublicKey>),
    /// Any. Only a quorum, or a member that starts an epoch, causes this.
    Everything,
}

impl Affected {
    /// What this and another change affect together.
    #[must_use]
    pub fn and(self, other: Affected) -> Affected {
        match (self, other) {
            (Affected::Nothing, same) | (same, Affected::Nothing) => same,
            (Affected::Senders(mut senders), Affected::Senders(more)) => {
                senders.extend(more);
                Affected::Senders(senders)
            }
            (Affected::Everything, _) | (_, Affected::Everything) => Affected::Everything,
        }
    }

    fn sender(key: PublicKey) -> Self {
        Affected::Senders(BTreeSet::from([key]))
    }
}

impl Config {
    /// Whose transactions this effect may forbid, when it changes this configuration.
    pub fn affected_by(&self, effect: &Effect) -> Affected {
        match effect {
            Effect::AddClient { .. } => Affected::Nothing,
            Effect::RemoveClient { key, .. } | Effect::SetClientQuota { key, .. } => Affected::sender(*key),
            Effect::SetCandidates { keys } => {
                let stay: BTreeSet<PublicKey> = keys.iter().copied().collect();
                let gone: BTreeSet<PublicKey> = self.candidates().difference(&stay).copied().collect();
                if gone.is_empty() { Affected::Nothing } else { Affected::Senders(gone) }
            }
            Effect::Decision { changes, .. } => {
                let all = changes.iter().map(|change| match change {
                    Change::RevokeClient { key } => Affected::sender(*key),
                    Change::AddMember { .. }
                    | Change::RemoveMember { .. }
                    | Change::ReplaceKeys { .. }
                    | Change::SetParameter { .. }
                    | Change::SetSubmitMode { .. } => Affected::Everything,
                });
                all.fold(Affected::Nothing, Affected::and)
            }
            Effect::Rotation { .. } | Effect::Renewal { .. } => Affected::Everything,
        }
    }
}
