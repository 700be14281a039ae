use std::collections::BTreeMap;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, BlockHash, Commit, ReplicaId, SignatureSet, Signed, Signers, Verified};

use crate::messages::statement::Vote;
use crate::messages::{CheckedProposal, Prepare};
use crate::time::Moment;
use crate::votes::prepared::PreparedCertificate;

/// What happened to a vote that was put into a tally.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recorded<T> {
    /// The first of its signer.
    New,
    /// The same once more.
    Repeated,
    /// The signer voted for another block before; that first vote, which stands (R4).
    Conflicting(Verified<Signed<T>>),
}

impl<T> Recorded<T> {
    pub(crate) fn is_conflicting(&self) -> bool {
        matches!(self, Recorded::Conflicting(_))
    }
}

/// The votes of one kind for one view and height: one per member, the first.
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

    pub(crate) fn all(&self) -> impl Iterator<Item = &Verified<Signed<T>>> {
        self.votes.values()
    }

    /// The first `count` signatures for this block, if there are as many: votes are counted by hash (R8).
    pub(crate) fn signatures_for(&self, block: &BlockHash, count: usize) -> Option<SignatureSet> {
        if self.votes.len() < count {
            return None; // asked after every step: most of the time this is the whole answer
        }
        let votes = self
            .votes
            .values()
            .filter(|vote| vote.body.ballot().block == *block || is(Mutant::VotesForAnyBlock))
            .map(|vote| (vote.signer, vote.signature))
            .collect();
        SignatureSet::first(count, &votes)
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

/// How far a proposal has come here. Each conclusion owns its proof.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    /// No proposal yet; votes may be here already (R11).
    #[default]
    Empty,
    /// Its parent is not accepted yet.
    Waiting { proposal: CheckedProposal, from: ReplicaId },
    /// The engine gets and checks its transactions.
    Examining { proposal: CheckedProposal },
    /// Good, but its time lies ahead of our clock by more than the tolerance (R6).
    Held { proposal: CheckedProposal, until: Moment },
    /// It breaks a rule, so it is never voted for. A certificate for it would still count: the block is then
    /// caught up.
    Refused { proposal: CheckedProposal },
    /// Accepted: our PRE-PREPARE or PREPARE is given.
    Accepted { proposal: CheckedProposal },
    /// Prepared, in order: our COMMIT is given.
    Prepared { proposal: CheckedProposal, certificate: Box<Verified<PreparedCertificate>> },
}

/// Everything known about one height in one view.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) stage: Stage,
    pub(crate) prepares: Tally<Prepare>,
    pub(crate) commits: Tally<Commit>,
    /// When the slot came to be, its proposal was accepted, or votes made the committed chain grow, whichever was
    /// last. What is younger than three eighths of a status interval is on its way and not lost (R14).
    pub(crate) since: Moment,
}

impl Slot {
    /// The first proposal seen, whatever became of it.
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

    /// Whether the first proposal seen here is for another block than this one.
    pub(crate) fn contradicts(&self, block: Option<BlockHash>) -> bool {
        self.proposal().zip(block).is_some_and(|(own, block)| own.ballot().block != block)
    }

    /// The proposal, if its body is here and it was accepted.
    pub(crate) fn accepted(&self) -> Option<&CheckedProposal> {
        match &self.stage {
            Stage::Accepted { proposal } | Stage::Prepared { proposal, .. } => Some(proposal),
            _ => None,
        }
    }

    /// Whether our COMMIT for this block was given in this view.
    pub(crate) fn committed_to(&self, block: &BlockHash) -> bool {
        matches!(&self.stage, Stage::Prepared { certificate, .. } if certificate.ballot().block == *block)
    }
}
