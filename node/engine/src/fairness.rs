//! Whether the primary passes transactions over (R21).

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use quorate_ledger::{Timestamp, TransactionId, VerifiedTransaction};
use quorate_mempool::{Mempool, Selection};
use quorate_pbft::Moment;

use crate::outbound::within_a_batch;

/// A transaction whose turn has come and gone has at most so many timeouts more, while what else waited is
/// committed. A queue that takes this long to work off deposes nobody.
const GRACE: u32 = 8;

/// The transactions whose turn it is: what this member would propose next, had it to. They are watched until the
/// last of them is ordered or has expired; then the next ones are.
///
/// It holds no more ids than a block may have transactions.
#[derive(Debug, Default)]
pub(crate) struct Fairness {
    turn: BTreeSet<TransactionId>,
    since: Moment,
    grace: Option<Grace>,
}

/// Their turn has passed. Others may have been before them in the primary's queue, so as many transactions as
/// were here may still come first; and the primary may not know them, so it is told.
#[derive(Debug)]
struct Grace {
    until: Moment,
    others: u64,
    urge_at: Moment,
    /// The last one that was sent, in the round that is under way.
    sent: Option<TransactionId>,
    /// When all of them had been sent once.
    told: Option<Moment>,
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
    /// The primary leaves transactions out.
    Starved,
}

impl Fairness {
    /// Begins anew: another primary, nobody to blame, or no contact with those who would have to be told.
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
        self.since = self.since.after(lateness);
        if let Some(grace) = &mut self.grace {
            for moment in [&mut grace.until, &mut grace.urge_at] {
                *moment = moment.after(lateness);
            }
            grace.told = grace.told.map(|told| told.after(lateness));
        }
    }

    /// Looks at the pool. `present` is the time a next block would have at least, `timeout` that of the view.
    pub(crate) fn watch(
        &mut self,
        now: Moment,
        present: Timestamp,
        timeout: Duration,
        pool: &Mempool,
        selection: &Selection,
    ) -> Verdict {
        if self.turn.is_empty() {
            self.grace = None;
            if pool.waiting_len() > 0 {
                self.turn = pool.select(present, selection).iter().map(VerifiedTransaction::id).collect();
                self.since = now;
            }
            return Verdict::Fair;
        }
        let over = match &self.grace {
            None if now < self.since.after(timeout) => return Verdict::Fair,
            None => false,
            Some(grace) if now < grace.end(timeout).min(grace.urge_at) => return Verdict::Fair,
            Some(grace) => now >= grace.end(timeout),
        };
        // What is in an accepted block is served; what has expired cannot be, by nobody.
        let timely = |id: &TransactionId| {
            pool.is_waiting(id) && pool.get(id).is_some_and(|held| held.transaction().valid_until >= present)
        };
        self.turn.retain(timely);
        if self.turn.is_empty() || over {
            let starved = !self.turn.is_empty();
            self.reset();
            return if starved { Verdict::Starved } else { Verdict::Fair };
        }
        Verdict::Urge(self.urge(now, timeout, pool))
    }

    /// The next batch of those whose turn has passed; after the last one from the front again.
    fn urge(&mut self, now: Moment, timeout: Duration, pool: &Mempool) -> Vec<VerifiedTransaction> {
        let grace = self.grace.get_or_insert_with(|| Grace {
            until: now.after(timeout.saturating_mul(GRACE)),
            others: pool.len() as u64,
            urge_at: now,
            sent: None,
            told: None,
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
        match &self.grace {
            _ if self.turn.is_empty() => None,
            None => Some(self.since.after(timeout)),
            Some(grace) => Some(grace.end(timeout).min(grace.urge_at)),
        }
    }
}
