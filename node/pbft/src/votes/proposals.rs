//! From a proposal to our vote for it.

use std::time::Duration;

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Ballot, BlockError, Header, Height, Outline, ReplicaId};

use crate::evidence::proof::{Evidence, pair};
use crate::journal::record::Record;
use crate::messages::{CheckedProposal, Message, PrePrepare, Prepare};
use crate::replica::{Replica, Verdict};
use crate::step::{Request, Step, To};
use crate::time::Now;
use crate::votes::slot::Stage;

impl Replica {
    /// The header to build the next block on, if this replica is the primary of a view that has begun, all that the
    /// view began with is accepted (R20), its window has room (R7, R23), and it has not proposed at that height
    /// before (R4).
    pub fn proposal_parent(&self) -> Option<&Header> {
        if !self.votes() {
            return None;
        }
        let parent = self.accepted_end();
        let window = self.chain.height().plus(self.config.window).min(self.high_watermark());
        let room = parent.height < window && !self.views.is_again(parent.height.next());
        let next = self.log.slot(parent.height.next(), self.views.view());
        let proposed = next.is_some_and(|slot| slot.proposal().is_some());
        (self.is_primary() && room && !proposed).then_some(parent)
    }

    /// Heights accepted in this view and not committed yet.
    pub fn in_flight(&self) -> u64 {
        self.accepted_end().height.0 - self.chain.height().0
    }

    /// The end of the unbroken run of accepted blocks on the committed tip in the current view.
    fn accepted_end(&self) -> &Header {
        let (mut end, mut hash) = (self.chain.tip(), self.chain.hash());
        while let Some(accepted) = self.accepted_at(end.height.next()) {
            if accepted.outline().header().parent != hash {
                break; // built on a block that lost its place to a certified one
            }
            (end, hash) = (accepted.outline().header(), accepted.outline().hash());
        }
        end
    }

    /// The block accepted at this height in the current view, unless it extends one in whose place another became final:
    /// then it leads nowhere. A gap below, as after a restart with a ledger that lost fetched blocks, proves nothing.
    pub(crate) fn in_flight_at(&self, height: Height) -> Option<&CheckedProposal> {
        let proposal = self.accepted_at(height)?;
        let mut header = proposal.outline().header();
        while header.height > self.chain.height().next() {
            let Some(below) = self.accepted_at(header.height.previous()?) else { return Some(proposal) };
            if below.ballot().block != header.parent {
                return None;
            }
            header = below.outline().header();
        }
        (header.parent == self.chain.hash()).then_some(proposal)
    }

    fn accepted_at(&self, height: Height) -> Option<&CheckedProposal> {
        self.log.slot(height, self.views.view())?.accepted()
    }

    /// The parent a proposal at this height needs: committed, or accepted in this view on what is committed (R3).
    fn parent_at(&self, height: Height) -> Option<&Header> {
        match height.previous()? {
            below if below == self.chain.height() => Some(self.chain.tip()),
            below => self.in_flight_at(below).map(|proposal| proposal.outline().header()),
        }
    }

    /// Whether a block extends what is committed, or accepted on it in this view (R3).
    pub fn extends_chain(&self, header: &Header) -> bool {
        match header.height.previous() {
            Some(below) if below == self.chain.height() => header.parent == self.chain.hash(),
            Some(below) => {
                self.in_flight_at(below).is_some_and(|parent| parent.ballot().block == header.parent)
            }
            None => false,
        }
    }

    pub(crate) fn on_proposed(&mut self, now: Now, outline: Outline, step: &mut Step) {
        let parent = self.proposal_parent().expect("only a primary with room in its window proposes (R7)");
        // A block that no backup may accept would stand in the way of all that follow.
        let examined = self.examine(outline.header(), parent);
        assert_eq!(examined, Ok(()), "the engine proposes on the parent it was given, within the limits");
        let ballot = self.ballot_for(&outline);
        let vote = self.signing.sign(PrePrepare(ballot));
        let proposal = CheckedProposal::new(vote, outline);
        let slot = self.slot_for(now, &ballot).expect("the window of a primary is within that of backups");
        assert!(slot.proposal().is_none(), "R4: a primary proposes once for each view and height");
        slot.since = now.moment;
        slot.stage = Stage::Accepted { proposal: proposal.clone() };
        step.send(To::All, proposal.to_message());
        step.records.push(Record::Accepted(proposal));
    }

