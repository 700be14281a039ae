use std::collections::VecDeque;
use std::time::Duration;

use quorate_ledger::{TransactionId, VerifiedTransaction};
use quorate_mempool::Mempool;
use quorate_pbft::Moment;

use crate::wire::BATCH_BYTES;

/// The pause between two resends, each of one batch at most. Gossip loses few transactions, and
/// under overload transactions are late without being lost.
const RESEND_PAUSE: Duration = Duration::from_millis(125);

/// Transactions to send to the other members.
///
/// Transactions that clients submit here are gossiped in batches: at once if the last batch is a
/// batch delay ago, otherwise when the delay ends or 64 KiB are full. Gossip may lose a message. So
/// a transaction that no block contains after half the request timeout is resent directly, again
/// and again until it is ordered or has expired. The replica resends transactions from other
/// members after another quarter of the timeout, in case these members are gone.
#[derive(Debug)]
pub(crate) struct Outbound {
    delay: Duration,
    fresh: Vec<VerifiedTransaction>,
    fresh_bytes: usize,
    flushed: Option<Moment>,
    own: Unordered,
    adopted: Unordered,
    resent_at: Option<Moment>,
}

/// Transactions that no block contained when they were last checked, ordered by the time of their
/// next resend.
///
/// An entry stays until its resend is due, even if its transaction is ordered before. So the list
/// is bounded by the pool and by the transactions that are committed within the waiting time.
#[derive(Debug)]
struct Unordered {
    wait: Duration,
    entries: VecDeque<(Moment, TransactionId)>,
}

impl Unordered {
    fn new(wait: Duration) -> Self {
        Unordered { wait, entries: VecDeque::new() }
    }

    fn push(&mut self, now: Moment, id: TransactionId) {
        self.entries.push_back((now.after(self.wait), id));
    }

    /// Takes the due transactions that the pool still holds, as many as fit into `room` bytes.
    fn take_due(&mut self, now: Moment, pool: &Mempool, room: &mut usize) -> Vec<VerifiedTransaction> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.entries.front().copied()
            && at <= now
        {
            // If the pool does not hold it, it is ordered or expired: drop the entry.
            if let Some(transaction) = pool.get(&id) {
                let bytes = transaction.bytes() as usize;
                // A transaction that is larger than a batch is sent alone.
                if bytes > *room && *room < BATCH_BYTES {
                    break; // the next resend begins with it
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

/// How long own and adopted transactions wait before a resend.
fn waits(request_timeout: Duration) -> (Duration, Duration) {
    (request_timeout / 2, request_timeout * 3 / 4)
}

impl Outbound {
    /// Changes the batch delay, and how long transactions wait before a resend.
    pub(crate) fn set_delays(&mut self, delay: Duration, request_timeout: Duration) {
        self.delay = delay;
        (self.own.wait, self.adopted.wait) = waits(request_timeout);
    }

    pub(crate) fn new(delay: Duration, request_timeout: Duration) -> Self {
        let (own, adopted) = waits(request_timeout);
        Outbound {
            delay,
            fresh: Vec::new(),
            fresh_bytes: 0,
            flushed: None,
            own: Unordered::new(own),
            adopted: Unordered::new(adopted),
            resent_at: None,
        }
    }

    /// Adds a transaction that a client submitted here.
    pub(crate) fn push(&mut self, now: Moment, transaction: VerifiedTransaction) {
        self.own.push(now, transaction.id());
        self.fresh_bytes += transaction.bytes() as usize;
        self.fresh.push(transaction);
    }

    /// Adds a transaction that another member sent, or that returned to the pool.
    pub(crate) fn adopt(&mut self, now: Moment, id: TransactionId) {
        self.adopted.push(now, id);
    }

    /// The gossip batches that are due.
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

    /// Transactions that have waited too long, to be resent to all members directly: one batch at
    /// most.
    pub(crate) fn resend(&mut self, now: Moment, pool: &Mempool) -> Vec<VerifiedTransaction> {
        if self.resent_at.is_some_and(|last| now.since(last) < RESEND_PAUSE) {
            return Vec::new();
        }
        let mut room = BATCH_BYTES;
        let mut due = self.own.take_due(now, pool, &mut room);
        due.extend(self.adopted.take_due(now, pool, &mut room));
        if !due.is_empty() {
            self.resent_at = Some(now);
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let flush = (!self.fresh.is_empty())
            .then(|| self.flushed.map_or(Moment::default(), |last| last.after(self.delay)));
        let waiting = self.own.deadline().into_iter().chain(self.adopted.deadline()).min();
        let resend = waiting
            .map(|patient| self.resent_at.map_or(patient, |last| patient.max(last.after(RESEND_PAUSE))));
        flush.into_iter().chain(resend).min()
    }
}

/// The first transactions, as many as fit into one batch; at least one.
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
