//! Leaving a view, and entering the next one (R19, R20).

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{Height, ReplicaId, View};

use crate::evidence::proof::{Evidence, pair};
use crate::journal::record::Record;
use crate::messages::{CheckedProposal, Message};
use crate::replica::Replica;
use crate::step::{Cause, Departure, Request, Step, To};
use crate::time::Now;
use crate::view_change::messages::{
    CheckedNewView, CheckedViewChange, Knowledge, ViewChange, ViewChangeMessage,
};
use crate::votes::slot::Stage;

/// Accepted blocks of views that were left are kept as long as they are no more than this many full windows:
/// a prepared certificate that shows up late promises that somebody has the body.
const PAST_WINDOWS: u64 = 8;

impl Replica {
    /// Leaves all views below `to`, and says so (R19). From now on nothing is voted for in them, also after a
    /// restart.
    pub(crate) fn leave(&mut self, to: View, cause: Cause, step: &mut Step) {
        assert!(
            to > self.views.view && self.signing.state.is_free(),
            "views only grow, and the mute leave none"
        );
        if cause != Cause::Evidence {
            self.suspect_signers();
        }
        self.forget_unbegun();
        let departure = Departure { from: self.views.view, primary: self.primary(), to, cause };
        self.timer.left(self.views.active, cause, self.doublings_max());
        self.views.doubtful = None;
        let stays = is(Mutant::VotesAfterViewChange) && self.views.active;
        if !stays {
            self.views.view = to;
            self.views.active = false;
            self.views.departure_evidence = None;
        }
        let knowledge = Knowledge {
            base: self.chain.certificate.clone().map(|certificate| certificate.into_inner()),
            prepared: self.log.prepared.values().map(|certificate| (**certificate).clone()).collect(),
        };
        let vote = self.signing.signer.sign(ViewChange {
            epoch: self.config.epoch,
            view: to,
            content: knowledge.hash(),
        });
        let change = CheckedViewChange::own(ViewChangeMessage { vote: vote.into_inner(), knowledge });
        if !is(Mutant::ViewChangeNotDurable) {
            step.records.push(Record::ViewChange(change.clone()));
        }
        step.send(To::All, Message::ViewChange(change.message().clone()));
        self.views.changes.insert(self.signing.signer.replica(), change);
        step.requests.push(Request::Left(departure));
    }

    /// Keeps the latest VIEW-CHANGE of each member, no more.
    pub(crate) fn on_view_change(&mut self, change: CheckedViewChange, step: &mut Step) {
        let signer = change.signer();
        if signer == self.signing.signer.replica() {
            return;
        }
        self.examine_departure(change.message(), step);
        if let Some(known) = self.views.changes.get(&signer).cloned() {
            if known.view() == change.view() && known.vote().body != change.vote().body {
                let evidence = Evidence::ViewChange(pair(known.vote(), change.vote()));
                self.accuse_quietly(evidence, step);
            }
            if known.view() >= change.view() {
                return;
            }
        }
        self.views.changes.insert(signer, change);
    }

