//! The pool: its state and its operations.

use std::collections::{BTreeMap, BTreeSet};

use quorate_ledger::mutant::{Mutant, is};
use quorate_ledger::{PublicKey, Refusal, Timestamp, TransactionId, VerifiedTransaction};

use crate::admission::{Admission, MempoolLimits, Share};
use crate::selection::{Selection, select};
use crate::statistics::{Counters, MempoolStatistics};
use crate::usage::PoolUsage;
use crate::waiting::{Arrival, Entry, Waiting, WaitingTransaction};

/// The transactions from admission until they are committed or have expired.
///
/// A held transaction is in one of two states. It *waits*, or it is *in flight*: part of an
/// accepted block that is not committed yet. Only waiting transactions are selected, resent and
/// expired.
#[derive(Debug)]
pub struct Mempool {
    limits: MempoolLimits,
    held: BTreeMap<TransactionId, Entry>,
    usage: PoolUsage,
    waiting: Waiting,
    /// May contain ids that are not held: a block's transactions need not have been admitted here.
    in_flight: BTreeSet<TransactionId>,
    arrivals: u64,
    /// Latest time of an admission.
    latest: Timestamp,
    counters: Counters,
}

impl Mempool {
    /// An empty pool.
    pub fn new(limits: MempoolLimits) -> Self {
        Mempool {
            limits,
            held: BTreeMap::new(),
            usage: PoolUsage::default(),
            waiting: Waiting::default(),
            in_flight: BTreeSet::new(),
            arrivals: 0,
            latest: Timestamp(0),
            counters: Counters::default(),
        }
    }

    /// Admits a transaction to its share of the pool, or refuses it. `now` is the later of the clock
    /// and the time of the last block. Costs O(log n) for n transactions held.
    ///
    /// The caller checks the form, the maximum lifetime, and that the transaction was not committed
    /// before. A transaction whose id is in flight is held, but does not wait.
    ///
    /// # Errors
    /// [`Refusal::Expired`], [`Refusal::SenderQuota`], [`Refusal::MemberShare`] if the share of the
    /// sender's group is used up, and [`Refusal::PoolFull`]. The pool never evicts a transaction to
    /// make room.
    pub fn admit(
        &mut self,
        now: Timestamp,
        share: Share,
        transaction: VerifiedTransaction,
    ) -> Result<Admission, Refusal> {
        let id = transaction.id();
        if self.held.contains_key(&id) {
            return Ok(Admission::Known);
        }
        self.take_place(now, share, &transaction).inspect_err(|refusal| self.counters.refused(refusal))?;
        self.counters.admitted += 1;
        self.arrivals += 1;
        self.latest = self.latest.max(now);
        let entry = Entry { arrival: Arrival(self.arrivals), first_seen: self.latest, share, transaction };
        if !self.in_flight.contains(&id) {
            self.waiting.insert(&entry);
        }
        self.held.insert(id, entry);
        Ok(Admission::New)
    }

    /// Counts a transaction that has not expired in its share of the pool.
    fn take_place(
        &mut self,
        now: Timestamp,
        share: Share,
        transaction: &VerifiedTransaction,
    ) -> Result<(), Refusal> {
        let valid_until = transaction.transaction().valid_until;
        if valid_until < now {
            return Err(Refusal::Expired { valid_until, now });
        }
        self.usage.add(&self.limits, transaction.transaction().sender, share, transaction.bytes())
    }

    /// The transactions for a block of this time. Senders take turns, each with its oldest
    /// transaction; the sender whose oldest has waited longest begins. See [`Selection`] and
    /// [`MAX_MISFITS`](crate::MAX_MISFITS) for the limits.
    ///
    /// The cost grows with the result and with the waiting transactions that are not timely for
    /// this block, not with the size of the pool.
    pub fn select(&self, block_time: Timestamp, selection: &Selection) -> Vec<VerifiedTransaction> {
        self.select_permitted(block_time, selection, |_| true)
    }

    /// Like [`Mempool::select`], but only of what `permits` allows. It is called once for each
    /// transaction that would be selected next, in their order in the block, so it may count. A
    /// sender whose transaction is not permitted has no more turns in this block.
    ///
    /// The cost grows in addition with the senders that `permits` refuses before the block is full:
    /// one call for each of them. With the quotas of groups, these are at most the waiting senders of
    /// the groups whose quota is used up.
    pub fn select_permitted(
        &self,
        block_time: Timestamp,
        selection: &Selection,
        mut permits: impl FnMut(&VerifiedTransaction) -> bool,
    ) -> Vec<VerifiedTransaction> {
        select(&self.waiting, block_time, selection, &mut permits)
    }

    /// Changes the limits. Transactions that the pool holds already stay, even if they exceed the new
    /// limits.
    pub fn set_limits(&mut self, limits: MempoolLimits) {
        self.limits = limits;
    }

    /// Removes the waiting transactions that `reason` gives a reason against, of these senders or of
    /// all. Returns their ids with these reasons, by sender if senders are given, and in the order of
    /// admission. Costs one call for each waiting transaction of these senders.
    pub fn reject<R>(
        &mut self,
        of: Option<&BTreeSet<PublicKey>>,
        mut reason: impl FnMut(&VerifiedTransaction) -> Option<R>,
    ) -> Vec<(TransactionId, R)> {
        let judge = |transaction: &VerifiedTransaction| Some((transaction.id(), reason(transaction)?));
        let rejected: Vec<_> = match of {
            None => self.waiting.after(None).map(|waiting| waiting.transaction).filter_map(judge).collect(),
            Some(senders) => {
                senders.iter().flat_map(|sender| self.waiting.of(sender)).filter_map(judge).collect()
            }
        };
        for (id, _) in &rejected {
            self.forget(id);
            self.counters.rejected += 1;
        }
        rejected
    }

