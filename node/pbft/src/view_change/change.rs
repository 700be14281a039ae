//! Leaving a view, and entering the next one (R19, R20).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{ReplicaId, Signed, Verified, View};

use crate::evidence::proof::Evidence;
use crate::journal::record::Record;
use crate::messages::Message;
use crate::messages::proposal::CheckedProposal;
use crate::replica::Replica;
use crate::step::{Cause, Departure, Request, Step, To};
use crate::time::Now;
use crate::view_change::messages::{CheckedNewView, CheckedViewChange};
use crate::view_change::statements::ViewChange;
use crate::votes::GivenUp;
use crate::votes::slot::Stage;

impl Replica {
    /// Leaves all views below `to`, and sends VIEW-CHANGE (R19a). From now on, also after a
    /// restart, the replica votes in none of them.
    pub(crate) fn leave(&mut self, to: View, cause: Cause, step: &mut Step) {
        assert!(
            to > self.views.view() && self.may_sign(),
            "a replica leaves only for a later view, and only while it may sign (R24, R26d)"
        );
        // R20e: upon evidence, the primary is at fault, and not the signers of its VIEW-CHANGEs.
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
        // R19a: this is all that a later view must not lose.
        let epoch = self.config.context.epoch();
        let sign = |content| self.signing.sign(ViewChange { epoch, view: to, content });
        let change = CheckedViewChange::own(self.chain.certificate(), self.log.prepared(), sign);
        if !is(Mutant::ViewChangeNotDurable) {
            step.records.push(Record::ViewChange(change.clone()));
        }
        step.send(To::All, Message::ViewChange(change.message().clone()));
        self.views.keep_change(change);
        step.requests.push(Request::Left(departure));
    }

    /// Keeps the latest VIEW-CHANGE of each member (R19b). Two different ones for the same view are
    /// evidence (R22a).
    pub(crate) fn on_view_change(&mut self, change: CheckedViewChange, step: &mut Step) {
        let signer = change.signer();
        // The replica keeps its own VIEW-CHANGE when it signs it.
        if signer == self.signing.replica() {
            return;
        }
        self.examine_departure(change.message(), step);
        self.accuse_of_two_departures(change.vote(), step);
        if self.views.change_of(signer).is_none_or(|known| known.view() < change.view()) {
            self.views.keep_change(change);
        }
    }

    /// R22a: compares a VIEW-CHANGE, alone or in a NEW-VIEW, with the one that is kept of its signer.
    fn accuse_of_two_departures(&mut self, vote: &Verified<Signed<ViewChange>>, step: &mut Step) {
        // A replica does not accuse itself.
        let Some(known) = self.views.change_of(vote.signer) else { return };
        if known.view() == vote.body.view
            && known.vote().body != vote.body
            && vote.signer != self.signing.replica()
        {
            let evidence = Evidence::of_pair(Evidence::ViewChange, known.vote(), vote);
            self.accuse_quietly(evidence, step);
        }
    }

