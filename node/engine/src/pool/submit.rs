//! Admission of transactions from clients and from other members.

use quorate_governance::Operation;
use quorate_ledger::{Payload, Refusal, Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::Admission;
use quorate_pbft::Now;
use quorate_store::StoreError;

use crate::engine::Engine;
use crate::event::{End, Submission};

impl Engine {
    /// Admits a transaction of a client, and returns the outcome.
    pub(crate) fn on_submitted(
        &mut self,
        now: Now,
        transaction: VerifiedTransaction,
    ) -> Result<Submission, Refusal> {
        let id = transaction.id();
        // A transaction in a block here may still be committed while the time of the chain permits
        // it, even if this node's clock says that it is late. It is admitted, too: if its block
        // loses its place, a later block must prove the expiry (R17).
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
        // Submitting a committed transaction again is no error, however late. The answer is its
        // place.
        let ended = matches!(refused, Denied::Repeated | Denied::Refused(Refusal::Expired { .. }));
        // The client chooses which page is read, so a page that cannot be read must not stop the
        // node. The client gets an error instead of an answer that may be false.
        let located = if ended { self.storage.reader().locate(&id) } else { Ok(None) };
        match (located, refused) {
            (Ok(Some((height, index))), _) => Ok(Submission::Committed { height, index }),
            (Err(StoreError::Damaged { .. }), _) => Err(Refusal::LedgerDamaged),
            (Err(_), _) => Err(Refusal::LedgerUnreadable),
            (Ok(None), Denied::Refused(refusal)) => Err(refusal),
            // The block became final in this group and is not in the ledger yet. A waiting client
            // gets its place at once.
            (Ok(None), Denied::Repeated) => Ok(Submission::Pending),
        }
    }

    /// Admits transactions from another member. Refusals are only counted: no client is waiting.
    ///
    /// The time of the chain decides what is late, not the clock of this node (R17). The member
    /// that admitted the transaction needs a block that proves the expiry, and may be unable to get
    /// one alone.
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

    /// Admits a transaction that is valid at `earliest` or later.
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
        // A proposal may lack it, whether or not the pool takes it.
        if self.fetching.bodies.is_missing(&id) {
            self.fetching.bodies.supply(std::slice::from_ref(&transaction));
        }
        // It has not expired on the chain yet, and the next block may contain it, however late it
        // is submitted again.
        if self.pool.mempool.contains(&id) {
            return Ok(Admission::Known);
        }
        let limits = &self.config.pbft.limits.transaction;
        transaction.transaction().check_form(limits).map_err(Refusal::Invalid)?;
        if let Payload::Governance(operation) = &transaction.transaction().payload {
            Operation::decode(operation).map_err(|error| Refusal::Operation(error.reason))?;
        }
        let share = self.storage.execution().check_alone(&transaction).map_err(Refusal::NotPermitted)?;
        let present = self.present(now);
        let valid_until = transaction.transaction().valid_until;
        if valid_until < earliest {
            return Err(Refusal::Expired { valid_until, now: present }.into());
        }
        let latest = present.plus_ms(limits.max_lifetime_ms);
        if valid_until > latest {
            return Err(Refusal::LifetimeTooLong { valid_until, latest }.into());
        }
        Ok(self.pool.mempool.admit(earliest, share, transaction)?)
    }

    /// The time that counts for admission: the later of the clock and the time of the last block.
    /// On an idle chain the last block is older than the clock; with a slow clock it is the other
    /// way round.
    pub(crate) fn present(&self, now: Now) -> Timestamp {
        now.wall.max(self.driver.replica().tip().timestamp)
    }

    /// All transactions of the pool, in the order of admission, for a node that ends this engine and goes
    /// on with another key or role.
    pub fn pooled(&self) -> Vec<VerifiedTransaction> {
        self.pool.mempool.transactions()
    }

    /// Whether the pool holds a transaction.
    pub fn is_pending(&self, id: &TransactionId) -> bool {
        self.pool.mempool.contains(id)
    }

    /// Whether a pooled transaction expired here. Covers the last 50,000 that ended.
    pub fn has_expired(&self, id: &TransactionId) -> bool {
        self.pool.end_of(id) == Some(End::Expired)
    }

    /// How a pooled transaction ended here without being ordered. Covers the last 50,000 ones.
    pub fn end_of(&self, id: &TransactionId) -> Option<End> {
        self.pool.end_of(id)
    }
}

/// Why a transaction does not enter the pool.
enum Denied {
    /// A recent block contains it.
    Repeated,
    /// For a reason that the client should get.
    Refused(Refusal),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Denied::Refused(refusal)
    }
}
