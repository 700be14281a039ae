//! The mempool, and the ids that no block may contain again.

pub(crate) mod ended;
pub(crate) mod outbound;
pub(crate) mod recent;
pub(crate) mod share;
pub(crate) mod submit;

use std::collections::BTreeSet;

use quorate_ledger::{Block, NotPermitted, PublicKey, Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::{Admission, Mempool, Share};
use quorate_pbft::{Moment, Work};

use self::ended::EndedTransactions;
use self::outbound::Outbound;
use self::recent::RecentIds;
use crate::config::EngineConfig;
use crate::event::End;

/// The mempool with its surroundings: gossip, recent ids, and the transactions that ended last.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) mempool: Mempool,
    pub(crate) recent: RecentIds,
    pub(crate) outbound: Outbound,
    ended: EndedTransactions,
    /// The work that was last reported to the replica.
    reported: Work,
}

impl Pool {
    pub(crate) fn new(mempool: Mempool, recent: RecentIds, outbound: Outbound) -> Self {
        Pool { mempool, recent, outbound, ended: EndedTransactions::default(), reported: Work::default() }
    }

    /// A block is final: removes its transactions from the pool, and records that no later block
    /// may contain them (R16).
    pub(crate) fn note_final(&mut self, block: &Block) {
        self.mempool.remove(block.body().ids());
        self.recent.push(block.header().timestamp, block.skeleton().ids().clone());
    }

    /// Expires the transactions that no later block can contain. Returns their ids.
    pub(crate) fn expire(&mut self) -> Vec<TransactionId> {
        let Some(time) = self.recent.latest() else { return Vec::new() };
        let expired = self.mempool.expire(time);
        for id in &expired {
            self.ended.push(*id, End::Expired);
        }
        expired
    }

    /// Rejects the waiting transactions that `reason` gives a reason against, of these senders or of all.
    pub(crate) fn reject(
        &mut self,
        of: Option<&BTreeSet<PublicKey>>,
        reason: impl FnMut(&VerifiedTransaction) -> Option<NotPermitted>,
    ) -> Vec<(TransactionId, NotPermitted)> {
        let rejected = self.mempool.reject(of, reason);
        for (id, reason) in &rejected {
            self.ended.push(*id, End::Rejected(*reason));
        }
        rejected
    }

    /// How a pooled transaction ended here without being ordered. Covers the last
    /// [`ended::ENDED_MAX`] ones.
    pub(crate) fn end_of(&self, id: &TransactionId) -> Option<End> {
        self.ended.get(id)
    }

    /// Returns a transaction of a dropped block to the pool. This node may be the only one that
    /// holds it, so it is resent later. A full pool, or a full share of it, refuses it.
    pub(crate) fn return_transaction(
        &mut self,
        now: Moment,
        present: Timestamp,
        share: Share,
        transaction: VerifiedTransaction,
    ) {
        let id = transaction.id();
        if let Ok(Admission::New) = self.mempool.admit(present, share, transaction) {
            self.outbound.adopt(now, id);
        }
    }

    /// The work that waits for a next block (R15b); `None` if it equals the last report.
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

    /// A new epoch begins with this configuration. Its replica knows of no work yet.
    pub(crate) fn begin_epoch(&mut self, now: Moment, config: &EngineConfig) {
        self.mempool.set_limits(config.mempool);
        self.outbound.set_delays(now, config.batch_delay, config.pbft.request_timeout);
        self.reported = Work::default();
    }
}
