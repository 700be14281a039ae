//! From a proposal to this replica's vote for it (R3 to R6).

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, BlockError, BlockSkeleton, Header, Height, ReplicaId};

use crate::evidence::proof::Evidence;
use crate::input::Verdict;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::proposal::{CheckedProposal, PrePrepare, Prepare};
use crate::replica::Replica;
use crate::step::{Request, Step, To};
use crate::time::Now;
use crate::votes::slot::Stage;

impl Replica {
    /// The header to build the next block on. `None` unless this replica may propose now: it is the
    /// primary of a view that has begun, it has accepted all blocks that the view proposes again
    /// (R20c), the window has room (R7, R23), the height may be judged (R26), and it has not
    /// proposed at this height before (R4).
    pub fn proposal_parent(&self) -> Option<&Header> {
        if !self.votes() {
            return None;
        }
        let parent = self.accepted_end();
        let window = self.chain.height().plus(self.config.context.window).min(self.high_watermark());
        let room = parent.height < window.min(self.judgeable_through())
            && !self.views.is_again(parent.height.next());
        let next = self.log.slot(parent.height.next(), self.views.view());
        let proposed = next.is_some_and(|slot| slot.proposal().is_some());
        (self.is_primary() && room && !proposed).then_some(parent)
    }

    /// The number of heights in flight: accepted in this view on the committed chain, and not
    /// committed.
    pub fn in_flight(&self) -> u64 {
        self.accepted_end().height.0 - self.chain.height().0
    }

    /// The last block of the unbroken chain of accepted blocks above the committed one, in the
    /// current view.
    fn accepted_end(&self) -> &Header {
        let (mut end, mut hash) = (self.chain.tip(), self.chain.hash());
        while let Some(accepted) = self.accepted_at(end.height.next()) {
            if accepted.skeleton().header().parent != hash {
                break; // its ancestor was replaced by a committed block
            }
            (end, hash) = (accepted.skeleton().header(), accepted.skeleton().hash());
        }
        end
    }

    /// The block accepted at this height in the current view, if it is in flight (R15b). It is not
    /// if another block became final in place of one of its ancestors. If an ancestor is not
    /// accepted here, nothing shows that it was replaced, so the block counts as in flight. This
    /// happens after a restart, when the ledger has lost fetched blocks.
    pub(crate) fn in_flight_at(&self, height: Height) -> Option<&CheckedProposal> {
        let proposal = self.accepted_at(height)?;
        let mut header = proposal.skeleton().header();
        while header.height > self.chain.height().next() {
            let Some(below) = self.accepted_at(header.height.previous()?) else { return Some(proposal) };
            if below.ballot().block != header.parent {
                return None;
            }
            header = below.skeleton().header();
        }
        (header.parent == self.chain.hash()).then_some(proposal)
    }

    fn accepted_at(&self, height: Height) -> Option<&CheckedProposal> {
        self.log.slot(height, self.views.view())?.accepted()
    }

    /// The block below this height, if it is committed here, or in flight in this view (R3).
    fn parent_at(&self, height: Height) -> Option<&Header> {
        match height.previous()? {
            below if below == self.chain.height() => Some(self.chain.tip()),
            below => self.in_flight_at(below).map(|proposal| proposal.skeleton().header()),
        }
    }

    /// Whether the block's parent is the last committed block, or in flight in this view (R3).
    pub fn extends_chain(&self, header: &Header) -> bool {
        match header.height.previous() {
            Some(below) if below == self.chain.height() => header.parent == self.chain.hash(),
            Some(below) => {
                self.in_flight_at(below).is_some_and(|parent| parent.ballot().block == header.parent)
            }
            None => false,
        }
    }

    pub(crate) fn on_proposed(&mut self, now: Now, skeleton: BlockSkeleton, step: &mut Step) {
        let parent = self.proposal_parent().expect("only a primary with room in its window proposes (R7)");
        // R5: backups would refuse an invalid block, and it would block all heights above it.
        let examined = self.examine(skeleton.header(), parent);
        assert_eq!(examined, Ok(()), "R5: the engine must propose a valid block on the parent it was given");
        let ballot = self.ballot_for(&skeleton);
        let vote = self.signing.sign(PrePrepare(ballot));
        let proposal = CheckedProposal::new(vote, skeleton);
        let slot = self.slot_for(now, &ballot).expect("the window of a primary is within that of backups");
        assert!(slot.proposal().is_none(), "R4: a primary proposes once for each view and height");
        slot.since = now.moment;
        slot.stage = Stage::Accepted { proposal: proposal.clone() };
        step.send(To::All, proposal.to_message());
        step.records.push(Record::Accepted(proposal));
    }

