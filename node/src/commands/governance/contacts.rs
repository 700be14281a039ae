//! Who is connected and has caught up, as the node that was asked sees it, and what that means for a
//! proposal.

use quorate_api::{Arithmetic, ChangeJson, GovernanceStatus, NodeStatus, PeerJson};
use quorate_ledger::PublicKey;
use serde::Serialize;

/// More blocks behind than this is too far to vote in time.
const MAX_BEHIND: u64 = 16;

/// A member or candidate, as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Contact {
    pub(super) name: String,
    /// Whether it is connected and has the newest blocks.
    pub(super) is_up: bool,
    /// In words.
    pub(super) state: String,
}

/// How well the network can stand failures, by what the node sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Contacts {
    /// The members after the change, or now if nothing changes.
    pub(super) members: Vec<Contact>,
    /// What happens if one more member fails.
    pub(super) if_one_more_fails: String,
}

/// What a node reports about itself and its peers.
pub(super) struct Sight<'a> {
    pub(super) node: &'a NodeStatus,
    pub(super) peers: &'a [PeerJson],
}

impl Sight<'_> {
    fn contact(&self, name: &str, key: &PublicKey) -> Contact {
        let contact = |is_up, state: String| Contact { name: name.to_owned(), is_up, state };
        if *key == self.node.public_key {
            return contact(!self.node.syncing, "the node that was asked".to_owned());
        }
        let Some(peer) = self.peers.iter().find(|peer| peer.public_key == *key) else {
            return contact(false, "unknown to the node that was asked".to_owned());
        };
        match (peer.connected, peer.blocks_behind) {
            (false, _) => contact(false, "not connected".to_owned()),
            (true, Some(behind)) if behind > MAX_BEHIND => contact(false, format!("{behind} blocks behind")),
            (true, _) => contact(true, "connected".to_owned()),
        }
    }
}

/// The members that the changes lead to, and what one more failure would do. `after` is their
/// arithmetic.
pub(super) fn contacts(
    sight: &Sight<'_>,
    status: &GovernanceStatus,
    changes: &[ChangeJson],
    after: &Arithmetic,
) -> Contacts {
    let mut members: Vec<(String, PublicKey)> =
        status.members.iter().map(|member| (member.name.clone(), member.consensus_key)).collect();
    for change in changes {
        match change {
            ChangeJson::AddMember { name, consensus_key, .. } => members.push((name.clone(), *consensus_key)),
            ChangeJson::RemoveMember { name } => members.retain(|(other, _)| other != name),
            ChangeJson::ReplaceKeys { name, consensus_key: Some(key), .. } => {
                members.iter_mut().filter(|(other, _)| other == name).for_each(|(_, old)| *old = *key);
            }
            _ => {}
        }
    }
    let members: Vec<Contact> = members.iter().map(|(name, key)| sight.contact(name, key)).collect();
    let up = members.iter().filter(|member| member.is_up).count();
    let if_one_more_fails = consequence(up, usize::try_from(after.quorum).unwrap_or(usize::MAX));
    Contacts { members, if_one_more_fails }
}

fn consequence(up: usize, quorum: usize) -> String {
    match up.checked_sub(quorum) {
        None => format!("ordering stops even without it: only {up} members are up, and {quorum} are needed"),
        Some(0) => format!("ordering stops: exactly the {quorum} members are up that are needed"),
        Some(1) => format!("ordering continues, with exactly the {quorum} members that are needed"),
        Some(spare) => format!("ordering continues: {} more may fail after it", spare - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_consequence_of_a_failure_depends_on_who_is_up() {
        for (up, quorum, said) in [
            (2, 3, "even without it: only 2"),
            (3, 3, "exactly the 3 members are up"),
            (4, 3, "continues, with exactly the 3"),
            (7, 5, "1 more may fail"),
        ] {
            let text = consequence(up, quorum);
            assert!(text.contains(said), "{text}");
        }
    }
}
