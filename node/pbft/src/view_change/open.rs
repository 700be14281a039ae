//! Beginning a view as its primary, and the choice of the VIEW-CHANGEs it begins with (R20).

use quorate_ledger::{Header, Height, Signers, View};

use crate::messages::{Message, PrePrepare};
use crate::replica::Replica;
use crate::step::{Step, To};
use crate::time::Now;
use crate::view_change::messages::{
    CheckedNewView, CheckedViewChange, NewView, NewViewMessage, Selection, view_changes_needed,
};

/// How this replica would begin its view.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// What the choice depends on: the view, the height of the tip, and the members whose VIEW-CHANGEs for this view
    /// are here. Suspicions change with the view and the tip alone.
    from: (View, Height, Signers),
    chosen: Vec<CheckedViewChange>,
    selection: Selection,
}

impl Replica {
    /// R20: the primary of the wanted view begins it once a quorum has sent VIEW-CHANGE for exactly this view.
    /// Returns whether it did.
    pub(crate) fn open_view(&mut self, now: Now, step: &mut Step) -> bool {
        if self.views.active || !self.signing.state.is_free() || !self.is_primary() {
            return false;
        }
        let Some(beginning) = self.choose_beginning() else {
            self.timer.open_due = None;
            return false;
        };
        if self.is_doubtful(&beginning) && now.moment < self.opening_due(now) {
            self.views.doubtful = Some(beginning);
            return false;
        }
        self.open(now, beginning, step);
        true
    }

    /// A quorum of VIEW-CHANGEs for this view, ascending by signer, and how the view begins with them. Any quorum is
    /// safe (R19), so this replica takes its own and those of the members that are suspected least.
    fn choose_beginning(&mut self) -> Option<Beginning> {
        let (me, quorum) = (self.signing.signer.replica(), view_changes_needed(&self.config.committee));
        let wanted = |change: &&CheckedViewChange| change.view() == self.views.view;
        // Each further message would select again, which takes up to a millisecond in a large committee.
        let signers = self.views.changes.values().filter(wanted).map(CheckedViewChange::signer);
        let from = (self.views.view, self.chain.tip.height, Signers::of(signers));
        if let Some(same) = self.views.doubtful.take_if(|chosen| chosen.from == from) {
            return Some(same);
        }
        self.views.doubtful = None;
        let own = self.views.changes.get(&me).filter(wanted)?;
        let others = self.views.changes.values().filter(wanted).filter(|change| change.signer() != me);
        let mut chosen: Vec<&CheckedViewChange> = others.collect();
        // Members without suspicion first, then those that were suspected the longest time ago, then by index.
        chosen.sort_by_key(|change| self.views.suspects.get(&change.signer()));
        chosen.truncate(quorum - 1);
        chosen.push(own);
        if chosen.len() < quorum {
            return None;
        }
        chosen.sort_by_key(|change| change.signer());
        // Only more than f faulty members can make this fail. The view then ends by its timeout.
        let selection = Selection::of(&chosen.iter().map(|change| &change.message().knowledge)).ok()?;
        Some(Beginning { from, chosen: chosen.into_iter().cloned().collect(), selection })
    }

    /// Whether a suspected member is the reason to begin with a block that this replica does not hold. The VIEW-CHANGE
    /// of another member may make that member's needless.
    fn is_doubtful(&self, Beginning { chosen, selection, .. }: &Beginning) -> bool {
        let base = selection.base.as_ref().map_or(Height(0), |base| base.ballot().height);
        let Some(missing) = self.first_missing(base, selection.chain.iter()) else { return false };
        let suspected = |change: &&CheckedViewChange| self.views.suspects.contains_key(&change.signer());
        let mut suspected = chosen.iter().filter(suspected);
        suspected.any(|change| change.message().knowledge.has_prepared(missing))
    }

    fn open(&mut self, now: Now, Beginning { chosen, selection, .. }: Beginning, step: &mut Step) {
        let view_changes: Vec<_> = chosen.iter().map(|change| change.message().clone()).collect();
        let (epoch, view) = (self.config.epoch, self.views.view);
        let votes: Vec<_> = selection
            .ballots(epoch, view)
            .map(|ballot| self.signing.signer.sign(PrePrepare(ballot)))
            .collect();
        let pre_prepares: Vec<_> = votes.iter().map(|vote| vote.clone().into_inner()).collect();
        let content = NewViewMessage::content(&view_changes, &pre_prepares);
        let vote = self.signing.signer.sign(NewView { epoch, view, content }).into_inner();
        let message = NewViewMessage { vote, view_changes, pre_prepares };
        step.send(To::All, Message::NewView(message.clone()));
        self.enter(now, CheckedNewView::own(message, selection, votes), step);
        // Members that lack a block that is proposed again need to know what is in it.
        for (header, _) in self.views.entered.iter().flat_map(|new_view| new_view.chain()) {
            let slot = self.log.slots.get(&(header.height, view));
            if let Some(proposal) = slot.and_then(|slot| slot.proposal()) {
                step.send(To::All, proposal.to_message());
            }
        }
    }

    /// The view ends. If it began with a block that never came to this replica, the members whose VIEW-CHANGE said that
    /// it was prepared are suspected of holding the certificate of a block that no correct member keeps (R20).
    pub(crate) fn suspect_signers(&mut self) {
        let Some(began) =
            self.views.entered.clone().filter(|began| self.views.active && began.view() == self.views.view)
        else {
            return;
        };
        let base = began.base().map_or(Height(0), |base| base.height);
        let Some(missing) = self.first_missing(base, began.chain().iter().map(|(header, _)| header)) else {
            return;
        };
        for change in &began.message().view_changes {
            if change.knowledge.has_prepared(missing) {
                self.views.suspects.insert(change.vote.signer, began.view());
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
        if base > self.chain.tip.height {
            return None;
        }
        chain.find(|header| {
            header.height > self.chain.tip.height && !self.holds(header.height, &header.hash())
        })
    }
}
