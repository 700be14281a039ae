//! The censorship watch: whether the primary leaves transactions out (R21).

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use quorate_ledger::{Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::Mempool;
use quorate_pbft::Moment;

use crate::pool::outbound::within_a_batch;

/// The limit of a censorship watch in request timeouts, while the view has no [`debt`] (R21c). A
/// primary keeps its view if it orders its queue within this time.
///
/// [`debt`]: CensorshipWatch::debt
pub(crate) const LONGEST_WATCH: u32 = 9;

/// A watch that takes more timeouts than this adds the excess to the debt, and a shorter one repays
/// the difference (R21c). A watch holds a block's worth at most. A correct primary needs one
/// timeout until the resend starts, one for the resend, and one to order the transactions.
pub(crate) const PACE: u32 = 3;

/// The censorship watch (R21a): the transactions that this replica would propose if it were
/// primary. The watch ends when the last of them is ordered, in an accepted block, or expired. Then
/// the next watch begins.
///
/// All watches of a view are limited together: k watches in a row end within [`LONGEST_WATCH`] +
/// [`PACE`] (k − 1) timeouts. Without this limit, a primary could use the longest watch for every
/// block's worth of a long queue.
///
/// A watch holds at most as many ids as a block may have transactions.
#[derive(Debug, Default)]
pub(crate) struct CensorshipWatch {
    watched: BTreeSet<TransactionId>,
    /// When the watch began; `None` while no transaction is watched.
    since: Option<Moment>,
    grace: Option<Grace>,
    /// The debt: the time by which the watches of this view took longer than [`PACE`] timeouts
    /// each.
    debt: Duration,
}

/// The second part of a watch, after it has lasted for a timeout (R21b, R21c). The primary may lack
/// these transactions, so the replica resends them. The primary's queue may hold other transactions
/// before these: it may order as many others first as the pool here held when the resends began.
#[derive(Debug)]
struct Grace {
    until: Moment,
    others: u64,
    resend_at: Moment,
    /// The last transaction that was sent in the current round of resends.
    sent: Option<TransactionId>,
    /// When all of them had been sent once.
    told: Option<Moment>,
    /// The watch timed out while the view could not be left. The complaint is kept (R21d).
    overdue: bool,
}

impl Grace {
    /// When the watch times out, as far as is known now.
    fn end(&self, timeout: Duration) -> Moment {
        match self.told {
            Some(told) if self.others == 0 => self.until.min(told.after(timeout)),
            _ => self.until,
        }
    }
}

/// What the engine does about the watch.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Nothing.
    Fair,
    /// Resend these transactions to all members: the primary may lack them.
    Resend(Vec<VerifiedTransaction>),
    /// The watch timed out: the primary leaves transactions out, or orders too little.
    Censored,
}

impl CensorshipWatch {
    /// Ends the watch and clears the debt (R21d): a new view, or no recent contact with a quorum.
    pub(crate) fn reset(&mut self) {
        *self = CensorshipWatch::default();
    }