    fn ballot_for(&self, outline: &Outline) -> Ballot {
        Ballot {
            epoch: self.config.epoch,
            view: self.views.view(),
            height: outline.height(),
            block: outline.hash(),
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
        // R9: a primary takes its own proposals from its records alone. Accepting one that came back from
        // others would make it vote as a backup too, and one member would count twice.
        if proposal.vote().signer == self.signing.replica() {
            return;
        }
        // R20: what the view began with is known, and signed by the same primary.
        let again =
            self.views.is_active() && self.views.is_again(ballot.height) && !is(Mutant::AgainUnchecked);
        if ballot.view == self.views.view() && again {
            let again = self.views.again_at(ballot.height).cloned();
            match again {
                Some((_, vote)) if vote.body.0 == ballot => {}
                Some((_, vote)) => {
                    let evidence = Evidence::PrePrepare(pair(&vote, proposal.vote()));
                    return self.accuse(&evidence, step);
                }
                None => return,
            }
        }
        if ballot.height <= self.chain.height() {
            self.accuse_of_other_than_final(proposal.vote(), step);
        }
        let Some(slot) = self.slot_for(now, &ballot) else { return };
        match slot.proposal() {
            None => slot.stage = Stage::Waiting { proposal, from },
            Some(first) if first.ballot().block == ballot.block => {}
            Some(_) if is(Mutant::SecondProposalReplaces) && matches!(slot.stage, Stage::Waiting { .. }) => {
                slot.stage = Stage::Waiting { proposal, from };
            }
            // R4: the first proposal stands; a second one proves that its signer lies.
            Some(first) => {
                let evidence = Evidence::PrePrepare(pair(first.vote(), proposal.vote()));
                self.accuse(&evidence, step);
            }
        }
    }

    /// Asks for the examination of the next proposal whose parent is accepted (R3).
    pub(crate) fn examine_next(&mut self, step: &mut Step) -> bool {
        if !self.votes() {
            return false;
        }
        let ready = self.log.slots_of(self.views.view()).find_map(|(height, slot)| match &slot.stage {
            Stage::Waiting { proposal, from } => Some((proposal.clone(), *from, self.parent_at(height)?)),
            _ => None,
        });
        let Some((proposal, from, parent)) = ready else { return false };
        if !self.begins_with(proposal.ballot()) {
            let reason = "the view began with another block at this height, or above it".to_owned();
            self.refuse(proposal, reason, step);
            return true;
        }
        match self.examine(proposal.outline().header(), parent) {
            Ok(()) => {
                self.set_stage(&proposal, Stage::Examining { proposal: proposal.clone() });
                step.requests.push(Request::Examine { proposal, from });
            }
            Err(error) => self.refuse(proposal, error.to_string(), step),
        }
        true
    }

    /// R20: a proposal may have come before the NEW-VIEW. At the heights of which that speaks it must be the one
    /// that the view began with; what the base covers is committed, and nothing is voted for there.
    fn begins_with(&self, ballot: &Ballot) -> bool {
        let again = || self.views.again_at(ballot.height);
        !self.views.is_again(ballot.height)
            || is(Mutant::AgainUnchecked)
            || again().is_some_and(|(_, vote)| vote.body.0 == *ballot)
    }

    /// R5: what can be said about a block without its transactions. Who proposed it first is asked of fresh ones
    /// only.
    fn examine(&self, header: &Header, parent: &Header) -> Result<(), BlockError> {
        header.check_follows(parent)?;
        header.check_limits(parent, &self.config.limits)?;
        let wrong = header.proposer != self.primary() && !is(Mutant::ProposerUnchecked);
        if !self.views.is_again(header.height) && wrong {
            return Err(BlockError::Field { field: "proposer" });
        }
        Ok(())
    }

    pub(crate) fn on_examined(&mut self, now: Now, ballot: Ballot, verdict: Verdict, step: &mut Step) {
        let Some(slot) = self.log.slot(ballot.height, ballot.view) else { return };
        let Stage::Examining { proposal } = &slot.stage else { return };
        if *proposal.ballot() != ballot || ballot.view != self.views.view() || !self.votes() {
            return;
        }
        let proposal = proposal.clone();
        match verdict {
            Verdict::Bad(reason) => self.refuse(proposal, reason, step),
            Verdict::Good => _ = self.accept_when_due(now, proposal, step),
        }
    }

    /// Looks at held proposals again (R6). The wall clock may have jumped either way, so it is asked every
    /// time.
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

    /// Accepts a proposal that was found good, or holds it until our clock has come close to its time (R6).
    /// Says whether anything was concluded.
    fn accept_when_due(&mut self, now: Now, proposal: CheckedProposal, step: &mut Step) -> bool {
        let header = proposal.outline().header();
        // R3: catching up may meanwhile have put another block below it.
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

    /// R6: how long a fresh proposal must wait until its time is no further ahead than the tolerance. One that is
    /// older than any transaction may live is held as long as the clock says so.
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

    /// R5, R13: remember the proposal, then vote for it. A primary has given its vote for a block that it proposes
    /// again with the NEW-VIEW.
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
