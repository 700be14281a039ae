//! The last transactions that expired here, so that their clients can still be told.

use std::collections::{BTreeSet, VecDeque};

use quorate_ledger::TransactionId;

/// How many are remembered. The oldest is forgotten first.
pub(crate) const EXPIRED_MAX: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    order: VecDeque<TransactionId>,
    ids: BTreeSet<TransactionId>,
}

impl Expired {
    pub(crate) fn push(&mut self, id: TransactionId) {
        if !self.ids.insert(id) {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > EXPIRED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, id: &TransactionId) -> bool {
        self.ids.contains(id)
    }
}