    /// Marks transactions of an accepted block: they are not selected and do not expire until
    /// [`release`] or [`remove`]. Marking twice has the same effect as marking once.
    ///
    /// Ids that are not held are kept, too, so that the transaction does not wait when it arrives.
    /// The caller limits their number: no more than the transactions of the blocks between the last
    /// committed one and the end of the window in which it accepts proposals.
    ///
    /// [`release`]: Mempool::release
    /// [`remove`]: Mempool::remove
    pub fn mark_in_flight(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.in_flight.insert(*id);
            if let Some(entry) = self.held.get(id) {
                self.waiting.remove(entry);
            }
        }
    }

    /// Returns the transactions of a block that will not be committed to their old positions: those
    /// that are held wait again. To replace one block by another, the caller releases the old one
    /// first, then marks the new one.
    pub fn release(&mut self, ids: &[TransactionId]) {
        for id in ids {
            let was_in_flight = self.in_flight.remove(id);
            if was_in_flight
                && !is(Mutant::ReleasedForgotten)
                && let Some(entry) = self.held.get(id)
            {
                self.waiting.insert(entry);
            }
        }
    }

    /// Removes committed transactions, whether they were held or not.
    pub fn remove(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.in_flight.remove(id);
            self.forget(id);
        }
    }

    /// Removes the waiting transactions that no block of this time or later may contain. Returns
    /// their ids in the order in which they expired.
    pub fn expire(&mut self, now: Timestamp) -> Vec<TransactionId> {
        let mut expired = Vec::new();
        while let Some((valid_until, id)) = self.waiting.first_to_expire()
            && (valid_until < now || is(Mutant::ExpiresEarly) && valid_until == now)
        {
            self.forget(&id);
            self.counters.expired += 1;
            expired.push(id);
        }
        expired
    }

    fn forget(&mut self, id: &TransactionId) {
        let Some(entry) = self.held.remove(id) else {
            return;
        };
        self.waiting.remove(&entry);
        let sender = entry.transaction.transaction().sender;
        self.usage.remove(sender, entry.share, entry.transaction.bytes());
    }

    /// All held transactions, waiting or in flight, in the order of admission. Costs time in proportion
    /// to their number; the transactions are shared.
    pub fn transactions(&self) -> Vec<VerifiedTransaction> {
        let mut entries: Vec<&Entry> = self.held.values().collect();
        entries.sort_unstable_by_key(|entry| entry.arrival);
        entries.into_iter().map(|entry| entry.transaction.clone()).collect()
    }

    /// The held transaction with this id.
    pub fn get(&self, id: &TransactionId) -> Option<&VerifiedTransaction> {
        self.held.get(id).map(|entry| &entry.transaction)
    }

    /// Whether a transaction is held.
    pub fn contains(&self, id: &TransactionId) -> bool {
        self.held.contains_key(id)
    }

    /// Transactions held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes of the encodings of all transactions held.
    pub fn bytes(&self) -> u64 {
        self.usage.total().bytes
    }

    /// Transactions held that are not in flight.
    pub fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// The earliest time at which [`expire`](Mempool::expire) would remove a transaction.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        let (valid_until, _) = self.waiting.first_to_expire()?;
        valid_until.0.checked_add(1).map(Timestamp)
    }

    /// The latest end of validity of all waiting transactions.
    pub fn last_expiry(&self) -> Option<Timestamp> {
        self.waiting.last_to_expire()
    }

    /// Whether a transaction is held and not in flight.
    pub fn is_waiting(&self, id: &TransactionId) -> bool {
        self.held.get(id).is_some_and(|entry| self.waiting.holds(entry.arrival))
    }

    /// When the longest-waiting transaction was admitted.
    pub fn oldest_waiting(&self) -> Option<Timestamp> {
        self.waiting.oldest().map(|oldest| oldest.first_seen)
    }

    /// Up to `max` transactions that were admitted at `first_seen` or earlier and still wait,
    /// oldest first. If `after` is given, only those after that position.
    ///
    /// A caller that passes the position of the last result each time receives each transaction
    /// once.
    pub fn older_than(
        &self,
        first_seen: Timestamp,
        after: Option<Arrival>,
        max: usize,
    ) -> Vec<WaitingTransaction<'_>> {
        self.waiting.after(after).take_while(|waiting| waiting.first_seen <= first_seen).take(max).collect()
    }

    /// The current state and the counters.
    pub fn statistics(&self) -> MempoolStatistics {
        let (counters, total) = (&self.counters, self.usage.total());
        MempoolStatistics {
            transactions: total.transactions,
            bytes: total.bytes,
            reserved: self.usage.reserved(),
            in_flight: total.transactions - self.waiting.len() as u64,
            senders: self.usage.senders(),
            admitted: counters.admitted,
            refused_full: counters.refused_full,
            refused_share: counters.refused_share,
            refused_quota: counters.refused_quota,
            refused_expired: counters.refused_expired,
            expired: counters.expired,
            rejected: counters.rejected,
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "model_tests.rs"]
mod model_tests;
