//! Leaving a view, and entering the next one (R19, R20).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{ReplicaId, View};

use crate::evidence::proof::{Evidence, pair};
use crate::journal::record::Record;
use crate::messages::{CheckedProposal, Message};
use crate::replica::Replica;
use crate::step::{Cause, Departure, Request, Step, To};
use crate::time::Now;
use crate::view_change::messages::{
    CheckedNewView, CheckedViewChange, Knowledge, ViewChange, ViewChangeMessage,
};
use crate::votes::GivenUp;
use crate::votes::slot::Stage;

impl Replica {
    /// Leaves all views below `to`, and says so (R19). From now on nothing is voted for in them, also after a
    /// restart.
    pub(crate) fn leave(&mut self, to: View, cause: Cause, step: &mut Step) {
        assert!(
            to > self.views.view() && self.signing.is_enabled(),
            "views only grow, and the mute leave none"
        );
        if cause != Cause::Evidence {
            self.suspect_signers();
        }
        self.log.forget_unbegun(self.views.view(), self.views.entered_view());
        let departure = Departure { from: self.views.view(), primary: self.primary(), to, cause };
        self.timers.left(self.views.is_active(), cause);
        let stays = is(Mutant::VotesAfterViewChange) && self.views.is_active();
        if !stays {
            self.views.leave(to);
        }
        let knowledge = Knowledge {
            base: self.chain.certificate().map(|certificate| (**certificate).clone()),
            prepared: self.log.prepared().map(|certificate| (**certificate).clone()).collect(),
        };
        let vote =
            self.signing.sign(ViewChange { epoch: self.config.epoch, view: to, content: knowledge.hash() });
        let change = CheckedViewChange::own(ViewChangeMessage { vote: vote.into_inner(), knowledge });
        if !is(Mutant::ViewChangeNotDurable) {
            step.records.push(Record::ViewChange(change.clone()));
        }
        step.send(To::All, Message::ViewChange(change.message().clone()));
        self.views.keep_change(change);
        step.requests.push(Request::Left(departure));
    }

    /// Keeps the latest VIEW-CHANGE of each member, no more.
    pub(crate) fn on_view_change(&mut self, change: CheckedViewChange, step: &mut Step) {
        let signer = change.signer();
        if signer == self.signing.replica() {
            return;
        }
        self.examine_departure(change.message(), step);
        if let Some(known) = self.views.change_of(signer).cloned() {
            if known.view() == change.view() && known.vote().body != change.vote().body {
                let evidence = Evidence::ViewChange(pair(known.vote(), change.vote()));
                self.accuse_quietly(evidence, step);
            }
            if known.view() >= change.view() {
                return;
            }
        }
        self.views.keep_change(change);
    }

    /// R19: f + 1 others have left for later views, one of them at least correct. Follows to the highest view
    /// that f + 1 of them have reached or passed, whichever views they are.
    pub(crate) fn follow_others(&mut self, step: &mut Step) -> bool {
        if !self.signing.is_enabled() {
            return false;
        }
        let me = self.signing.replica();
        let others = self.views.changes().filter(|change| change.signer() != me);
        let mut views: Vec<View> = others.map(CheckedViewChange::view).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        // The later of both: with a deliberate fault a member stays in a view that it has left.
        let left =
            self.views.change_of(me).map_or(self.views.view(), |own| own.view().max(self.views.view()));
        let joined = match self.config.committee.faults() {
            _ if is(Mutant::JoinsOne) => views.first().copied(),
            faults if is(Mutant::JoinsSameViewOnly) => {
                views.windows(faults + 1).find(|same| same[0] == same[faults]).map(|same| same[0])
            }
            faults => views.get(faults).copied(),
        };
        match joined {
            Some(view) if view > left => {
                self.counters.joined += 1;
                self.leave(view, Cause::Joined, step);
                true
            }
            _ => false,
        }
    }

    /// A NEW-VIEW proves itself: it is entered also by those who did not leave the view before.
    pub(crate) fn on_new_view(&mut self, now: Now, new_view: CheckedNewView, step: &mut Step) {
        if let Some(entered) = self.views.entered()
            && entered.view() == new_view.view()
            && entered.vote().body != new_view.vote().body
        {
            let evidence = Evidence::NewView(pair(entered.vote(), new_view.vote()));
            self.accuse(&evidence, step);
            return;
        }
        let earlier = is(Mutant::EntersEarlierViews) && new_view.view() < self.views.view();
        let later = new_view.view() > self.views.view()
            || new_view.view() == self.views.view() && !self.views.is_active()
            || earlier;
        // A primary begins its views itself; what it forgot that it had begun is for R24 to find out.
        if later && new_view.vote().signer != self.signing.replica() {
            // A faulty member may send this VIEW-CHANGE to the new primary alone.
            for change in &new_view.message().view_changes {
                self.examine_departure(change, step);
            }
            self.enter(now, new_view, step);
        }
    }

