//! The transactions that expired here last, so that a later request of a client can still be
//! answered.

use std::collections::{BTreeSet, VecDeque};

use quorate_ledger::TransactionId;

/// How many ids are kept. The oldest is dropped first.
pub(crate) const EXPIRED_MAX: usize = 50_000;

/// The ids of the last [`EXPIRED_MAX`] expired transactions.
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
