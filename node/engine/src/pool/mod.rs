//! Transactions that wait for a block, and the ids that no block may contain again.

pub(crate) mod expired;
pub(crate) mod outbound;
pub(crate) mod recent;
pub(crate) mod submit;

use quorate_ledger::{Block, Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::{Admission, Mempool};
use quorate_pbft::{Moment, Work};

use self::expired::Expired;
use self::outbound::Outbound;
use self::recent::RecentIds;

/// The mempool with what belongs to it: gossip, repetitions, and the last transactions that expired.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) mempool: Mempool,
    pub(crate) recent: RecentIds,
    pub(crate) outbound: Outbound,
    expired: Expired,
    /// What the replica was last told about the pool.
    reported: Work,
}

impl Pool {
    pub(crate) fn new(mempool: Mempool, recent: RecentIds, outbound: Outbound) -> Self {
        Pool { mempool, recent, outbound, expired: Expired::default(), reported: Work::default() }
    }

    /// A block is final: its transactions wait no longer, and no later block may contain them.
    pub(crate) fn note_final(&mut self, block: &Block) {
        self.mempool.remove(block.body().ids());
        self.recent.push(block.header().timestamp, block.outline().ids().clone());
    }

    /// Expires the transactions that no later block can contain. Answers their ids.
    pub(crate) fn expire(&mut self) -> Vec<TransactionId> {
        let Some(time) = self.recent.latest() else { return Vec::new() };
        let expired = self.mempool.expire(time);
        for id in &expired {
            self.expired.push(*id);
        }
        expired
    }

    /// Whether a transaction waited here and has expired, among the last [`expired::EXPIRED_MAX`].
    pub(crate) fn has_expired(&self, id: &TransactionId) -> bool {
        self.expired.contains(id)
    }

    /// Returns a transaction of a block that lost its place to the pool. This node may be the only one that holds it, so it
    /// is sent again later. A full pool takes none.
    pub(crate) fn return_transaction(
        &mut self,
        now: Moment,
        present: Timestamp,
        transaction: VerifiedTransaction,
    ) {
        let id = transaction.id();
        if let Ok(Admission::New) = self.mempool.admit(present, transaction) {
            self.outbound.adopt(now, id);
        }
    }

    /// What waits for a next block, if the replica was last told something else.
    pub(crate) fn changed_work(&mut self, present: Timestamp) -> Option<Work> {
        let work = match self.mempool.last_expiry() {
            None => Work::Nothing,
            Some(last) if last < present => Work::Expired,
            Some(_) => Work::Timely,
        };
        let changed = work != self.reported;
        self.reported = work;
        changed.then_some(work)
    }
}