    pub(crate) fn enter(&mut self, now: Now, new_view: CheckedNewView, step: &mut Step) {
        self.assert_keeps_what_is_final(&new_view);
        self.suspect_signers();
        self.views.enter(new_view.clone());
        self.signing.leave_below(self.views.view());
        self.timers.entered(now.moment);
        self.counters.views_entered += 1;
        step.records.push(Record::NewView(new_view));
        step.requests.push(Request::Entered { view: self.views.view(), primary: self.primary() });
        self.forget_past(step);
        self.place_again(now, step);
    }

    /// What is final here was locked, so every later view begins with it or above (R10). Otherwise more than f
    /// members lied, and a node that goes on would only make it worse.
    fn assert_keeps_what_is_final(&self, new_view: &CheckedNewView) {
        let Some(certificate) = self.chain.certificate() else { return };
        if certificate.ballot().view >= new_view.view() {
            return;
        }
        let (tip, view) = (self.chain.height(), new_view.view());
        assert!(new_view.end() >= tip, "FORK: view {view} begins below height {tip}, which is final");
        let again = match new_view.base() {
            Some(base) if base.height == tip => Some(base.block),
            _ => new_view.at(tip).map(|(header, _)| header.hash()),
        };
        let same = again.is_none_or(|block| block == self.chain.hash());
        assert!(same, "FORK: view {view} begins with another block at height {tip}, which is final");
    }

    /// Puts the blocks that the view begins with into their slots (R20).
    pub(crate) fn place_again(&mut self, now: Now, step: &mut Step) {
        let Some(new_view) = self.views.entered().cloned() else { return };
        if let Some(base) = new_view.base()
            && base.height > self.chain.height()
            && self.path_to(base.height, base.block).is_none()
        {
            self.catch_up(base.height, step);
        }
        for (header, vote) in new_view.chain() {
            let height = header.height;
            if height <= self.chain.height() {
                continue;
            }
            let known = self.log.accepted_block(height, &header.hash()).map(|known| known.outline().clone());
            let slot = self.log.open(now.moment, height, self.views.view());
            if slot.accepted().is_some() {
                continue; // before a restart
            }
            slot.since = now.moment;
            let early = slot.proposal().cloned();
            match (known, &early) {
                (Some(outline), _) => {
                    let proposal = CheckedProposal::new(vote.clone(), outline);
                    slot.stage = Stage::Waiting { proposal, from: vote.signer };
                }
                (None, Some(early)) if early.ballot() == &vote.body.0 => {}
                (None, _) => {
                    slot.stage = Stage::Empty;
                    step.requests.push(Request::Outline { header: header.clone(), from: vote.signer });
                }
            }
            if let Some(early) = early
                && early.ballot() != &vote.body.0
            {
                self.accuse_quietly(Evidence::PrePrepare(pair(early.vote(), vote)), step);
            }
        }
    }

    /// The ids of a block that is proposed again were found.
    pub(crate) fn on_outlined(&mut self, outline: &quorate_ledger::Outline) {
        let Some((header, vote)) = self.views.again_at(outline.height()) else {
            return;
        };
        if header.hash() != outline.hash() || !self.views.is_active() {
            return;
        }
        let proposal = CheckedProposal::new(vote.clone(), outline.clone());
        if let Some(slot) = self.log.slot_mut(outline.height(), self.views.view())
            && matches!(slot.stage, Stage::Empty)
        {
            let from = vote.signer;
            slot.stage = Stage::Waiting { proposal, from };
        }
    }

    /// Forgets what is left of past views, and tells the journal and the engine (R20).
    pub(crate) fn forget_past(&mut self, step: &mut Step) {
        for given_up in self.log.forget_past(self.views.view(), self.config.window) {
            let GivenUp { view, height, block, with_body } = given_up;
            step.records.push(Record::Dropped { view, height, block, with_body });
            if with_body {
                step.requests.push(Request::Forget(block));
            }
        }
    }

    /// The members whose VIEW-CHANGE for the wanted view or a later one is here.
    pub(crate) fn departed(&self) -> impl Iterator<Item = ReplicaId> {
        self.views
            .changes()
            .filter(|change| change.view() >= self.views.view())
            .map(CheckedViewChange::signer)
    }
}