    /// R19: f + 1 others have left for later views, one of them at least correct. Follows to the highest view
    /// that f + 1 of them have reached or passed, whichever views they are.
    pub(crate) fn follow_others(&mut self, step: &mut Step) -> bool {
        if !self.signing.state.is_free() {
            return false;
        }
        let me = self.signing.signer.replica();
        let others = self.views.changes.values().filter(|change| change.signer() != me);
        let mut views: Vec<View> = others.map(CheckedViewChange::view).collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        // The later of both: with a deliberate fault a member stays in a view that it has left.
        let left = self.views.changes.get(&me).map_or(self.views.view, |own| own.view().max(self.views.view));
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
        if let Some(entered) = &self.views.entered
            && entered.view() == new_view.view()
            && entered.vote().body != new_view.vote().body
        {
            let evidence = Evidence::NewView(pair(entered.vote(), new_view.vote()));
            self.accuse(&evidence, step);
            return;
        }
        let earlier = is(Mutant::EntersEarlierViews) && new_view.view() < self.views.view;
        let later = new_view.view() > self.views.view
            || new_view.view() == self.views.view && !self.views.active
            || earlier;
        // A primary begins its views itself; what it forgot that it had begun is for R24 to find out.
        if later && new_view.vote().signer != self.signing.signer.replica() {
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
        self.views.view = new_view.view();
        self.views.active = true;
        self.signing.signer.leave_below(self.views.view);
        self.timer.entered(now.moment);
        self.views.departure_evidence = None;
        self.counters.views_entered += 1;
        step.records.push(Record::NewView(new_view.clone()));
        step.requests.push(Request::Entered { view: self.views.view, primary: self.primary() });
        self.views.entered = Some(new_view);
        self.forget_past(step);
        self.place_again(now, step);
    }

    /// What is final here was locked, so every later view begins with it or above (R10). Otherwise more than f
    /// members lied, and a node that goes on would only make it worse.
    fn assert_keeps_what_is_final(&self, new_view: &CheckedNewView) {
        let Some(certificate) = &self.chain.certificate else { return };
        if certificate.ballot().view >= new_view.view() {
            return;
        }
        let (tip, view) = (self.chain.tip.height, new_view.view());
        assert!(new_view.end() >= tip, "FORK: view {view} begins below height {tip}, which is final");
        let again = match new_view.base() {
            Some(base) if base.height == tip => Some(base.block),
            _ => new_view.at(tip).map(|(header, _)| header.hash()),
        };
        let same = again.is_none_or(|block| block == self.chain.tip_hash);
        assert!(same, "FORK: view {view} begins with another block at height {tip}, which is final");
    }

    /// Puts the blocks that the view begins with into their slots (R20).
    pub(crate) fn place_again(&mut self, now: Now, step: &mut Step) {
        let Some(new_view) = self.views.entered.clone() else { return };
        if let Some(base) = new_view.base()
            && base.height > self.chain.tip.height
            && self.path_to(base.height, base.block).is_none()
        {
            self.catch_up(base.height, step);
        }
        for (header, vote) in new_view.chain() {
            let height = header.height;
            if height <= self.chain.tip.height {
                continue;
            }
            let known = self.accepted_block(height, &header.hash()).map(|known| known.outline().clone());
            let slot = self.log.slots.entry((height, self.views.view)).or_default();
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
        let Some((header, vote)) =
            self.views.entered.as_ref().and_then(|entered| entered.at(outline.height()))
        else {
            return;
        };
        if header.hash() != outline.hash() || !self.views.active {
            return;
        }
        let proposal = CheckedProposal::new(vote.clone(), outline.clone());
        if let Some(slot) = self.log.slots.get_mut(&(outline.height(), self.views.view))
            && matches!(slot.stage, Stage::Empty)
        {
            let from = vote.signer;
            slot.stage = Stage::Waiting { proposal, from };
        }
    }

    /// Whether the view began with this height: such blocks are proposed again, not afresh.
    pub(crate) fn is_again(&self, height: Height) -> bool {
        self.views
            .entered
            .as_ref()
            .is_some_and(|entered| entered.view() == self.views.view && height <= entered.end())
    }

    /// Forgets what came for views that never began here and are not wanted any more. What came for the last one
    /// that did begin may still complete a certificate.
    fn forget_unbegun(&mut self) {
        let (view, began) =
            (self.views.view, self.views.entered.as_ref().map_or(View(0), CheckedNewView::view));
        self.log.slots.retain(|(_, of), slot| *of > view || *of == began || slot.accepted().is_some());
    }

    /// Forgets what is left of past views: slots without an accepted block, blocks that are accepted again in
    /// this view, and the oldest ones beyond [`PAST_WINDOWS`].
    pub(crate) fn forget_past(&mut self, step: &mut Step) {
        let view = self.views.view;
        self.log.slots.retain(|(_, of), slot| *of >= view || slot.accepted().is_some());
        let mut past: Vec<(View, Height)> = Vec::new();
        let mut again: Vec<(View, Height)> = Vec::new();
        for ((height, of), slot) in self.log.slots.range(..) {
            let Some(accepted) = slot.accepted().filter(|_| *of < view) else { continue };
            let now = self.log.slots.get(&(*height, view)).and_then(|slot| slot.accepted());
            let same = now.is_some_and(|now| now.outline().hash() == accepted.outline().hash());
            if same { again.push((*of, *height)) } else { past.push((*of, *height)) }
        }
        for place in again {
            self.drop_past(place, step);
        }
        let most = usize::try_from(PAST_WINDOWS * 2 * self.config.window).unwrap_or(usize::MAX);
        past.sort_unstable();
        let excess = past.len().saturating_sub(most);
        let unproven: Vec<_> = past
            .into_iter()
            .filter(|(of, height)| {
                let block =
                    self.log.slots[&(*height, *of)].accepted().map(|accepted| accepted.outline().hash());
                is(Mutant::PastBlocksGivenUp)
                    || self.log.prepared.get(height).map(|certificate| certificate.header().hash()) != block
            })
            .take(excess)
            .collect();
        for place in unproven {
            self.drop_past(place, step);
        }
    }

    fn drop_past(&mut self, (view, height): (View, Height), step: &mut Step) {
        let Some(slot) = self.log.slots.remove(&(height, view)) else { return };
        let Some(accepted) = slot.accepted() else { return };
        let block = accepted.outline().hash();
        let with_body = self.accepted_block(height, &block).is_none();
        step.records.push(Record::Dropped { view, height, block, with_body });
        if with_body {
            step.requests.push(Request::Forget(block));
        }
    }

    /// The members whose VIEW-CHANGE for the wanted view or a later one is here.
    pub(crate) fn departed(&self) -> impl Iterator<Item = ReplicaId> {
        self.views
            .changes
            .values()
            .filter(|change| change.view() >= self.views.view)
            .map(CheckedViewChange::signer)
    }
}
