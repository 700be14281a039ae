//! The view of this replica, and what it knows about the way into the next one.

use std::collections::BTreeMap;

use quorate_ledger::{ReplicaId, View};

use crate::evidence::proof::Evidence;
use crate::view_change::messages::{CheckedNewView, CheckedViewChange};
use crate::view_change::open::Beginning;

/// See the module.
#[derive(Debug)]
pub(crate) struct Views {
    pub(crate) view: View,
    /// Whether the view has begun; otherwise the replica waits for a NEW-VIEW.
    pub(crate) active: bool,
    /// The NEW-VIEW of the view that was entered last; `None` for view 0.
    pub(crate) entered: Option<CheckedNewView>,
    /// The latest VIEW-CHANGE of each member, this replica included.
    pub(crate) changes: BTreeMap<ReplicaId, CheckedViewChange>,
    /// Members that made a view begin with a block that never came here, and the last such view (R20). Empty again
    /// when the tip grows.
    pub(crate) suspects: BTreeMap<ReplicaId, View>,
    /// The beginning of the view that this replica, its primary, puts off (R20).
    pub(crate) doubtful: Option<Beginning>,
    /// The evidence for which this replica left the last view, until the next one begins.
    pub(crate) departure_evidence: Option<Evidence>,
}

impl Default for Views {
    /// View 0 needs no NEW-VIEW.
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