    /// R19c: if f + 1 others have left for later views, one of them at least is correct, so the
    /// replica leaves too. It leaves for the highest view that f + 1 of them have reached or
    /// passed, whichever views those are.
    pub(crate) fn follow_others(&mut self, step: &mut Step) -> bool {
        if !self.may_sign() {
            return false;
        }
        let me = self.signing.replica();
        let others = self.views.changes().filter(|change| change.signer() != me);
        let mut views: Vec<View> = others.map(CheckedViewChange::view).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        // With the deliberate fault `VotesAfterViewChange`, the replica stays in a view that it
        // left, so its last VIEW-CHANGE may be for a later view.
        let left =
            self.views.change_of(me).map_or(self.views.view(), |own| own.view().max(self.views.view()));
        let joined = match self.config.context.committee.faults() {
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

    /// Enters the view of a NEW-VIEW from any member. The replica need not have left its view
    /// (R20b).
    pub(crate) fn on_new_view(&mut self, now: Now, new_view: CheckedNewView, step: &mut Step) {
        if let Some(entered) = self.views.entered()
            && entered.view() == new_view.view()
            && entered.vote().body != new_view.vote().body
        {
            let evidence = Evidence::of_pair(Evidence::NewView, entered.vote(), new_view.vote());
            self.accuse(&evidence, step);
            return;
        }
        let earlier = is(Mutant::EntersEarlierViews) && new_view.view() < self.views.view();
        let later = new_view.view() > self.views.view()
            || new_view.view() == self.views.view() && !self.views.is_active()
            || earlier;
        // R20b: a primary begins its views itself. If it has lost the record of a NEW-VIEW, R24
        // finds out.
        if later && new_view.vote().signer != self.signing.replica() && !self.epoch_is_over() {
            // R22: a faulty member may have sent this VIEW-CHANGE to the new primary only.
            for (change, vote) in new_view.departures() {
                self.examine_departure(change, step);
                self.accuse_of_two_departures(vote, step);
            }
            self.enter(now, new_view, step);
        }
    }

    pub(crate) fn enter(&mut self, now: Now, new_view: CheckedNewView, step: &mut Step) {
        self.assert_keeps_what_is_final(&new_view);
        // R20e: the replica may enter without having left, so the old view ends here.
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

    /// R20b: a COMMIT quorum covers all heights below it, so every later view begins with the block
    /// that is final here, or above it. Otherwise more than f members are faulty, and the node
    /// stops (R12d).
    fn assert_keeps_what_is_final(&self, new_view: &CheckedNewView) {
        let Some(certificate) = self.chain.certificate() else { return };
        if certificate.ballot().view >= new_view.view() {
            return;
        }
        let (tip, view) = (self.chain.height(), new_view.view());
        assert!(new_view.end() >= tip, "FORK: view {view} begins below height {tip}, which is final");
        // The view accounts for the height by its anchor, or by a block that it proposes again. If
        // the height is below the anchor, nothing here shows a contradiction.
        let base = new_view.base();
        let again = if base.height == tip {
            Some(base.block)
        } else {
            new_view.at(tip).map(|(header, _)| header.hash())
        };
        let same = again.is_none_or(|block| block == self.chain.hash());
        assert!(same, "FORK: view {view} begins with another block at height {tip}, which is final");
    }

    /// Puts the blocks that the view proposes again into their slots (R20c).
    pub(crate) fn place_again(&mut self, now: Now, step: &mut Step) {
        let Some(new_view) = self.views.entered().cloned() else { return };
        if let Some(anchor) = new_view.anchor()
            && anchor.height > self.chain.height()
            && self.path_to(anchor.height, anchor.block).is_none()
        {
            self.catch_up(anchor.height, step);
        }
        for (header, vote) in new_view.chain() {
            let height = header.height;
            // R22a: a COMMIT of the primary may have come before its NEW-VIEW.
            self.examine_crossing(vote.signer, &vote.body.0, step);
            if height <= self.chain.height() {
                continue;
            }
            let known = self.log.accepted_block(height, &header.hash()).map(|known| known.skeleton().clone());
            let slot = self.log.open(now.moment, height, self.views.view());
            if slot.accepted().is_some() {
                continue; // restored from the journal
            }
            slot.since = now.moment;
            let early = slot.proposal().cloned();
            // The block may be known from an earlier view, or from a PRE-PREPARE that came before
            // the NEW-VIEW. Otherwise the engine fetches its ids (R20c).
            match (known, &early) {
                (Some(skeleton), _) => {
                    let proposal = CheckedProposal::new(vote.clone(), skeleton);
                    slot.stage = Stage::Waiting { proposal, from: vote.signer };
                }
                (None, Some(early)) if early.ballot() == &vote.body.0 => {}
                (None, _) => {
                    slot.stage = Stage::Empty;
                    step.requests.push(Request::FetchSkeleton { header: header.clone(), from: vote.signer });
                }
            }
            if let Some(early) = early
                && early.ballot() != &vote.body.0
            {
                // R22a: the primary signed two blocks. The replica records and broadcasts the
                // evidence, but does not leave the view while it enters it.
                let evidence = Evidence::of_pair(Evidence::PrePrepare, early.vote(), vote);
                self.accuse_quietly(evidence, step);
            }
        }
    }

    /// The engine found the ids of a block that is proposed again.
    pub(crate) fn on_skeleton(&mut self, skeleton: &quorate_ledger::BlockSkeleton) {
        let Some((header, vote)) = self.views.again_at(skeleton.height()) else {
            return;
        };
        if header.hash() != skeleton.hash() || !self.views.is_active() {
            return;
        }
        let proposal = CheckedProposal::new(vote.clone(), skeleton.clone());
        if let Some(slot) = self.log.slot_mut(skeleton.height(), self.views.view())
            && matches!(slot.stage, Stage::Empty)
        {
            let from = vote.signer;
            slot.stage = Stage::Waiting { proposal, from };
        }
    }

    /// Drops what past views need no longer (R20d), and passes it on to the journal and the engine.
    pub(crate) fn forget_past(&mut self, step: &mut Step) {
        for given_up in self.log.forget_past(self.views.view(), self.config.context.window) {
            let GivenUp { view, height, block, with_body } = given_up;
            step.records.push(Record::Dropped { view, height, block, with_body });
            if with_body {
                step.requests.push(Request::Forget(block));
            }
        }
    }

    /// The members whose VIEW-CHANGE for this replica's view or a later one is here.
    pub(crate) fn departed(&self) -> impl Iterator<Item = ReplicaId> {
        self.views
            .changes()
            .filter(|change| change.view() >= self.views.view())
            .map(CheckedViewChange::signer)
    }
}
