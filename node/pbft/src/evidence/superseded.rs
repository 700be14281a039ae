//! Equivocation of a primary that is found when one of the two blocks is final (R14d, R22a).
//!
//! A faulty primary may send one block to most members and another one to a few. The few see the
//! first block become final, and drop their own. Without this module both proposals would be
//! forgotten before they meet. Every replica therefore remembers the PRE-PREPAREs of the last final
//! heights, and a replica whose proposal was superseded sends that PRE-PREPARE in its STATUS.

use std::collections::BTreeMap;

use quorate_ledger::{Ballot, Header, Height, Signed, Verified, View};

use crate::evidence::proof::Evidence;
use crate::messages::proposal::PrePrepare;
use crate::replica::Replica;
use crate::step::Step;

/// The PRE-PREPAREs of final blocks, each of the view in which its block became final. Positions
/// share them (R25a).
pub(crate) type FinalProposals = BTreeMap<Height, Verified<Signed<PrePrepare>>>;

impl Replica {
    /// Blocks become final with a certificate of this view. Remembers their PRE-PREPAREs, or the
    /// ones that they supersede, before the slots are dropped.
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
                // R14d: at once, because others remember the final proposal only for 256 heights.
                self.peers.hurry_status();
            }
        }
    }

    /// Upon a proposal for a final height: it is evidence if another block became final in the same
    /// view.
    pub(crate) fn accuse_of_other_than_final(
        &mut self,
        other: &Verified<Signed<PrePrepare>>,
        step: &mut Step,
    ) {
        if let Some(ours) = self.faults.final_other_than(&other.body) {
            let evidence = Evidence::of_pair(Evidence::PrePrepare, ours, other);
            self.accuse(&evidence, step);
        }
    }
}

/// The remembered PRE-PREPARE for another block at the height and in the view of this ballot.
pub(crate) fn final_other_than<'a>(
    of_final: &'a FinalProposals,
    ballot: &Ballot,
) -> Option<&'a Verified<Signed<PrePrepare>>> {
    let ours = of_final.get(&ballot.height)?;
    let (view, block) = (ours.body.0.view, ours.body.0.block);
    (view == ballot.view && block != ballot.block).then_some(ours)
}
