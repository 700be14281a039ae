use std::collections::VecDeque;
use std::time::Duration;

use quorate_ledger::{TransactionId, VerifiedTransaction};
use quorate_mempool::Mempool;
use quorate_pbft::Moment;

use crate::wire::BATCH_BYTES;

/// The longest pause between two resends, each of one batch at most. Gossip loses few transactions,
/// and under overload transactions are late without being lost.
const RESEND_PAUSE_MAX: Duration = Duration::from_millis(125);

/// The pause between two resends: at most a quarter of the request timeout, so that a transaction
/// that came right after a resend still arrives within the timeout.
fn resend_pause(request_timeout: Duration) -> Duration {
    RESEND_PAUSE_MAX.min(request_timeout / 4)
}

/// Transactions to send to the other members.
///
/// Transactions that clients submit here are gossiped in batches: at once if the last batch is a
/// batch delay ago, otherwise when the delay ends or 64 KiB are full. Gossip may lose a message. So
/// a transaction that no block contains after half the request timeout is resent directly, again
/// and again until it is ordered or has expired. The replica resends transactions from other
/// members after another quarter of the timeout, in case these members are gone. A resend of own
/// transactions also contains those that have waited for an eighth of the timeout, as far as the batch
/// has room: the primary may lack them, too, and the timeout runs since the first one.
#[derive(Debug)]
pub(crate) struct Outbound {
    delay: Duration,
    fresh: Vec<VerifiedTransaction>,
    fresh_bytes: usize,
    flushed: Option<Moment>,
    own: Unordered,
    adopted: Unordered,
    resent_at: Option<Moment>,
    /// See [`resend_pause`].
    pause: Duration,
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

    /// Changes how long transactions wait. None waits longer than that from now on.
    fn set_wait(&mut self, now: Moment, wait: Duration) {
        self.wait = wait;
        let latest = now.after(wait);
        for (at, _) in &mut self.entries {
            *at = latest.min(*at);
        }
    }

    fn push(&mut self, now: Moment, id: TransactionId) {
        self.entries.push_back((now.after(self.wait), id));
    }

    /// Takes the transactions that are due by `until` and that the pool still holds, as many as fit
    /// into `room` bytes.
    fn take_due(
        &mut self,
        now: Moment,
        until: Moment,
        pool: &Mempool,
        room: &mut usize,
    ) -> Vec<VerifiedTransaction> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.entries.front().copied()
            && at <= until
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
    pub(crate) fn set_delays(&mut self, now: Moment, delay: Duration, request_timeout: Duration) {
        self.delay = delay;
        let (own, adopted) = waits(request_timeout);
        self.own.set_wait(now, own);
        self.adopted.set_wait(now, adopted);
        self.pause = resend_pause(request_timeout);
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
            pause: resend_pause(request_timeout),
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

    /// Transactions that have waited too long, to be resent to all members directly: as many as fit
    /// into `room` bytes. With room for a whole batch, at least one. Otherwise other resends use the
    /// rest of the batch, and what does not fit waits for the next one.
    pub(crate) fn resend(
        &mut self,
        now: Moment,
        pool: &Mempool,
        mut room: usize,
    ) -> Vec<VerifiedTransaction> {
        if self.resent_at.is_some_and(|last| now.since(last) < self.pause) {
            return Vec::new();
        }
        let is_shared = room < BATCH_BYTES;
        let mut due = self.own.take_due(now, now, pool, &mut room);
        if !due.is_empty() {
            // Those that have waited for a quarter of this time, which is an eighth of the timeout.
            due.extend(self.own.take_due(now, now.after(self.own.wait * 3 / 4), pool, &mut room));
        }
        due.extend(self.adopted.take_due(now, now, pool, &mut room));
        if !due.is_empty() || is_shared {
            self.resent_at = Some(now);
        }
        due
    }

    pub(crate) fn deadline(&self) -> Option<Moment> {
        let flush = (!self.fresh.is_empty())
            .then(|| self.flushed.map_or(Moment::default(), |last| last.after(self.delay)));
        let waiting = self.own.deadline().into_iter().chain(self.adopted.deadline()).min();
        let resend =
            waiting.map(|patient| self.resent_at.map_or(patient, |last| patient.max(last.after(self.pause))));
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