    fn ballot_for(&self, skeleton: &BlockSkeleton) -> Ballot {
        Ballot {
            epoch: self.config.context.epoch(),
            view: self.views.view(),
            height: skeleton.height(),
            block: skeleton.hash(),
        }
    }

    pub(crate) fn on_pre_prepare(
        &mut self,
        now: Now,
        from: ReplicaId,
        proposal: CheckedProposal,
        step: &mut Step,
    ) {
        let ballot = *proposal.ballot();
        // R9: a primary takes its own proposals from its journal alone. If it accepted one from
        // another member, it would also vote as a backup, and count twice.
        if proposal.vote().signer == self.signing.replica() {
            return;
        }
        // R20b: at the heights that the view proposes again, the NEW-VIEW has the primary's
        // PRE-PREPARE.
        let again =
            self.views.is_active() && self.views.is_again(ballot.height) && !is(Mutant::AgainUnchecked);
        if ballot.view == self.views.view() && again {
            let again = self.views.again_at(ballot.height).cloned();
            match again {
                Some((_, vote)) if vote.body.0 == ballot => {}
                Some((_, vote)) => {
                    let evidence = Evidence::of_pair(Evidence::PrePrepare, &vote, proposal.vote());
                    return self.accuse(&evidence, step);
                }
                // At or below the anchor, which is committed.
                None => return,
            }
        }
        if ballot.height <= self.chain.height() {
            // R14d: the proposal may contradict the one that became final.
            self.accuse_of_other_than_final(proposal.vote(), step);
        }
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        match slot.proposal() {
            None => slot.stage = Stage::Waiting { proposal, from },
            Some(first) if first.ballot().block == ballot.block => {}
            Some(_) if is(Mutant::SecondProposalReplaces) && matches!(slot.stage, Stage::Waiting { .. }) => {
                slot.stage = Stage::Waiting { proposal, from };
            }
            // R4: the first proposal stays. A second one proves that the primary is faulty (R22a).
            Some(first) => {
                let evidence = Evidence::of_pair(Evidence::PrePrepare, first.vote(), proposal.vote());
                self.accuse(&evidence, step);
            }
        }
    }

    /// Requests the examination of a waiting proposal whose parent is accepted (R3, R5).
    pub(crate) fn examine_next(&mut self, step: &mut Step) -> bool {
        if !self.votes() {
            return false;
        }
        let ready = self.log.slots_of(self.views.view()).find_map(|(height, slot)| match &slot.stage {
            Stage::Waiting { proposal, from } => {
                let parent = self.parent_at(height)?;
                let may_judge = self.may_judge(proposal.skeleton().header(), parent);
                may_judge.then(|| (proposal.clone(), *from, parent))
            }
            _ => None,
        });
        let Some((proposal, from, parent)) = ready else { return false };
        if !self.begins_with(proposal.ballot()) {
            let reason = "the view began with another block here, or an anchor at or above it".to_owned();
            self.refuse(proposal, reason, step);
            return true;
        }
        match self.examine(proposal.skeleton().header(), parent) {
            Ok(()) => {
                self.set_stage(&proposal, Stage::Examining { proposal: proposal.clone() });
                step.requests.push(Request::Examine { proposal, from });
            }
            Err(error) => self.refuse(proposal, error.to_string(), step),
        }
        true
    }

    /// R20b: a proposal may have come before the NEW-VIEW. At a height that the view proposes
    /// again, it must be that block. At or below the anchor, the replica votes for nothing.
    fn begins_with(&self, ballot: &Ballot) -> bool {
        let again = || self.views.again_at(ballot.height);
        !self.views.is_again(ballot.height)
            || is(Mutant::AgainUnchecked)
            || again().is_some_and(|(_, vote)| vote.body.0 == *ballot)
    }

    /// R5: checks what a header shows without the transactions. The proposer is checked for fresh
    /// blocks only: a block that is proposed again names the primary that proposed it first.
    fn examine(&self, header: &Header, parent: &Header) -> Result<(), BlockError> {
        header.check_follows(parent)?;
        header.check_limits(&self.config.limits)?;
        self.check_gap(header, parent)?;
        let next_committee = self.next_committee_at(header.height);
        if header.next_committee != next_committee && !is(Mutant::NextCommitteeUnchecked) {
            return Err(BlockError::Field { field: "next_committee" });
        }
        let wrong = header.proposer != self.primary() && !is(Mutant::ProposerUnchecked);
        if !self.views.is_again(header.height) && wrong {
            return Err(BlockError::Field { field: "proposer" });
        }
        Ok(())
    }

