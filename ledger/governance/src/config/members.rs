//! The members of an epoch.

use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{Committee, CommitteeError, Epoch, MAX_MEMBERS, PublicKey};

use crate::operations::Name;
use crate::outcome::Reason;

/// The smallest committee that tolerates a faulty member.
pub(crate) const FAULT_TOLERANT: usize = 4;

/// A member. Its name identifies it, while its keys may be replaced.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Its name.
    pub name: Name,
    /// The key with which it signs votes.
    pub consensus_key: PublicKey,
    /// The key with which it signs governance operations. It may be the consensus key.
    pub governance_key: PublicKey,
}

/// How many members decide, and how many may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuorumArithmetic {
    /// n.
    pub members: usize,
    /// f: members that may be faulty in any way.
    pub faults: usize,
    /// q: votes that decide.
    pub quorum: usize,
    /// n - q: members that may be down while the others order blocks.
    pub may_be_down: usize,
}

impl QuorumArithmetic {
    /// The arithmetic of a committee.
    pub fn of(committee: &Committee) -> Self {
        QuorumArithmetic {
            members: committee.size(),
            faults: committee.faults(),
            quorum: committee.quorum(),
            may_be_down: committee.may_be_down(),
        }
    }
}

/// Checked members of an epoch in the order of their consensus keys, whatever the order in which they
/// joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members {
    list: Vec<Member>,
    committee: Committee,
}

impl Members {
    /// Sorts and checks the members: 1 to 31 of them, distinct names, and distinct keys that are
    /// points of the curve. Only the two keys of one member may be equal.
    ///
    /// # Errors
    /// The [`Reason`] of an operation that would lead to these members.
    pub(crate) fn new(epoch: Epoch, mut list: Vec<Member>, allows_small: bool) -> Result<Self, Reason> {
        if list.len() > MAX_MEMBERS {
            return Err(Reason::CommitteeTooLarge);
        }
        if list.is_empty() || (list.len() < FAULT_TOLERANT && !allows_small) {
            return Err(Reason::CommitteeTooSmall);
        }
        list.sort_by_key(|member| member.consensus_key);
        let (mut names, mut keys) = (BTreeSet::new(), BTreeSet::new());
        for member in &list {
            if !names.insert(&member.name) {
                return Err(Reason::NameTaken);
            }
            if !member.keys().into_iter().all(|key| keys.insert(key)) {
                return Err(Reason::KeyInUse);
            }
            member.governance_key.parse().map_err(|_| Reason::BadKey)?;
        }
        let committee = Committee::new(epoch, list.iter().map(|member| member.consensus_key).collect());
        let committee = committee.map_err(|error| match error {
            CommitteeError::Key(_) => Reason::BadKey,
            CommitteeError::Order(_) => Reason::KeyInUse,
            CommitteeError::Size(_) => Reason::CommitteeTooLarge,
        })?;
        Ok(Members { list, committee })
    }

    /// The same members in another epoch.
    pub(crate) fn in_epoch(&self, epoch: Epoch) -> Self {
        Members { committee: self.committee.in_epoch(epoch), list: self.list.clone() }
    }

    pub(crate) fn list(&self) -> &[Member] {
        &self.list
    }

    pub(crate) fn committee(&self) -> &Committee {
        &self.committee
    }

    /// All keys of all members.
    pub(crate) fn keys(&self) -> BTreeSet<PublicKey> {
        self.list.iter().flat_map(Member::keys).collect()
    }
}

impl Member {
    /// Its keys, each once.
    fn keys(&self) -> BTreeSet<PublicKey> {
        BTreeSet::from([self.consensus_key, self.governance_key])
    }
}

/// Whether any quorum of the old committee and any quorum of the new one share a member that is
/// correct if neither committee has more faulty members than it tolerates.
///
/// Two quorums have at least q members of the old committee and q' of the new one. They are drawn
/// from the n members of the old committee and those that were added, so they share at least
/// q + q' - (n + added) members, of which at most min(f, f') are faulty. A member with new keys is
/// the same member. For more than one change this is stricter than "at most f": if two members are
/// added to seven, the quorums share two members, and both may be faulty.
pub(crate) fn quorums_share_a_correct_member(old: &Members, new: &Members) -> bool {
    let is_new = |member: &&Member| old.list.iter().all(|before| before.name != member.name);
    let added = new.list.iter().filter(is_new).count();
    let (old, new) = (&old.committee, &new.committee);
    let faulty = old.faults().min(new.faults());
    old.quorum() + new.quorum() > old.size() + added + faulty
}
