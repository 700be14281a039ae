//! Whether the primary passes transactions over (R21).

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use quorate_ledger::{Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::{Mempool, Selection};
use quorate_pbft::Moment;

use crate::pool::outbound::within_a_batch;

/// The first turn of a view may take this many timeouts, as may every later one while the view has no [`debt`].
/// A queue that takes this long to work off deposes no primary.
///
/// [`debt`]: Fairness::debt
pub(crate) const LONGEST_TURN: u32 = 9;

/// A turn that takes more timeouts than this leaves a debt, one that takes fewer repays it. A turn holds a block's
/// worth at most, and a fair primary needs a timeout until it is sent what it does not know, one in which this is
/// sent, and one to order it.
pub(crate) const PACE: u32 = 3;

/// The transactions whose turn it is: what this replica would propose next if it were the primary. They are watched
/// until the last of them is ordered or has expired; then the next ones are.
///
/// All turns of a view are limited together: k turns in a row end within [`LONGEST_TURN`] + [`PACE`] (k − 1)
/// timeouts. Otherwise a primary could use up the longest turn for every block's worth of a long queue.
///
/// It holds no more ids than a block may have transactions.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    turn: BTreeSet<TransactionId>,
    /// When the turn began; `None` while nothing is watched.
    since: Option<Moment>,
    grace: Option<Grace>,
    /// The time by which the turns of this view took longer than [`PACE`] timeouts each.
    debt: Duration,
}

/// The turn has lasted for a timeout. Other transactions may have been before these in the primary's queue, so as
/// many as were here may still come first. The primary may not know these, so they are sent to it.
#[derive(Debug)]
struct Grace {
    until: Moment,
    others: u64,
    urge_at: Moment,
    /// The last one that was sent, in the round that is under way.
    sent: Option<TransactionId>,
    /// When all of them had been sent once.
    told: Option<Moment>,
    /// The turn is over and the view cannot be left yet.
    overdue: bool,
}

impl Grace {
    /// When it is over, as things are.
    fn end(&self, timeout: Duration) -> Moment {
        match self.told {
            Some(told) if self.others == 0 => self.until.min(told.after(timeout)),
            _ => self.until,
        }
    }
}

/// What to do about it.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Fair,
    /// Make sure that the primary knows of these.
    Urge(Vec<VerifiedTransaction>),
    /// The primary leaves transactions out, or orders too little of what waits.
    Starved,
}

impl Fairness {
    /// Begins anew, without a debt: another primary, or no contact with those who would have to be told.
    pub(crate) fn reset(&mut self) {
        *self = Fairness::default();
    }

    /// These are committed.
    pub(crate) fn committed(&mut self, ids: &[TransactionId]) {
        for id in ids {
            self.turn.remove(id);
        }
        if let Some(grace) = &mut self.grace {
            grace.others = grace.others.saturating_sub(ids.len() as u64);
        }
    }

    /// The process stood still for so long.
    pub(crate) fn put_off(&mut self, lateness: Duration) {
        self.since = self.since.map(|since| since.after(lateness));
        if let Some(grace) = &mut self.grace {
            for moment in [&mut grace.until, &mut grace.urge_at] {
                *moment = moment.after(lateness);
            }
            grace.told = grace.told.map(|told| told.after(lateness));
        }
    }

    /// Looks at the pool. `present` is the time a next block would have at least, `timeout` that of the view.
    /// A turn that is over while `may_leave` is false stays so, and is looked at again once it is true.
    pub(crate) fn watch(
        &mut self,
        now: Moment,
        present: Timestamp,
        timeout: Duration,
        may_leave: bool,
        pool: &Mempool,
        selection: &Selection,
    ) -> Verdict {
        if self.turn.is_empty() {
            self.next_turn(now, present, timeout, pool, selection);
            return Verdict::Fair;
        }
        let over = match &mut self.grace {
            None if self.since.is_some_and(|since| now < since.after(timeout)) => return Verdict::Fair,
            None => false,
            Some(grace) if now >= grace.end(timeout) => {
                grace.overdue |= !may_leave;
                if !may_leave {
                    return Verdict::Fair;
                }
                true
            }
            Some(grace) if now < grace.urge_at => return Verdict::Fair,
            Some(_) => false,
        };
        // What is in an accepted block is served; no primary can serve what has expired.
        let timely = |id: &TransactionId| {
            pool.is_waiting(id) && pool.get(id).is_some_and(|held| held.transaction().valid_until >= present)
        };
        self.turn.retain(timely);
        if self.turn.is_empty() {
            self.next_turn(now, present, timeout, pool, selection);
            return Verdict::Fair;
        }
        if over { Verdict::Starved } else { Verdict::Urge(self.urge(now, timeout, pool)) }
    }

    /// Nothing of the turn is left: its length counts against the pace of this view, and the next ones are watched.
    fn next_turn(
        &mut self,
        now: Moment,
        present: Timestamp,
        timeout: Duration,
        pool: &Mempool,
        selection: &Selection,
    ) {
        // Where the view could not be left when the turn was over, this replica was late to see what was ordered.
        let overdue = self.grace.take().is_some_and(|grace| grace.overdue);
        if let Some(since) = self.since.take().filter(|_| !overdue) {
            let length = now.since(since);
            self.debt = self.debt.saturating_add(length).saturating_sub(timeout.saturating_mul(PACE));
        }
        if pool.waiting_len() > 0 {
            self.turn = pool.select(present, selection).iter().map(VerifiedTransaction::id).collect();
            self.since = Some(now).filter(|_| !self.turn.is_empty());
        }
    }

    /// How long the turn may last in all.
    fn limit(&self, timeout: Duration) -> Duration {
        let left = timeout.saturating_mul(LONGEST_TURN).saturating_sub(self.debt);
        // Less than that is left only where the timeout was halved, or the turn before ended late.
        left.max(timeout.saturating_mul(PACE))
    }

    /// The next batch of those whose turn has lasted for a timeout; after the last one from the front again.
    fn urge(&mut self, now: Moment, timeout: Duration, pool: &Mempool) -> Vec<VerifiedTransaction> {
        let until = self.since.unwrap_or(now).after(self.limit(timeout));
        let grace = self.grace.get_or_insert_with(|| Grace {
            until,
            others: pool.len() as u64,
            urge_at: now,
            sent: None,
            told: None,
            overdue: false,
        });
        let rest = self.turn.range((grace.sent.map_or(Unbounded, Excluded), Unbounded));
        let batch = within_a_batch(rest.filter_map(|id| pool.get(id)));
        grace.sent = batch.last().map(VerifiedTransaction::id).filter(|last| Some(last) != self.turn.last());
        if grace.sent.is_none() {
            grace.told.get_or_insert(now);
        }
        grace.urge_at = now.after(timeout / 4);
        batch
    }

    /// When to look again although nothing happens.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Moment> {
        let since = self.since.filter(|_| !self.turn.is_empty())?;
        match &self.grace {
            None => Some(since.after(timeout)),
            // What the replica must hear before it may leave wakes it.
            Some(grace) if grace.overdue => None,
            Some(grace) => Some(grace.end(timeout).min(grace.urge_at)),
        }
    }
}
