//! Beginning a view as its primary: choosing the VIEW-CHANGEs, and sending NEW-VIEW (R20a, R20e).

use quorate_ledger::{Header, Height, Signers, View};

use crate::messages::Message;
use crate::messages::proposal::PrePrepare;
use crate::replica::Replica;
use crate::step::{Step, To};
use crate::time::Now;
use crate::timer::Timer;
use crate::view_change::messages::{CheckedNewView, CheckedViewChange};
use crate::view_change::selection::{Selection, view_changes_needed};
use crate::view_change::statements::NewView;

/// The VIEW-CHANGEs that the primary would begin its view with, and what they select.
#[derive(Debug)]
pub(crate) struct Beginning {
    inputs: Inputs,
    chosen: Vec<CheckedViewChange>,
    selection: Selection,
}

/// The inputs of the choice. Suspicions change only with the view and the committed chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inputs {
    view: View,
    tip: Height,
    /// The members whose VIEW-CHANGEs for this view are here.
    signers: Signers,
}

impl Beginning {
    pub(crate) fn is_from(&self, inputs: Inputs) -> bool {
        self.inputs == inputs
    }
}

impl Replica {
    /// R20a: as the primary of a view that has not begun, begins it once a quorum has sent
    /// VIEW-CHANGEs for exactly this view. `true` if it began.
    pub(crate) fn open_view(&mut self, now: Now, step: &mut Step) -> bool {
        if self.views.is_active() || !self.may_sign() || !self.is_primary() {
            return false;
        }
        let Some(beginning) = self.choose_beginning() else {
            // Without a quorum of VIEW-CHANGEs there is no beginning to postpone.
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

    /// A quorum of VIEW-CHANGEs for this view, ascending by signer, and what they select. Any
    /// quorum is safe (R19a), so the replica takes its own, and others of the members that it
    /// suspects least (R20e).
    fn choose_beginning(&mut self) -> Option<Beginning> {
        let (me, quorum) = (self.signing.replica(), view_changes_needed(&self.config.context.committee));
        // Reuse the choice while its inputs are the same. Selecting takes up to a millisecond in a
        // large committee, and this runs at every step.
        let signers = Signers::of(self.views.changes_for_this_view().map(CheckedViewChange::signer));
        let inputs = Inputs { view: self.views.view(), tip: self.chain.height(), signers };
        if let Some(same) = self.views.take_put_off(inputs) {
            return Some(same);
        }
        let own = self.views.changes_for_this_view().find(|change| change.signer() == me)?;
        let others = self.views.changes_for_this_view().filter(|change| change.signer() != me);
        let mut chosen: Vec<&CheckedViewChange> = others.collect();
        // Members without suspicion first, then those suspected in the lowest view, then by index
        // (the sort is stable).
        chosen.sort_by_key(|change| self.views.suspected_in(change.signer()));
        chosen.truncate(quorum - 1);
        chosen.push(own);
        if chosen.len() < quorum {
            return None;
        }
        chosen.sort_by_key(|change| change.signer());
        // This fails only if more than f members are faulty. The view then ends by its timeout.
        let payloads = chosen.iter().map(|change| &change.message().payload);
        let selection = Selection::of(self.config.context.root, &payloads).ok()?;
        Some(Beginning { inputs, chosen: chosen.into_iter().cloned().collect(), selection })
    }

    /// R20e: whether a suspected member has the certificate for a block that this replica would
    /// propose again without holding it. The VIEW-CHANGE of another member may replace it.
    fn is_doubtful(&self, Beginning { chosen, selection, .. }: &Beginning) -> bool {
        let root = self.config.context.root.height;
        let anchor = selection.anchor.as_ref().map_or(root, |anchor| anchor.ballot().height);
        let Some(missing) = self.first_missing(anchor, selection.chain.iter()) else { return false };
        let suspected = |change: &&CheckedViewChange| self.views.suspected_in(change.signer()).is_some();
        let mut suspected = chosen.iter().filter(suspected);
        suspected.any(|change| change.message().payload.has_prepared(missing))
    }

    fn open(&mut self, now: Now, Beginning { chosen, selection, .. }: Beginning, step: &mut Step) {
        let (epoch, view) = (self.config.context.epoch(), self.views.view());
        let votes: Vec<_> =
            selection.ballots(epoch, view).map(|ballot| self.signing.sign(PrePrepare(ballot))).collect();
        let sign = |content| self.signing.sign(NewView { epoch, view, content });
        let new_view = CheckedNewView::own(self.config.context.root, &chosen, selection, votes, sign);
        step.send(To::All, Message::NewView(new_view.message().clone()));
        self.enter(now, new_view, step);
        // Members that lack a block that is proposed again need its ids (R20a).
        for (header, _) in self.views.entered().into_iter().flat_map(|new_view| new_view.chain()) {
            let slot = self.log.slot(header.height, view);
            if let Some(proposal) = slot.and_then(|slot| slot.proposal()) {
                step.send(To::All, proposal.to_message());
            }
        }
    }

    /// R20e: the view ends. If it proposed a block again that this replica never accepted, suspects
    /// the members whose VIEW-CHANGE has its prepared certificate. They may have hidden it until no
    /// correct member kept the block.
    pub(crate) fn suspect_signers(&mut self) {
        let Some(began) = self.views.beginning().filter(|_| self.views.is_active()).cloned() else {
            return;
        };
        let chain = began.chain().iter().map(|(header, _)| header);
        let Some(missing) = self.first_missing(began.base().height, chain) else {
            return;
        };
        for change in &began.message().view_changes {
            if change.payload.has_prepared(missing) {
                self.views.suspect(change.vote.signer, began.view());
            }
        }
    }

    /// The lowest of these blocks above `anchor` that is open and was never accepted here. `None`
    /// while this replica is behind `anchor`, since nothing is certain then. Blocks above the lowest
    /// do not count: a block is accepted after its parent (R3).
    fn first_missing<'a>(
        &self,
        anchor: Height,
        mut chain: impl Iterator<Item = &'a Header>,
    ) -> Option<&'a Header> {
        if anchor > self.chain.height() {
            return None;
        }
        chain.find(|header| header.height > self.chain.height() && !self.holds(header.height, &header.hash()))
    }
}
