//! Beginning a view as its primary, and the choice of the VIEW-CHANGEs it begins with (R20).

use quorate_ledger::{Header, Height, Signers, View};

use crate::messages::{Message, PrePrepare};
use crate::replica::Replica;
use crate::step::{Step, To};
use crate::time::Now;
use crate::timer::Timer;
use crate::view_change::messages::{
    CheckedNewView, CheckedViewChange, NewView, NewViewMessage, Selection, view_changes_needed,
};

/// How this replica would begin its view.
#[derive(Debug)]
pub(crate) struct Beginning {
    basis: Basis,
    chosen: Vec<CheckedViewChange>,
    selection: Selection,
}

/// What the choice of a beginning depends on. Suspicions change with the view and the tip alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Basis {
    view: View,
    tip: Height,
    /// The members whose VIEW-CHANGEs for this view are here.
    signers: Signers,
}

impl Beginning {
    pub(crate) fn is_from(&self, basis: Basis) -> bool {
        self.basis == basis
    }
}

impl Replica {
    /// R20: the primary of the wanted view begins it once a quorum has sent VIEW-CHANGE for exactly this view.
    /// Returns whether it did.
    pub(crate) fn open_view(&mut self, now: Now, step: &mut Step) -> bool {
        if self.views.is_active() || !self.signing.is_enabled() || !self.is_primary() {
            return false;
        }
        let Some(beginning) = self.choose_beginning() else {
            self.timers.stop(Timer::Opening);
            return false;
        };
        if self.is_doubtful(&beginning) {
            self.timers.start(Timer::Opening, now.moment);
            if self.timers.opening_due().is_some_and(|due| now.moment < due) {
                self.views.put_off(beginning);
                return false;
            }
        }
        self.open(now, beginning, step);
        true
    }

    /// A quorum of VIEW-CHANGEs for this view, ascending by signer, and how the view begins with them. Any quorum is
    /// safe (R19), so this replica takes its own and those of the members that are suspected least.
    fn choose_beginning(&mut self) -> Option<Beginning> {
        let (me, quorum) = (self.signing.replica(), view_changes_needed(&self.config.committee));
        // Each further message would select again, which takes up to a millisecond in a large committee.
        let signers = Signers::of(self.views.changes_for_this_view().map(CheckedViewChange::signer));
        let basis = Basis { view: self.views.view(), tip: self.chain.height(), signers };
        if let Some(same) = self.views.take_put_off(basis) {
            return Some(same);
        }
        let own = self.views.changes_for_this_view().find(|change| change.signer() == me)?;
        let others = self.views.changes_for_this_view().filter(|change| change.signer() != me);
        let mut chosen: Vec<&CheckedViewChange> = others.collect();
        // Members without suspicion first, then those that were suspected the longest time ago, then by index.
        chosen.sort_by_key(|change| self.views.suspected_in(change.signer()));
        chosen.truncate(quorum - 1);
        chosen.push(own);
        if chosen.len() < quorum {
            return None;
        }
        chosen.sort_by_key(|change| change.signer());
        // Only more than f faulty members can make this fail. The view then ends by its timeout.
        let selection = Selection::of(&chosen.iter().map(|change| &change.message().knowledge)).ok()?;
        Some(Beginning { basis, chosen: chosen.into_iter().cloned().collect(), selection })
    }

    /// Whether a suspected member is the reason to begin with a block that this replica does not hold. The VIEW-CHANGE
    /// of another member may make that member's needless.
    fn is_doubtful(&self, Beginning { chosen, selection, .. }: &Beginning) -> bool {
        let base = selection.base.as_ref().map_or(Height(0), |base| base.ballot().height);
        let Some(missing) = self.first_missing(base, selection.chain.iter()) else { return false };
        let suspected = |change: &&CheckedViewChange| self.views.suspected_in(change.signer()).is_some();
        let mut suspected = chosen.iter().filter(suspected);
        suspected.any(|change| change.message().knowledge.has_prepared(missing))
    }

    fn open(&mut self, now: Now, Beginning { chosen, selection, .. }: Beginning, step: &mut Step) {
        let view_changes: Vec<_> = chosen.iter().map(|change| change.message().clone()).collect();
        let (epoch, view) = (self.config.epoch, self.views.view());
        let votes: Vec<_> =
            selection.ballots(epoch, view).map(|ballot| self.signing.sign(PrePrepare(ballot))).collect();
        let pre_prepares: Vec<_> = votes.iter().map(|vote| vote.clone().into_inner()).collect();
        let content = NewViewMessage::content(&view_changes, &pre_prepares);
        let vote = self.signing.sign(NewView { epoch, view, content }).into_inner();
        let message = NewViewMessage { vote, view_changes, pre_prepares };
        step.send(To::All, Message::NewView(message.clone()));
        self.enter(now, CheckedNewView::own(message, selection, votes), step);
        // Members that lack a block that is proposed again need to know what is in it.
        for (header, _) in self.views.entered().into_iter().flat_map(|new_view| new_view.chain()) {
            let slot = self.log.slot(header.height, view);
            if let Some(proposal) = slot.and_then(|slot| slot.proposal()) {
                step.send(To::All, proposal.to_message());
            }
        }
    }

    /// The view ends. If it began with a block that never came to this replica, the members whose VIEW-CHANGE said that
    /// it was prepared are suspected of holding the certificate of a block that no correct member keeps (R20).
    pub(crate) fn suspect_signers(&mut self) {
        let Some(began) = self.views.beginning().filter(|_| self.views.is_active()).cloned() else {
            return;
        };
        let base = began.base().map_or(Height(0), |base| base.height);
        let Some(missing) = self.first_missing(base, began.chain().iter().map(|(header, _)| header)) else {
            return;
        };
        for change in &began.message().view_changes {
            if change.knowledge.has_prepared(missing) {
                self.views.suspect(change.vote.signer, began.view());
            }
        }
    }

    /// The lowest of these blocks on `base` that is open and was never accepted here. None is missing for certain while
    /// this replica is behind the base, and none above the lowest: a block is accepted after its parent (R3).
    fn first_missing<'a>(
        &self,
        base: Height,
        mut chain: impl Iterator<Item = &'a Header>,
    ) -> Option<&'a Header> {
        if base > self.chain.height() {
            return None;
        }
        chain.find(|header| header.height > self.chain.height() && !self.holds(header.height, &header.hash()))
    }
}