    /// Records that these transactions are committed.
    pub(crate) fn committed(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.watched.remove(id);
        }
        if let Some(grace) = &mut self.grace {
            grace.others = grace.others.saturating_sub(ids.len() as u64);
        }
    }

    /// R15e: postpones the deadlines after a pause of the process.
    pub(crate) fn put_off(&mut self, lateness: Duration) {
        self.since = self.since.map(|since| since.after(lateness));
        if let Some(grace) = &mut self.grace {
            for moment in [&mut grace.until, &mut grace.resend_at] {
                *moment = moment.after(lateness);
            }
            grace.told = grace.told.map(|told| told.after(lateness));
        }
    }

    /// Looks at the pool. `present` is the earliest time of a next block, `timeout` the request
    /// timeout in force, and `next` selects what this replica would propose as primary. While `may_leave` is false, a watch that has timed out is kept. It is
    /// checked again once `may_leave` is true.
    pub(crate) fn watch(
        &mut self,
        now: Moment,
        present: Timestamp,
        timeout: Duration,
        may_leave: bool,
        pool: &Mempool,
        next: impl FnOnce() -> Vec<VerifiedTransaction>,
    ) -> Finding {
        if self.watched.is_empty() {
            self.next_watch(now, timeout, pool, next);
            return Finding::Fair;
        }
        let over = match &mut self.grace {
            None if self.since.is_some_and(|since| now < since.after(timeout)) => return Finding::Fair,
            None => false,
            Some(grace) if now >= grace.end(timeout) => {
                grace.overdue |= !may_leave;
                if !may_leave {
                    return Finding::Fair;
                }
                true
            }
            Some(grace) if now < grace.resend_at => return Finding::Fair,
            Some(_) => false,
        };
        // Transactions in an accepted block are served, and no primary can order expired ones.
        let timely = |id: &TransactionId| {
            pool.is_waiting(id) && pool.get(id).is_some_and(|held| held.transaction().valid_until >= present)
        };
        self.watched.retain(timely);
        if self.watched.is_empty() {
            self.next_watch(now, timeout, pool, next);
            return Finding::Fair;
        }
        if over { Finding::Censored } else { Finding::Resend(self.resend(now, timeout, pool)) }
    }

    /// The watch is over. Adds its length to the debt of this view, and begins the next watch.
    fn next_watch(
        &mut self,
        now: Moment,
        timeout: Duration,
        pool: &Mempool,
        next: impl FnOnce() -> Vec<VerifiedTransaction>,
    ) {
        // If the view could not be left when the watch timed out, this replica was late to learn
        // what was ordered. The delay is not the primary's, so it adds nothing to the debt (R21d).
        let overdue = self.grace.take().is_some_and(|grace| grace.overdue);
        if let Some(since) = self.since.take().filter(|_| !overdue) {
            let length = now.since(since);
            self.debt = self.debt.saturating_add(length).saturating_sub(timeout.saturating_mul(PACE));
        }
        if pool.waiting_len() > 0 {
            self.watched = next().iter().map(VerifiedTransaction::id).collect();
            self.since = Some(now).filter(|_| !self.watched.is_empty());
        }
    }

    /// The limit of the whole watch (R21c).
    fn limit(&self, timeout: Duration) -> Duration {
        let left = timeout.saturating_mul(LONGEST_WATCH).saturating_sub(self.debt);
        // Less is left only if the timeout was halved, or if the last watch ended late.
        left.max(timeout.saturating_mul(PACE))
    }

    /// The next batch of watched transactions to resend. After the last one it begins again with
    /// the first (R21b).
    fn resend(&mut self, now: Moment, timeout: Duration, pool: &Mempool) -> Vec<VerifiedTransaction> {
        let until = self.since.unwrap_or(now).after(self.limit(timeout));
        let grace = self.grace.get_or_insert_with(|| Grace {
            until,
            others: pool.len() as u64,
            resend_at: now,
            sent: None,
            told: None,
            overdue: false,
        });
        let rest = self.watched.range((grace.sent.map_or(Unbounded, Excluded), Unbounded));
        let batch = within_a_batch(rest.filter_map(|id| pool.get(id)));
        grace.sent =
            batch.last().map(VerifiedTransaction::id).filter(|last| Some(last) != self.watched.last());
        if grace.sent.is_none() {
            grace.told.get_or_insert(now);
        }
        grace.resend_at = now.after(timeout / 4);
        batch
    }

    /// When to call [`CensorshipWatch::watch`] next if no event comes before.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Moment> {
        let since = self.since.filter(|_| !self.watched.is_empty())?;
        match &self.grace {
            None => Some(since.after(timeout)),
            // The complaint waits for messages of other members, and their arrival wakes the
            // engine.
            Some(grace) if grace.overdue => None,
            Some(grace) => Some(grace.end(timeout).min(grace.resend_at)),
        }
    }
}
