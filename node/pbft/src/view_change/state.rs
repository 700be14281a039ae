//! The view of this replica, and what it knows about the way into the next one (R19, R20).

use std::collections::BTreeMap;

use quorate_ledger::{Header, Height, ReplicaId, Signed, Verified, View};

use crate::evidence::proof::Evidence;
use crate::messages::PrePrepare;
use crate::view_change::messages::{CheckedNewView, CheckedViewChange};
use crate::view_change::open::{Basis, Beginning};

/// See the module.
#[derive(Debug)]
pub(crate) struct Views {
    view: View,
    active: bool,
    entered: Option<CheckedNewView>,
    changes: BTreeMap<ReplicaId, CheckedViewChange>,
    suspects: BTreeMap<ReplicaId, View>,
    doubtful: Option<Beginning>,
    departure_evidence: Option<Evidence>,
}

impl Default for Views {
    /// View 0 is active: it needs no NEW-VIEW.
    fn default() -> Self {
        Views {
            view: View(0),
            active: true,
            entered: None,
            changes: BTreeMap::new(),
            suspects: BTreeMap::new(),
            doubtful: None,
            departure_evidence: None,
        }
    }
}

impl Views {
    pub(crate) fn view(&self) -> View {
        self.view
    }

    /// Whether the view has begun; otherwise the replica waits for a NEW-VIEW.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// The NEW-VIEW of the view that was entered last; `None` before the first.
    pub(crate) fn entered(&self) -> Option<&CheckedNewView> {
        self.entered.as_ref()
    }

    /// The last view that began here.
    pub(crate) fn entered_view(&self) -> View {
        self.entered.as_ref().map_or(View(0), CheckedNewView::view)
    }

    /// The NEW-VIEW of the present view, once it has begun; `None` in view 0.
    pub(crate) fn beginning(&self) -> Option<&CheckedNewView> {
        self.entered.as_ref().filter(|entered| entered.view() == self.view)
    }

    /// Whether the view began with a block at this height, or above it: such blocks are proposed again, not afresh.
    pub(crate) fn is_again(&self, height: Height) -> bool {
        self.beginning().is_some_and(|beginning| height <= beginning.end())
    }

    /// The block that the last view to begin has at this height, and the new primary's PRE-PREPARE for it.
    pub(crate) fn again_at(&self, height: Height) -> Option<&(Header, Verified<Signed<PrePrepare>>)> {
        self.entered.as_ref()?.at(height)
    }

    /// The replica leaves all views below this one.
    pub(crate) fn leave(&mut self, to: View) {
        (self.view, self.active) = (to, false);
        (self.doubtful, self.departure_evidence) = (None, None);
    }

    /// The view begins.
    pub(crate) fn enter(&mut self, new_view: CheckedNewView) {
        (self.view, self.active) = (new_view.view(), true);
        self.entered = Some(new_view);
        (self.doubtful, self.departure_evidence) = (None, None);
    }

    /// Takes a record back after a restart. [`Views::resume`] must follow.
    pub(crate) fn restore_entered(&mut self, new_view: CheckedNewView) {
        self.entered = Some(new_view);
    }

    /// Ends a restart: back in the view that was entered last, or waiting for a later one that `left` names.
    pub(crate) fn resume(&mut self, left: View) {
        let entered = self.entered_view();
        (self.view, self.active) = (left.max(entered), entered >= left);
    }

    /// The latest VIEW-CHANGE of each member, this replica included.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &CheckedViewChange> {
        self.changes.values()
    }

    /// The VIEW-CHANGEs for exactly this view.
    pub(crate) fn changes_for_this_view(&self) -> impl Iterator<Item = &CheckedViewChange> {
        self.changes().filter(|change| change.view() == self.view)
    }

    /// The latest VIEW-CHANGE of a member.
    pub(crate) fn change_of(&self, member: ReplicaId) -> Option<&CheckedViewChange> {
        self.changes.get(&member)
    }

    /// Keeps the VIEW-CHANGE in the place of the one that its signer sent before.
    pub(crate) fn keep_change(&mut self, change: CheckedViewChange) {
        self.changes.insert(change.signer(), change);
    }

    /// This member made a view begin with a block that never came here (R20).
    pub(crate) fn suspect(&mut self, member: ReplicaId, view: View) {
        self.suspects.insert(member, view);
    }

    /// The last view for which a member is suspected. Suspicions end when the committed chain grows.
    pub(crate) fn suspected_in(&self, member: ReplicaId) -> Option<View> {
        self.suspects.get(&member).copied()
    }

    /// The committed chain grows.
    pub(crate) fn clear_suspects(&mut self) {
        self.suspects.clear();
    }

    /// This replica, the primary of the view, puts this beginning off (R20).
    pub(crate) fn put_off(&mut self, beginning: Beginning) {
        self.doubtful = Some(beginning);
    }

    /// The beginning that was put off, if it was chosen from the same.
    pub(crate) fn take_put_off(&mut self, basis: Basis) -> Option<Beginning> {
        self.doubtful.take().filter(|beginning| beginning.is_from(basis))
    }

    /// The evidence for which this replica left the last view, until the next one begins. Other members need it, too.
    pub(crate) fn departure_evidence(&self) -> Option<&Evidence> {
        self.departure_evidence.as_ref()
    }

    pub(crate) fn set_departure_evidence(&mut self, evidence: Evidence) {
        self.departure_evidence = Some(evidence);
    }
}
