use std::collections::BTreeMap;

use quorate_ledger::{Ballot, BlockHash, Commit, ReplicaId, Signed, Signers, Verified};

use crate::messages::proposal::{CheckedProposal, Prepare};
use crate::messages::statement::Vote;
use crate::time::Moment;
use crate::votes::prepared::PreparedCertificate;

/// The result of adding a vote to a tally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded<T> {
    /// It is the first vote of its signer.
    New,
    /// The signer sent this vote before.
    Repeated,
    /// The signer voted for another block before. Contains that first vote, which the tally keeps
    /// (R4).
    Conflicting(Verified<Signed<T>>),
}

impl<T> Recorded<T> {
    pub(crate) fn is_conflicting(&self) -> bool {
        matches!(self, Recorded::Conflicting(_))
    }
}

/// The votes of one kind for one view and height: the first vote of each member.
#[derive(Debug)]
pub(crate) struct Tally<T> {
    votes: BTreeMap<ReplicaId, Verified<Signed<T>>>,
}

impl<T> Default for Tally<T> {
    fn default() -> Self {
        Tally { votes: BTreeMap::new() }
    }
}

impl<T: Vote> Tally<T> {
    pub(crate) fn record(&mut self, vote: Verified<Signed<T>>) -> Recorded<T> {
        match self.votes.get(&vote.signer) {
            None => {
                self.votes.insert(vote.signer, vote);
                Recorded::New
            }
            Some(first) if first.body.ballot() == vote.body.ballot() => Recorded::Repeated,
            Some(first) => Recorded::Conflicting(first.clone()),
        }
    }

    pub(crate) fn of(&self, replica: ReplicaId) -> Option<&Verified<Signed<T>>> {
        self.votes.get(&replica)
    }

    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = &Verified<Signed<T>>> {
        self.votes.values()
    }

    /// A block with at least `count` votes. With `count` a quorum there is at most one (R1).
    pub(crate) fn block_with(&self, count: usize) -> Option<Ballot> {
        if self.votes.len() < count {
            return None;
        }
        let mut counts: BTreeMap<&Ballot, usize> = BTreeMap::new();
        for vote in self.votes.values() {
            *counts.entry(vote.body.ballot()).or_default() += 1;
        }
        counts.into_iter().find(|(_, votes)| *votes >= count).map(|(ballot, _)| *ballot)
    }

    pub(crate) fn signers(&self) -> Signers {
        Signers::of(self.votes.keys().copied())
    }
}

/// Progress of the proposal in its slot. Each stage contains the proof of what it claims.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// No proposal yet. Votes may be here already (R11).
    #[default]
    Empty,
    /// Waits until its parent is accepted (R3).
    Waiting { proposal: CheckedProposal, from: ReplicaId },
    /// The engine fetches and checks its transactions (R5).
    Examining { proposal: CheckedProposal },
    /// Valid, but its time and the wall clock differ by more than permitted (R6).
    Held { proposal: CheckedProposal, until: Moment },
    /// It breaks a rule, so the replica never votes for it. If a quorum certifies the block all the
    /// same, it is final, and the replica fetches it (R5).
    Refused { proposal: CheckedProposal },
    /// Accepted. This replica has signed its PRE-PREPARE or PREPARE.
    Accepted { proposal: CheckedProposal },
    /// Prepared, and so are its uncommitted ancestors. This replica has signed its COMMIT (R10).
    Prepared { proposal: CheckedProposal, certificate: Box<Verified<PreparedCertificate>> },
}

/// What the replica knows about one height in one view.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) stage: Stage,
    pub(crate) prepares: Tally<Prepare>,
    pub(crate) commits: Tally<Commit>,
    /// The last activity: the slot was created, its proposal was accepted, or votes extended the
    /// committed chain. Messages are not resent within three eighths of a status interval of it,
    /// because they may be in flight (R14b).
    pub(crate) since: Moment,
}

impl Slot {
    /// The first proposal received, whatever its stage.
    pub(crate) fn proposal(&self) -> Option<&CheckedProposal> {
        match &self.stage {
            Stage::Empty => None,
            Stage::Waiting { proposal, .. }
            | Stage::Examining { proposal }
            | Stage::Held { proposal, .. }
            | Stage::Refused { proposal }
            | Stage::Accepted { proposal }
            | Stage::Prepared { proposal, .. } => Some(proposal),
        }
    }

    /// Whether the proposal here is for another block than this one.
    pub(crate) fn contradicts(&self, block: Option<BlockHash>) -> bool {
        self.proposal().zip(block).is_some_and(|(own, block)| own.ballot().block != block)
    }

    /// The proposal, if it is accepted.
    pub(crate) fn accepted(&self) -> Option<&CheckedProposal> {
        match &self.stage {
            Stage::Accepted { proposal } | Stage::Prepared { proposal, .. } => Some(proposal),
            _ => None,
        }
    }

    /// Whether this replica sent COMMIT for this block in this view.
    pub(crate) fn committed_to(&self, block: &BlockHash) -> bool {
        matches!(&self.stage, Stage::Prepared { certificate, .. } if certificate.ballot().block == *block)
    }
}
