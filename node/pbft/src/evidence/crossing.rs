//! Evidence of crossed votes: a COMMIT, and a PREPARE or PRE-PREPARE of its signer for another
//! block, at the same height in the same view (R22a).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, Commit, ReplicaId, Signed, Verified};

use crate::evidence::proof::{Crossed, Evidence};
use crate::messages::proposal::{PrePrepare, Prepare};
use crate::messages::statement::{Statement, Vote};
use crate::replica::Replica;
use crate::step::Step;

impl Replica {
    /// Upon a vote of this member: compares all that is stored of the member at the height and in
    /// the view of that vote. So the order in which its votes arrive does not matter, and a message
    /// that is not stored finds nothing new (R25b).
    pub(crate) fn examine_crossing(&mut self, signer: ReplicaId, ballot: &Ballot, step: &mut Step) {
        // A replica does not accuse itself. Its signer refuses to cross votes (R4).
        if signer == self.signing.replica() || is(Mutant::CrossedVotesIgnored) {
            return;
        }
        if self.faults.is_proven(signer, &Commit(*ballot).subject()) {
            return; // one proof about this COMMIT is enough
        }
        if let Some(evidence) = self.crossed_votes(signer, ballot) {
            self.accuse_quietly(evidence, step);
        }
    }

    fn crossed_votes(&self, signer: ReplicaId, place: &Ballot) -> Option<Verified<Evidence>> {
        let commits: Vec<_> = self.commits_at(signer, place).collect();
        if commits.is_empty() {
            return None;
        }
        // R9: the PRE-PREPARE of the primary stands for its PREPARE. The replica ignores PREPAREs
        // of the primary, also here.
        if signer == self.config.context.committee.primary(place.view) {
            let crossed = first_crossed(self.pre_prepares_at(signer, place), &commits)?;
            Some(Evidence::of_crossed(Evidence::PrePrepareCommit, crossed))
        } else {
            let crossed = first_crossed(self.prepares_at(signer, place), &commits)?;
            Some(Evidence::of_crossed(Evidence::PrepareCommit, crossed))
        }
    }

    /// The stored COMMITs of a member at this place: the one in the slot, and the furthest one, which
    /// survives a restart and may be outside of the window (R24b). They differ only if the member
    /// equivocated. The same holds for the PREPAREs and PRE-PREPAREs below.
    fn commits_at(&self, signer: ReplicaId, place: &Ballot) -> impl Iterator<Item = &Signed<Commit>> {
        let slot = self.log.slot(place.height, place.view);
        let in_slot = slot.and_then(|slot| slot.commits.of(signer)).map(|vote| &**vote);
        let furthest = self.signing.seen_of(signer).and_then(|seen| seen.commit.as_ref());
        in_slot.into_iter().chain(furthest.filter(|vote| is_at(&vote.body.0, place)))
    }

    fn prepares_at(&self, signer: ReplicaId, place: &Ballot) -> impl Iterator<Item = &Signed<Prepare>> {
        let slot = self.log.slot(place.height, place.view);
        let in_slot = slot.and_then(|slot| slot.prepares.of(signer)).map(|vote| &**vote);
        let furthest = self.signing.seen_of(signer).and_then(|seen| seen.prepare.as_ref());
        in_slot.into_iter().chain(furthest.filter(|vote| is_at(&vote.body.0, place)))
    }

    /// The PRE-PREPARE may also be in the NEW-VIEW that began the view (R20c).
    fn pre_prepares_at(
        &self,
        signer: ReplicaId,
        place: &Ballot,
    ) -> impl Iterator<Item = &Signed<PrePrepare>> {
        let slot = self.log.slot(place.height, place.view);
        let in_slot = slot.and_then(|slot| slot.proposal()).map(|proposal| &**proposal.vote());
        let again = self.views.again_at(place.height).map(|(_, vote)| &**vote);
        let furthest = self.signing.seen_of(signer).and_then(|seen| seen.pre_prepare.as_ref());
        in_slot.into_iter().chain(again.into_iter().chain(furthest).filter(|vote| is_at(&vote.body.0, place)))
    }
}

fn is_at(ballot: &Ballot, place: &Ballot) -> bool {
    (ballot.view, ballot.height) == (place.view, place.height)
}

fn first_crossed<'a, T: Vote + 'a>(
    accepted: impl Iterator<Item = &'a Signed<T>>,
    commits: &[&Signed<Commit>],
) -> Option<Crossed<T>> {
    let mut accepted = accepted;
    accepted.find_map(|accepted| {
        let block = accepted.body.ballot().block;
        let commit = commits.iter().find(|commit| commit.body.0.block != block)?;
        Some(Crossed { accepted: accepted.clone(), commit: (*commit).clone() })
    })
}
