//! PRE-PREPARE and PREPARE, and proposals (R2).

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    Ballot, BlockSkeleton, Domain, Header, MAX_TRANSACTIONS, Signable, Signed, TransactionId, Verified,
    bounded,
};

/// PRE-PREPARE: its signer, the primary, proposes this block at this height in this view. It counts
/// as the primary's PREPARE (R9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PrePrepare(pub Ballot);

impl Signable for PrePrepare {
    const DOMAIN: Domain = Domain::PrePrepare;
}

/// PREPARE: its signer has accepted this proposal, and holds the whole body (R5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Prepare(pub Ballot);

impl Signable for Prepare {
    const DOMAIN: Domain = Domain::Prepare;
}

/// A PRE-PREPARE with its block skeleton. The signature covers the hash of the header, and the
/// header covers the ids.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Proposal {
    /// The signed PRE-PREPARE.
    pub vote: Signed<PrePrepare>,
    /// The proposed header.
    pub header: Header,
    /// The ids of its transactions, in order.
    #[borsh(deserialize_with = "bounded::<MAX_TRANSACTIONS, _, _>")]
    pub ids: Vec<TransactionId>,
}

/// A proposal of which the signature, the header and the ids were checked against each other.
/// Cloning shares the ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedProposal {
    vote: Verified<Signed<PrePrepare>>,
    skeleton: BlockSkeleton,
}

impl CheckedProposal {
    /// Joins a verified PRE-PREPARE with its block skeleton.
    pub(crate) fn new(vote: Verified<Signed<PrePrepare>>, skeleton: BlockSkeleton) -> Self {
        assert_eq!(vote.body.0.block, skeleton.hash(), "the vote must be for this block skeleton");
        CheckedProposal { vote, skeleton }
    }

    /// The primary's PRE-PREPARE.
    pub fn vote(&self) -> &Verified<Signed<PrePrepare>> {
        &self.vote
    }

    /// The ballot of the PRE-PREPARE.
    pub fn ballot(&self) -> &Ballot {
        &self.vote.body.0
    }

    /// The block skeleton: header and ids.
    pub fn skeleton(&self) -> &BlockSkeleton {
        &self.skeleton
    }
}
