//! Proofs that a replica is faulty (R22).

pub(crate) mod accuse;
pub(crate) mod hiding;
pub(crate) mod proof;
pub(crate) mod superseded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_ledger::{Height, ReplicaId, Signed, Verified, View};

use self::proof::Evidence;
use self::superseded::{FinalProposals, final_other_than};
use crate::messages::PrePrepare;
use crate::messages::statement::{Statement, Subject};

/// Proofs kept against one member. More would prove nothing more (R22).
pub(crate) const PROOFS_MAX: usize = 16;

/// Heights whose final proposal is remembered. More than a fast network orders while a certified block is fetched and a
/// STATUS is sent.
const FINAL_PROPOSALS_MAX: usize = 256;

/// The faults that are proven, and the proposals that may still prove one.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// For each faulty member the statements about which it is proven.
    accused: BTreeMap<ReplicaId, BTreeSet<Subject>>,
    of_final: Arc<FinalProposals>,
    /// The last PRE-PREPARE received here in the place of which another block became final in the same view.
    superseded: Option<Verified<Signed<PrePrepare>>>,
}

/// What became of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is new, and kept.
    New,
    /// It is new, and there are enough proofs against its culprit.
    Full,
    /// The same fault was proven before.
    Known,
}

impl Faults {
    /// The statements about which this member is proven faulty.
    pub(crate) fn of(&self, member: ReplicaId) -> Option<&BTreeSet<Subject>> {
        self.accused.get(&member)
    }

    /// Whether a member is proven faulty about this statement.
    pub(crate) fn is_proven(&self, member: ReplicaId, subject: &Subject) -> bool {
        self.of(member).is_some_and(|known| known.contains(subject))
    }

    /// Keeps evidence, at most [`PROOFS_MAX`] about one member. Of hidden certificates one proof is kept, which holds a
    /// whole VIEW-CHANGE and can be long.
    pub(crate) fn keep(&mut self, evidence: &Evidence) -> Kept {
        let proofs = self.accused.entry(evidence.culprit()).or_default();
        let subject = evidence.subject();
        let hidden_before =
            subject.is_hidden_certificate() && proofs.iter().any(Subject::is_hidden_certificate);
        if proofs.contains(&subject) || hidden_before {
            return Kept::Known;
        }
        if proofs.len() >= PROOFS_MAX {
            return Kept::Full;
        }
        proofs.insert(subject);
        Kept::New
    }

    /// Takes a record back after a restart.
    pub(crate) fn restore(&mut self, evidence: &Evidence) {
        self.accused.entry(evidence.culprit()).or_default().insert(evidence.subject());
    }

    /// A block became final with this proposal, in the proposal's view.
    pub(crate) fn keep_final(&mut self, height: Height, vote: Verified<Signed<PrePrepare>>) {
        let of_final = Arc::make_mut(&mut self.of_final);
        of_final.insert(height, vote);
        while of_final.len() > FINAL_PROPOSALS_MAX {
            of_final.pop_first();
        }
    }

    /// Another block became final in the place of this proposal, in its view.
    pub(crate) fn keep_superseded(&mut self, vote: Verified<Signed<PrePrepare>>) {
        self.superseded = Some(vote);
    }

    /// The last superseded proposal, if it is of this view, and its signer is not proven faulty by it.
    pub(crate) fn superseded_in(&self, view: View) -> Option<&Verified<Signed<PrePrepare>>> {
        let vote = self.superseded.as_ref().filter(|vote| vote.body.0.view == view)?;
        (!self.is_proven(vote.signer, &vote.body.subject())).then_some(vote)
    }

    /// The final proposal that contradicts this one: of the same view and height, for another block.
    pub(crate) fn final_other_than(&self, vote: &PrePrepare) -> Option<&Verified<Signed<PrePrepare>>> {
        final_other_than(&self.of_final, &vote.0)
    }

    /// The proposals of final blocks that are remembered.
    pub(crate) fn final_proposals(&self) -> Arc<FinalProposals> {
        Arc::clone(&self.of_final)
    }
}
