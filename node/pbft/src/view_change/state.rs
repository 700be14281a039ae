//! The view of this replica, and its state on the way to the next one (R19, R20).

use std::collections::BTreeMap;

use quorate_ledger::{Header, Height, ReplicaId, Signed, Verified, View};

use crate::evidence::proof::Evidence;
use crate::messages::proposal::PrePrepare;
use crate::view_change::messages::{CheckedNewView, CheckedViewChange};
use crate::view_change::open::{Beginning, Inputs};

/// The view, the NEW-VIEW that began it, the VIEW-CHANGEs of all members, and the suspected
/// members.
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
    /// View 0 is active from the start: it needs no NEW-VIEW.
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

    /// Whether the view has begun. Otherwise the replica waits for its NEW-VIEW.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// The NEW-VIEW of the view that was entered last; `None` before the first.
    pub(crate) fn entered(&self) -> Option<&CheckedNewView> {
        self.entered.as_ref()
    }

    /// The view that was entered last; 0 before the first NEW-VIEW.
    pub(crate) fn entered_view(&self) -> View {
        self.entered.as_ref().map_or(View(0), CheckedNewView::view)
    }

    /// The NEW-VIEW of the current view, if it has begun; `None` in view 0.
    pub(crate) fn beginning(&self) -> Option<&CheckedNewView> {
        self.entered.as_ref().filter(|entered| entered.view() == self.view)
    }

    /// Whether this height is at or below the last one that the view proposes again. A proposal
    /// there is not fresh.
    pub(crate) fn is_again(&self, height: Height) -> bool {
        self.beginning().is_some_and(|beginning| height <= beginning.end())
    }

    /// The block that the view entered last proposes again at this height, and the primary's
    /// PRE-PREPARE for it.
    pub(crate) fn again_at(&self, height: Height) -> Option<&(Header, Verified<Signed<PrePrepare>>)> {
        self.entered.as_ref()?.at(height)
    }

    /// The replica leaves all views below `to`, and waits for a NEW-VIEW.
    pub(crate) fn leave(&mut self, to: View) {
        (self.view, self.active) = (to, false);
        (self.doubtful, self.departure_evidence) = (None, None);
    }

    /// The replica enters the view.
    pub(crate) fn enter(&mut self, new_view: CheckedNewView) {
        (self.view, self.active) = (new_view.view(), true);
        self.entered = Some(new_view);
        (self.doubtful, self.departure_evidence) = (None, None);
    }

    /// Restores the NEW-VIEW record. [`Views::resume`] must follow.
    pub(crate) fn restore_entered(&mut self, new_view: CheckedNewView) {
        self.entered = Some(new_view);
    }

    /// Ends the restart. The replica is in the view that it entered last, or waits for a later one,
    /// `left`, that its VIEW-CHANGE names (R13b).
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

    /// Keeps the VIEW-CHANGE, and drops the earlier one of its signer.
    pub(crate) fn keep_change(&mut self, change: CheckedViewChange) {
        self.changes.insert(change.signer(), change);
    }

    /// R20e: `view` began with a block that never came here, and the member's VIEW-CHANGE had its
    /// certificate.
    pub(crate) fn suspect(&mut self, member: ReplicaId, view: View) {
        self.suspects.insert(member, view);
    }

    /// The last view for which the member is suspected; `None` if it is not.
    pub(crate) fn suspected_in(&self, member: ReplicaId) -> Option<View> {
        self.suspects.get(&member).copied()
    }

    /// R20e: the committed chain grew, so the replica suspects no member any more.
    pub(crate) fn clear_suspects(&mut self) {
        self.suspects.clear();
    }

    /// R20e: this replica, the primary, waits for VIEW-CHANGEs of more members before it begins so.
    pub(crate) fn put_off(&mut self, beginning: Beginning) {
        self.doubtful = Some(beginning);
    }

    /// The beginning that was postponed, if its inputs are still the same.
    pub(crate) fn take_put_off(&mut self, inputs: Inputs) -> Option<Beginning> {
        self.doubtful.take().filter(|beginning| beginning.is_from(inputs))
    }

    /// The evidence for which this replica left the last view, until the next view begins. The
    /// replica resends it (R22c).
    pub(crate) fn departure_evidence(&self) -> Option<&Evidence> {
        self.departure_evidence.as_ref()
    }

    pub(crate) fn set_departure_evidence(&mut self, evidence: Evidence) {
        self.departure_evidence = Some(evidence);
    }
}
