//! The transactions that ended here last without being ordered, so that a later request of a client
//! can still be answered.

use std::collections::{BTreeMap, VecDeque};

use quorate_ledger::TransactionId;

use crate::event::End;

/// How many ids are kept. The oldest is dropped first.
pub(crate) const ENDED_MAX: usize = 50_000;

/// The ends of the last [`ENDED_MAX`] transactions.
#[derive(Debug, Default)]
pub(crate) struct EndedTransactions {
    order: VecDeque<TransactionId>,
    ends: BTreeMap<TransactionId, End>,
}

impl EndedTransactions {
    pub(crate) fn push(&mut self, id: TransactionId, end: End) {
        if self.ends.insert(id, end).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > ENDED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, id: &TransactionId) -> Option<End> {
        self.ends.get(id).copied()
    }
}
