//! The door for transactions: from clients and from other members alike.

use quorate_ledger::{Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::{Admission, Refusal as PoolRefusal};
use quorate_pbft::Now;
use quorate_store::StoreError;

use crate::engine::Engine;
use crate::event::{Refusal, Submission};

impl Engine {
    /// Takes a transaction from a client and says what became of it.
    pub(crate) fn on_submitted(
        &mut self,
        now: Now,
        transaction: VerifiedTransaction,
    ) -> Result<Submission, Refusal> {
        let id = transaction.id();
        // What is in a block here may be committed until the chain says that it is late, whatever our clock says. It is
        // taken, too: if the block has lost its place, somebody must see to its end (R17).
        let earliest =
            if self.flight.contains(&id) { self.driver.replica().tip().timestamp } else { self.present(now) };
        let refused = match self.admit(now, earliest, transaction.clone()) {
            Ok(Admission::New) => {
                self.pool.outbound.push(now.moment, transaction);
                return Ok(Submission::Pending);
            }
            Ok(Admission::Known) => return Ok(Submission::Pending),
            Err(refused) => refused,
        };
        // A transaction that is in the chain is no error however late it is sent again: the client asks where.
        let ended = matches!(refused, Denied::Repeated | Denied::Refused(Refusal::Expired { .. }));
        // A client chooses what is looked up, so a page that cannot be read must not end the node. Neither does the client
        // get an answer that may be false.
        let located = if ended { self.storage.reader().locate(&id) } else { Ok(None) };
        match (located, refused) {
            (Ok(Some((height, index))), _) => Ok(Submission::Committed { height, index }),
            (Err(StoreError::Damaged { .. }), _) => Err(Refusal::LedgerDamaged),
            (Err(_), _) => Err(Refusal::LedgerUnreadable),
            (Ok(None), Denied::Refused(refusal)) => Err(refusal),
            // Final in this very group, which is not in the ledger yet: a wait ends at once.
            (Ok(None), Denied::Repeated) => Ok(Submission::Pending),
        }
    }

    /// Takes transactions from another member. What is refused here was refused to nobody.
    ///
    /// Late is what the chain calls late, not our clock: the member that took it waits for a block to say so, and
    /// may have nobody else to see to it (R17).
    pub(crate) fn on_gossiped(&mut self, now: Now, transactions: Vec<VerifiedTransaction>) {
        let time = self.driver.replica().tip().timestamp;
        for transaction in transactions {
            let id = transaction.id();
            match self.admit(now, time, transaction) {
                Ok(Admission::New) => self.pool.outbound.adopt(now.moment, id),
                Ok(Admission::Known) | Err(Denied::Repeated) => {}
                Err(Denied::Refused(_)) => self.counters.gossip_refused += 1,
            }
        }
    }

    /// Takes a transaction that is still valid at `earliest`.
    fn admit(
        &mut self,
        now: Now,
        earliest: Timestamp,
        transaction: VerifiedTransaction,
    ) -> Result<Admission, Denied> {
        let id = transaction.id();
        if self.pool.recent.contains(&id) {
            return Err(Denied::Repeated);
        }
        // A proposal may wait for it, whether or not the pool takes it.
        if self.fetching.bodies.is_missing(&id) {
            self.fetching.bodies.supply(std::slice::from_ref(&transaction));
        }
        // However late it is sent again: it has not ended yet, and may be in the next block.
        if self.pool.mempool.contains(&id) {
            return Ok(Admission::Known);
        }
        let limits = &self.config.pbft.limits.transaction;
        transaction.transaction().check_form(limits).map_err(Refusal::Rejected)?;
        let present = self.present(now);
        let valid_until = transaction.transaction().valid_until;
        if valid_until < earliest {
            return Err(Refusal::Expired { valid_until, now: present }.into());
        }
        if valid_until > present.plus_ms(limits.max_lifetime_ms) {
            let lifetime_ms = limits.max_lifetime_ms;
            return Err(Refusal::LifetimeTooLong { valid_until, now: present, lifetime_ms }.into());
        }
        self.pool.mempool.admit(earliest, transaction).map_err(|refusal| match refusal {
            PoolRefusal::PoolFull { transactions, bytes, .. } => {
                Refusal::PoolFull { transactions, bytes }.into()
            }
            PoolRefusal::SenderQuota { transactions, bytes, .. } => {
                Refusal::SenderQuota { transactions, bytes }.into()
            }
            PoolRefusal::Expired { .. } => Refusal::Expired { valid_until, now: present }.into(),
        })
    }

    /// On an idle chain the last block's time lags behind the clock; with a slow clock it is the other way
    /// round. What counts for admission is the later of the two.
    pub(crate) fn present(&self, now: Now) -> Timestamp {
        now.wall.max(self.driver.replica().tip().timestamp)
    }

    /// Whether a transaction waits here.
    pub fn is_pending(&self, id: &TransactionId) -> bool {
        self.pool.mempool.contains(id)
    }

    /// Whether a transaction waited here and has expired. Remembered for the last
    /// 50,000 of them.
    pub fn has_expired(&self, id: &TransactionId) -> bool {
        self.pool.has_expired(id)
    }
}

/// Why a transaction does not enter the pool.
enum Denied {
    /// It is in a recent block.
    Repeated,
    /// For a reason that its sender should hear.
    Refused(Refusal),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Denied::Refused(refusal)
    }
}
