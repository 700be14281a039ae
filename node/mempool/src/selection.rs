//! Selection of the transactions for the next block.

use std::collections::VecDeque;
use std::collections::btree_map;

use quorate_ledger::{BlockLimits, Timestamp, TransactionLimits, VerifiedTransaction};

use crate::waiting::{Arrival, Waiting};

/// A selection ends after this many senders' next transactions were too large for the remaining
/// room. The block is nearly full then, and searching a pool of large transactions for a small one
/// costs more than the last bytes are worth.
pub const MAX_MISFITS: usize = 64;

/// The limits of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Most transactions.
    pub max_transactions: u32,
    /// Most bytes of encoded transactions.
    pub max_body_bytes: u32,
    /// Decides which transactions are timely.
    pub transaction: TransactionLimits,
}

impl From<&BlockLimits> for Selection {
    /// The limits that the network sets for one block.
    fn from(limits: &BlockLimits) -> Self {
        Selection {
            max_transactions: limits.max_transactions,
            max_body_bytes: limits.max_body_bytes,
            transaction: limits.transaction,
        }
    }
}

/// The transactions for a block of this time, in their order in the block.
///
/// Senders take turns, one transaction a turn, each its oldest; the sender whose oldest has waited
/// longest begins. If a sender's next transaction does not fit into the remaining room, the sender
/// has no more turns in this block. So its transactions do not overtake each other, and other
/// senders are not delayed. Every block begins with the longest-waiting transaction, so each
/// transaction is selected once those before it are gone, however large it is.
///
/// A sender whose next transaction is not permitted has no more turns in this block, either.
pub(crate) fn select(
    waiting: &Waiting,
    block_time: Timestamp,
    selection: &Selection,
    permits: &mut dyn FnMut(&VerifiedTransaction) -> bool,
) -> Vec<VerifiedTransaction> {
    let room = selection.max_body_bytes;
    let mut block = Draft { block_time, selection, permits, room, misfits: 0, transactions: Vec::new() };
    // First round: open each queue only when its turn comes, so that a full block opens few of
    // them.
    let mut open = VecDeque::new();
    for queue in waiting.queues() {
        if block.is_full() {
            return block.transactions;
        }
        let mut turns = queue.iter();
        if block.take_turn(&mut turns) {
            open.push_back(turns);
        }
    }
    while let Some(mut turns) = open.pop_front()
        && !block.is_full()
    {
        if block.take_turn(&mut turns) {
            open.push_back(turns);
        }
    }
    block.transactions
}

type Turns<'a> = btree_map::Iter<'a, Arrival, VerifiedTransaction>;

struct Draft<'a> {
    block_time: Timestamp,
    selection: &'a Selection,
    permits: &'a mut dyn FnMut(&VerifiedTransaction) -> bool,
    room: u32,
    misfits: usize,
    transactions: Vec<VerifiedTransaction>,
}

impl Draft<'_> {
    fn is_full(&self) -> bool {
        self.misfits >= MAX_MISFITS || self.transactions.len() >= self.selection.max_transactions as usize
    }

    /// Takes a sender's next timely transaction. Returns whether the sender may have another turn.
    fn take_turn(&mut self, turns: &mut Turns<'_>) -> bool {
        let limits = &self.selection.transaction;
        let next = turns
            .map(|(_, transaction)| transaction)
            .find(|checked| limits.is_timely(checked.transaction().valid_until, self.block_time));
        let Some(next) = next else {
            return false;
        };
        let Some(room) = self.room.checked_sub(next.bytes()) else {
            self.misfits += 1;
            return false;
        };
        // Not a misfit: the clients of one member must not end the search for those of another.
        if !(self.permits)(next) {
            return false;
        }
        self.room = room;
        self.transactions.push(next.clone());
        true
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
