//! The waiting transactions, indexed by each order that is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use quorate_ledger::{PublicKey, Timestamp, TransactionId, VerifiedTransaction};

use crate::admission::Share;

/// Position in the order of admission. A transaction keeps it while it is in the pool, even while
/// it is in flight. No position is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arrival(pub(crate) u64);

/// A transaction that is not in an accepted block.
#[derive(Debug, Clone, Copy)]
pub struct WaitingTransaction<'a> {
    /// Its position in the order of admission.
    pub arrival: Arrival,
    /// When it was admitted. Times never decrease in the order of arrival.
    pub first_seen: Timestamp,
    /// The transaction.
    pub transaction: &'a VerifiedTransaction,
}

/// A transaction with its position, waiting or in flight.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) arrival: Arrival,
    pub(crate) first_seen: Timestamp,
    pub(crate) share: Share,
    pub(crate) transaction: VerifiedTransaction,
}

impl Entry {
    fn sender(&self) -> PublicKey {
        self.transaction.transaction().sender
    }

    fn expiry(&self) -> (Timestamp, TransactionId) {
        (self.transaction.transaction().valid_until, self.transaction.id())
    }
}

/// One sender's waiting transactions, oldest first. Never empty.
pub(crate) type Queue = BTreeMap<Arrival, VerifiedTransaction>;

/// Indexes over the waiting transactions. Transactions in flight are in none of them, so no search
/// has to skip them.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_arrival: BTreeMap<Arrival, (Timestamp, VerifiedTransaction)>,
    by_expiry: BTreeSet<(Timestamp, TransactionId)>,
    queues: BTreeMap<PublicKey, Queue>,
    /// The oldest position of each queue, with its sender.
    heads: BTreeMap<Arrival, PublicKey>,
}

impl Waiting {
    pub(crate) fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Adds a transaction at its position, which may be before others of its sender.
    pub(crate) fn insert(&mut self, entry: &Entry) {
        let transaction = &entry.transaction;
        self.by_arrival.insert(entry.arrival, (entry.first_seen, transaction.clone()));
        self.by_expiry.insert(entry.expiry());
        let queue = self.queues.entry(entry.sender()).or_default();
        let head = queue.keys().next().copied();
        queue.insert(entry.arrival, transaction.clone());
        if head.is_none_or(|head| entry.arrival < head) {
            if let Some(head) = head {
                self.heads.remove(&head);
            }
            self.heads.insert(entry.arrival, entry.sender());
        }
    }

    /// Removes a transaction, if it waits.
    pub(crate) fn remove(&mut self, entry: &Entry) {
        if self.by_arrival.remove(&entry.arrival).is_none() {
            return;
        }
        self.by_expiry.remove(&entry.expiry());
        let sender = entry.sender();
        let queue = self.queues.get_mut(&sender).expect("a sender with a waiting transaction has a queue");
        queue.remove(&entry.arrival);
        let next = queue.keys().next().copied();
        if next.is_none() {
            self.queues.remove(&sender);
        }
        if self.heads.remove(&entry.arrival).is_some()
            && let Some(next) = next
        {
            self.heads.insert(next, sender);
        }
    }

    /// The waiting transaction that was admitted first.
    pub(crate) fn oldest(&self) -> Option<WaitingTransaction<'_>> {
        self.after(None).next()
    }

    /// The transactions admitted after a position, in the order of admission.
    pub(crate) fn after(&self, place: Option<Arrival>) -> impl Iterator<Item = WaitingTransaction<'_>> {
        let start = place.map_or(Unbounded, Excluded);
        self.by_arrival.range((start, Unbounded)).map(|(arrival, (first_seen, transaction))| {
            WaitingTransaction { arrival: *arrival, first_seen: *first_seen, transaction }
        })
    }

    /// The transactions of one sender, in the order of admission.
    pub(crate) fn of(&self, sender: &PublicKey) -> impl Iterator<Item = &VerifiedTransaction> {
        self.queues.get(sender).into_iter().flat_map(BTreeMap::values)
    }

    /// The earliest end of validity, with its transaction.
    pub(crate) fn first_to_expire(&self) -> Option<(Timestamp, TransactionId)> {
        self.by_expiry.first().copied()
    }

    /// The latest end of validity.
    pub(crate) fn last_to_expire(&self) -> Option<Timestamp> {
        self.by_expiry.last().map(|(valid_until, _)| *valid_until)
    }

    /// Whether the transaction at this position waits.
    pub(crate) fn holds(&self, arrival: Arrival) -> bool {
        self.by_arrival.contains_key(&arrival)
    }

    /// Every sender's queue, in the order of their oldest transactions.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Queue> {
        self.heads
            .values()
            .map(|sender| self.queues.get(sender).expect("a head is the head of its sender's queue"))
    }
}
