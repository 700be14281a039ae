use std::collections::VecDeque;
use std::time::Duration;

use quorate_ledger::{TransactionId, VerifiedTransaction};
use quorate_mempool::Mempool;
use quorate_pbft::Moment;

use crate::wire::BATCH_BYTES;

/// The pause between two reminders, which are no larger than a batch: what gossip lost is little, and under
/// overload everything is late without being lost.
const REMINDER_PAUSE: Duration = Duration::from_millis(125);

/// Transactions on their way to the others.
///
/// Those submitted here are gossiped in batches: at once when the last batch is some time ago, else when the
/// delay is over or 64 KiB are full. Because gossip is only probable, what no block took within half the
/// request timeout is sent again directly, again and again until it is ordered or has expired. What others
/// submitted is left to them for another quarter: then they may be gone.
#[derive(Debug)]
pub(crate) struct Outbound {
    delay: Duration,
    fresh: Vec<VerifiedTransaction>,
    fresh_bytes: usize,
    flushed: Option<Moment>,
    own: Unordered,
    adopted: Unordered,
    reminded: Option<Moment>,
}

/// Transactions that were in no block when last looked at, in the order of their next reminders.
///
/// An entry outlives its transaction until its reminder is due, so the list is bounded by the pool and by
/// what is committed within the patience.
#[derive(Debug)]
struct Unordered {
    patience: Duration,
    entries: VecDeque<(Moment, TransactionId)>,
}

impl Unordered {
    fn new(patience: Duration) -> Self {
        Unordered { patience, entries: VecDeque::new() }
    }

    fn push(&mut self, now: Moment, id: TransactionId) {
        self.entries.push_back((now.after(self.patience), id));
    }

    /// Takes what is due and still held, as much as there is room for.
    fn take_due(&mut self, now: Moment, pool: &Mempool, room: &mut usize) -> Vec<VerifiedTransaction> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.entries.front().copied()
            && at <= now
        {
            // Ordered or expired, unless the pool holds it.
            if let Some(transaction) = pool.get(&id) {
                let bytes = transaction.bytes() as usize;
                if bytes > *room && *room < BATCH_BYTES {
                    break; // the next reminder begins with it
                }
                *room = room.saturating_sub(bytes);
                due.push(transaction.clone());
                self.push(now, id);
            }
            self.entries.pop_front();
        }
        due
    }

    fn deadline(&self) -> Option<Moment> {
        self.entries.front().map(|(at, _)| *at)
    }
}

impl Outbound {
    pub(crate) fn new(delay: Duration, request_timeout: Duration) -> Self {
        Outbound {
            delay,
            fresh: Vec::new(),
            fresh_bytes: 0,
            flushed: None,
            own: Unordered::new(request_timeout / 2),
            adopted: Unordered::new(request_timeout * 3 / 4),
            reminded: None,
        }
    }

    /// Takes a transaction that was submitted here.
    pub(crate) fn push(&mut self, now: Moment, transaction: VerifiedTransaction) {
        self.own.push(now, transaction.id());
        self.fresh_bytes += transaction.bytes() as usize;
        self.fresh.push(transaction);
    }

    /// Takes note of a transaction that another member passed on.
    pub(crate) fn adopt(&mut self, now: Moment, id: TransactionId) {
        self.adopted.push(now, id);
    }

    /// The batches that are due.
    pub(crate) fn flush(&mut self, now: Moment) -> Vec<Vec<VerifiedTransaction>> {
        let rested = self.flushed.is_none_or(|last| now.since(last) >= self.delay);
        if self.fresh.is_empty() || !(rested || self.fresh_bytes >= BATCH_BYTES) {
            return Vec::new();
        }
        self.flushed = Some(now);
        self.fresh_bytes = 0;
        let mut batches = Vec::new();
        let mut batch: Vec<VerifiedTransaction> = Vec::new();
        let mut bytes = 0;
        for transaction in self.fresh.drain(..) {
            let size = transaction.bytes() as usize;
            if bytes + size > BATCH_BYTES && !batch.is_empty() {
                batches.push(std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += size;
            batch.push(transaction);
        }
        batches.push(batch);
        batches
    }

    /// Transactions that have waited too long, to be sent to everyone directly: no more than a batch.
    pub(crate) fn remind(&mut self, now: Moment, pool: &Mempool) -> Vec<VerifiedTransaction> {
        if self.reminded.is_some_and(|last| now.since(last) < REMINDER_PAUSE) {
            return Vec::new();
        }
        let mut room = BATCH_BYTES;
        let mut due = self.own.take_due(now, pool, &mut room);
        due.extend(self.adopted.take_due(now, pool, &mut room));
        if !due.is_empty() {
            self.reminded = Some(now);
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let flush = (!self.fresh.is_empty())
            .then(|| self.flushed.map_or(Moment::default(), |last| last.after(self.delay)));
        let waiting = self.own.deadline().into_iter().chain(self.adopted.deadline()).min();
        let remind = waiting
            .map(|patient| self.reminded.map_or(patient, |last| patient.max(last.after(REMINDER_PAUSE))));
        flush.into_iter().chain(remind).min()
    }
}

/// As many transactions as fit into one batch, from the front; at least one.
pub(crate) fn within_a_batch<'a>(
    transactions: impl Iterator<Item = &'a VerifiedTransaction>,
) -> Vec<VerifiedTransaction> {
    let mut bytes = 0;
    let fits = |transaction: &&VerifiedTransaction| {
        let first = bytes == 0;
        bytes += transaction.bytes() as usize;
        first || bytes <= BATCH_BYTES
    };
    transactions.take_while(fits).cloned().collect()
}
