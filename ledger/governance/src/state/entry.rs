//! The entries of the governance state: their keys and their values.

use std::collections::BTreeSet;
use std::io::Read;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{BlockHash, ChainId, Epoch, Height, MAX_SIGNATURES, PublicKey, bounded};

use crate::config::Effect;
use crate::limits::MAX_CHANGES;
use crate::operations::{Change, Name, ProposalId};

/// The key of an entry. Its canonical encoding, hashed, is the path of the entry in the state tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
pub enum EntryKey {
    /// The value is a [`Head`].
    Head,
    /// The value is a [`Settings`](crate::Settings).
    Settings,
    /// A member in force at the next height. The value is a [`Member`](crate::Member).
    Member(Name),
    /// A key that may send READY at the next height. The value is empty.
    Candidate(PublicKey),
    /// An open proposal. The value is a [`Proposal`].
    Proposal(ProposalId),
    /// A scheduled change, by its number. The value is a [`Scheduled`].
    Scheduled(u64),
    /// A candidate that sent READY. The value is the [`Height`] of the block that it named.
    Ready(PublicKey),
    /// A key that left the committee. The value is the first [`Epoch`] without it.
    Retired(PublicKey),
    /// The last rotation or renewal of a member. The value is the [`Height`] of its block.
    Renewal(Name),
    /// A client at the next height. The value is a [`Client`](crate::Client).
    Client(PublicKey),
}

impl EntryKey {
    /// Whether the entry is in the part of the clients.
    pub(crate) fn is_client(&self) -> bool {
        matches!(self, EntryKey::Client(_))
    }
}

/// What the state is the result of, and its counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Head {
    /// The chain.
    pub chain: ChainId,
    /// Height of the last executed block; 0 before block 1.
    pub height: Height,
    /// Hash of that block, or of the genesis header.
    pub block: BlockHash,
    /// The epoch of the next height.
    pub epoch: Epoch,
    /// The first height of this epoch.
    pub epoch_start: Height,
    /// The height at which changes take effect that the last block decided. It never decreases.
    pub effective: Height,
    /// Number of the next scheduled change.
    pub next_number: u64,
    /// Whether the committee may have fewer than four members.
    pub allows_small: bool,
}

/// Changes that wait for the approval of a quorum.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The member that made it.
    pub proposer: Name,
    /// Its changes.
    #[borsh(deserialize_with = "bounded::<MAX_CHANGES, _, _>")]
    pub changes: Vec<Change>,
    /// Height of the block that contains it.
    pub height: Height,
    /// The last height at which it can be approved.
    pub expires: Height,
    /// The governance keys of the members that approve it.
    #[borsh(deserialize_with = "approvals")]
    pub approvals: BTreeSet<PublicKey>,
}

/// Reads at most one approval of each member.
fn approvals<R: Read>(reader: &mut R) -> std::io::Result<BTreeSet<PublicKey>> {
    Ok(bounded::<MAX_SIGNATURES, _, _>(reader)?.into_iter().collect())
}

/// A decided change that has not taken effect.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Scheduled {
    /// The first height that the change judges.
    pub effective_from: Height,
    /// The change.
    pub effect: Effect,
}
