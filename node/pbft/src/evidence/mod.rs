//! Evidence against faulty members (R22).

pub(crate) mod accuse;
pub(crate) mod crossing;
pub(crate) mod hiding;
pub(crate) mod proof;
pub(crate) mod superseded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quorate_ledger::{Height, ReplicaId, Signed, Verified, View};

use self::proof::Evidence;
use self::superseded::{FinalProposals, final_other_than};
use crate::messages::proposal::PrePrepare;
use crate::messages::statement::{Statement, Subject};

/// Proofs that are kept against one member (R22c). One is enough; more would only use memory.
pub(crate) const PROOFS_MAX: usize = 16;

/// Final heights whose PRE-PREPARE is remembered (R14d). A fast network orders fewer while a
/// replica fetches a certified block and sends STATUS.
const FINAL_PROPOSALS_MAX: usize = 256;

/// The faults that are proven, and the proposals that may still prove one.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// For each faulty member, the subjects of the evidence against it.
    accused: BTreeMap<ReplicaId, BTreeSet<Subject>>,
    of_final: Arc<FinalProposals>,
    /// The last superseded proposal: another block became final in its place, in its view (R14d).
    superseded: Option<Verified<Signed<PrePrepare>>>,
}

/// The result of adding evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is new, and kept.
    New,
    /// It is new, but there are enough proofs against its member.
    Full,
    /// There is evidence about this subject already.
    Known,
}

impl Faults {
    /// The subjects of the evidence against this member.
    pub(crate) fn of(&self, member: ReplicaId) -> Option<&BTreeSet<Subject>> {
        self.accused.get(&member)
    }

    /// Whether there is evidence against this member about this subject.
    pub(crate) fn is_proven(&self, member: ReplicaId, subject: &Subject) -> bool {
        self.of(member).is_some_and(|known| known.contains(subject))
    }

    /// Keeps evidence, at most [`PROOFS_MAX`] proofs against one member. Only one of them may be
    /// for a hidden certificate, because it contains a whole VIEW-CHANGE and can be long.
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

    /// Restores evidence after a restart.
    pub(crate) fn restore(&mut self, evidence: &Evidence) {
        self.accused.entry(evidence.culprit()).or_default().insert(evidence.subject());
    }

    /// Remembers the PRE-PREPARE of a block that became final in the view of that PRE-PREPARE.
    pub(crate) fn keep_final(&mut self, height: Height, vote: Verified<Signed<PrePrepare>>) {
        let of_final = Arc::make_mut(&mut self.of_final);
        of_final.insert(height, vote);
        while of_final.len() > FINAL_PROPOSALS_MAX {
            of_final.pop_first();
        }
    }

    /// Remembers a superseded proposal.
    pub(crate) fn keep_superseded(&mut self, vote: Verified<Signed<PrePrepare>>) {
        self.superseded = Some(vote);
    }

    /// The last superseded proposal, if it is of this view and there is no evidence about it yet.
    pub(crate) fn superseded_in(&self, view: View) -> Option<&Verified<Signed<PrePrepare>>> {
        let vote = self.superseded.as_ref().filter(|vote| vote.body.0.view == view)?;
        (!self.is_proven(vote.signer, &vote.body.subject())).then_some(vote)
    }

    /// The PRE-PREPARE of the final block that this one contradicts: same view and height, another
    /// block.
    pub(crate) fn final_other_than(&self, vote: &PrePrepare) -> Option<&Verified<Signed<PrePrepare>>> {
        final_other_than(&self.of_final, &vote.0)
    }

    /// The PRE-PREPAREs of final blocks that are remembered.
    pub(crate) fn final_proposals(&self) -> Arc<FinalProposals> {
        Arc::clone(&self.of_final)
    }
}
