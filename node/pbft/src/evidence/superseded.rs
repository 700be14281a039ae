//! Proposals of one primary that contradict each other and are found when one of them is final already (R14, R22).
//!
//! A primary may send one block to most members and another one to a few. The few see the first become final, and drop
//! theirs. Both would be forgotten before they meet: so the last proposals that became final are remembered by their
//! signed PRE-PREPAREs, and a replica whose own was superseded shows that one in its STATUS.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_ledger::{Ballot, Header, Height, Signed, Verified, View};

use crate::evidence::proof::{Evidence, pair};
use crate::messages::PrePrepare;
use crate::messages::statement::Statement;
use crate::replica::Replica;
use crate::step::Step;

/// Heights whose final proposal is remembered. More than a fast network orders while a certified block is fetched and a
/// STATUS is sent.
const FINAL_PROPOSALS_MAX: usize = 256;

/// The PRE-PREPAREs of final blocks, in the views in which they became final. Positions share them (R25).
pub(crate) type FinalProposals = BTreeMap<Height, Verified<Signed<PrePrepare>>>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Superseded {
    of_final: Arc<FinalProposals>,
    /// The last PRE-PREPARE seen here in the place of which another block became final in the same view.
    last: Option<Verified<Signed<PrePrepare>>>,
}

impl Replica {
    /// Blocks become final with a certificate of this view. Their slots are about to go.
    pub(crate) fn note_final(&mut self, headers: &[Header], view: View) {
        for header in headers {
            let slot = self.log.slots.get(&(header.height, view));
            let Some(vote) = slot.and_then(|slot| slot.proposal()).map(|proposal| proposal.vote().clone())
            else {
                continue;
            };
            if vote.body.0.block == header.hash() {
                Arc::make_mut(&mut self.evidence.superseded.of_final).insert(header.height, vote);
            } else if view == self.views.view {
                self.evidence.superseded.last = Some(vote);
                // Others remember the final one for a while only.
                self.peers.status_sent = None;
            }
        }
        while self.evidence.superseded.of_final.len() > FINAL_PROPOSALS_MAX {
            Arc::make_mut(&mut self.evidence.superseded.of_final).pop_first();
        }
    }

    /// For STATUS: the proposal of the current view that was superseded, while its primary is not proven a liar by it.
    pub(crate) fn unproven_superseded(&self) -> Option<Signed<PrePrepare>> {
        let vote =
            self.evidence.superseded.last.as_ref().filter(|vote| vote.body.0.view == self.views.view)?;
        let proven =
            self.evidence.accused.get(&vote.signer).is_some_and(|known| known.contains(&vote.body.subject()));
        (!proven).then(|| vote.clone().into_inner())
    }

    /// A proposal for a height that is final: if the final one is of the same view and another one, its signer is proven
    /// faulty.
    pub(crate) fn accuse_of_other_than_final(
        &mut self,
        other: &Verified<Signed<PrePrepare>>,
        step: &mut Step,
    ) {
        if let Some(ours) = final_other_than(&self.evidence.superseded.of_final, &other.body.0) {
            let evidence = Evidence::PrePrepare(pair(ours, other));
            self.accuse(&evidence, step);
        }
    }

    /// The proposals of final blocks that are remembered.
    pub(crate) fn final_proposals(&self) -> Arc<FinalProposals> {
        Arc::clone(&self.evidence.superseded.of_final)
    }
}

/// The proposal among these for another block than this ballot's, in its view and at its height.
pub(crate) fn final_other_than<'a>(
    of_final: &'a FinalProposals,
    ballot: &Ballot,
) -> Option<&'a Verified<Signed<PrePrepare>>> {
    let ours = of_final.get(&ballot.height)?;
    let (view, block) = (ours.body.0.view, ours.body.0.block);
    (view == ballot.view && block != ballot.block).then_some(ours)
}