    pub(crate) fn on_examined(&mut self, now: Now, ballot: Ballot, verdict: Verdict, step: &mut Step) {
        let Some(slot) = self.log.slot(ballot.height, ballot.view) else { return };
        let Stage::Examining { proposal } = &slot.stage else { return };
        // The result may be late: the replica has left the view, or a quorum has (R12e).
        if *proposal.ballot() != ballot || ballot.view != self.views.view() || !self.votes() {
            return;
        }
        let proposal = proposal.clone();
        match verdict {
            Verdict::Bad(reason) => self.refuse(proposal, reason, step),
            Verdict::Good => _ = self.accept_when_due(now, proposal, step),
        }
    }

    /// Checks a held proposal again (R6). The wall clock may have jumped in either direction.
    pub(crate) fn accept_held(&mut self, now: Now, step: &mut Step) -> bool {
        if !self.votes() {
            return false;
        }
        let held = self.log.slots_of(self.views.view()).find_map(|(_, slot)| match &slot.stage {
            Stage::Held { proposal, .. } => Some(proposal.clone()),
            _ => None,
        });
        held.is_some_and(|proposal| self.accept_when_due(now, proposal, step))
    }

    /// Accepts a valid proposal, or holds it until the wall clock permits it (R6). `true` if its
    /// stage is final: it was accepted or refused.
    fn accept_when_due(&mut self, now: Now, proposal: CheckedProposal, step: &mut Step) -> bool {
        let header = proposal.skeleton().header();
        // R3: fetched blocks may meanwhile have put another block below it.
        if !self.extends_chain(header) && !is(Mutant::ParentNotAskedAgain) {
            self.refuse(proposal, "the block it extends is not the one that was committed".to_owned(), step);
            return true;
        }
        let hold = if self.views.is_again(header.height) { None } else { self.off_the_clock(now, header) };
        match hold {
            None => {
                self.accept(now, proposal, step);
                true
            }
            Some(wait) => {
                let until = now.moment.after(wait);
                self.set_stage(&proposal, Stage::Held { proposal: proposal.clone(), until });
                false
            }
        }
    }

    /// R6: how long to hold a fresh proposal whose time is too far ahead of the wall clock. A
    /// proposal that is too old is held for a status interval and then checked again.
    fn off_the_clock(&self, now: Now, header: &Header) -> Option<Duration> {
        let time = header.timestamp.0;
        let tolerance = u64::try_from(self.config.clock_tolerance.as_millis()).unwrap_or(u64::MAX);
        let latest = now.wall.0.saturating_add(tolerance);
        let earliest = now.wall.minus_ms(self.config.limits.transaction.max_lifetime_ms).0;
        if time < earliest {
            return Some(self.config.status_interval);
        }
        (time > latest && !is(Mutant::ClockUnchecked)).then(|| Duration::from_millis(time - latest))
    }

    /// R5, R13a: records the proposal, then votes for it. A primary does not vote here: its
    /// PRE-PREPARE for a block that it proposes again is in its NEW-VIEW.
    fn accept(&mut self, now: Now, proposal: CheckedProposal, step: &mut Step) {
        let ballot = *proposal.ballot();
        if !is(Mutant::AcceptedNotDurable) {
            step.records.push(Record::Accepted(proposal.clone()));
        }
        let vote = (!self.is_primary()).then(|| self.signing.sign(Prepare(ballot)));
        let slot = self.log.slot_mut(ballot.height, ballot.view).expect("a proposal has its slot");
        slot.since = now.moment;
        slot.stage = Stage::Accepted { proposal };
        if let Some(vote) = vote {
            step.send(To::All, Message::Prepare(vote.clone().into_inner()));
            let recorded = slot.prepares.record(vote);
            assert!(!recorded.is_conflicting(), "R4: own votes do not contradict each other");
        }
        // The block may now be accepted in two views, of which one is enough (R20d).
        self.forget_past(step);
    }

    fn refuse(&mut self, proposal: CheckedProposal, reason: String, step: &mut Step) {
        let Ballot { view, height, .. } = *proposal.ballot();
        self.counters.bad_proposals += 1;
        step.requests.push(Request::BadProposal { view, height, reason });
        self.set_stage(&proposal.clone(), Stage::Refused { proposal });
    }

    fn set_stage(&mut self, proposal: &CheckedProposal, stage: Stage) {
        let Ballot { view, height, .. } = *proposal.ballot();
        self.log.slot_mut(height, view).expect("a proposal has its slot").stage = stage;
    }
}
