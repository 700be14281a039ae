//! Proposals of one primary that contradict each other and are found when one of them is final already (R14, R22).
//!
//! A primary may send one block to most members and another one to a few. The few see the first become final, and drop
//! theirs. Both would be forgotten before they meet. So the last proposals that became final are remembered by their
//! signed PRE-PREPAREs, and a replica whose own proposal was superseded shows it in its STATUS.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, Header, Height, Signed, Verified, View};

use crate::evidence::proof::{Evidence, pair};
use crate::messages::PrePrepare;
use crate::replica::Replica;
use crate::step::Step;

/// The PRE-PREPAREs of final blocks, in the views in which they became final. Positions share them (R25).
pub(crate) type FinalProposals = BTreeMap<Height, Verified<Signed<PrePrepare>>>;

impl Replica {
    /// Blocks become final with a certificate of this view. Their slots are about to go.
    pub(crate) fn note_final(&mut self, headers: &[Header], view: View) {
        for header in headers {
            let slot = self.log.slot(header.height, view);
            let Some(vote) = slot.and_then(|slot| slot.proposal()).map(|proposal| proposal.vote().clone())
            else {
                continue;
            };
            if vote.body.0.block == header.hash() {
                self.faults.keep_final(header.height, vote);
            } else if view == self.views.view() {
                self.faults.keep_superseded(vote);
                // Others remember the final one for a while only.
                self.peers.hurry_status();
            }
        }
    }

    /// A proposal for a height that is final: if the final one is of the same view and another one, its signer is proven
    /// faulty.
    pub(crate) fn accuse_of_other_than_final(
        &mut self,
        other: &Verified<Signed<PrePrepare>>,
        step: &mut Step,
    ) {
        if let Some(ours) = self.faults.final_other_than(&other.body) {
            let evidence = Evidence::PrePrepare(pair(ours, other));
            self.accuse(&evidence, step);
        }
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
