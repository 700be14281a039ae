//! Compares the pool with a simple model: a list that is searched from the beginning every time.
#![allow(clippy::unwrap_used)]

use std::sync::OnceLock;

use proptest::prelude::*;
use proptest::sample::subsequence;
use quorate_ledger::PublicKey;

use super::*;
use crate::test_transactions::{group, transaction, up_to};

const LIMITS: MempoolLimits = MempoolLimits {
    max_transactions: 20,
    max_bytes: 6000,
    max_transactions_per_sender: 8,
    max_bytes_per_sender: 2500,
};

const COUNT: usize = 48;

/// All transactions of the test: five senders, sizes of 118 to 800 bytes, ends of validity between
/// 100 and 400.
fn universe() -> &'static [VerifiedTransaction] {
    static UNIVERSE: OnceLock<Vec<VerifiedTransaction>> = OnceLock::new();
    UNIVERSE.get_or_init(|| {
        (0_u32..)
            .take(COUNT)
            .map(|n| {
                let bytes = if n % 7 == 0 { 800 } else { 118 + n * 5 };
                transaction(n * n % 5, n.into(), bytes, u64::from(100 + n * 37 % 300))
            })
            .collect()
    })
}

/// The share of a transaction. One sender has reserved places for some of its transactions, and one is
/// in two groups, as after a change of the group.
fn share_of(index: usize) -> Share {
    match (index * index % 5, index % 4) {
        (4, 0 | 1) => Share::Reserved { max_transactions: 3 },
        (4, _) => Share::Common,
        (0, 0 | 2) => group(1, 3),
        (0, _) => group(2, 3),
        _ => group(1, 3),
    }
}

fn ids(chosen: &[usize]) -> Vec<TransactionId> {
    chosen.iter().map(|index| universe()[*index].id()).collect()
}

#[derive(Debug, Clone)]
enum Operation {
    Admit(usize),
    Mark(Vec<usize>),
    Release(Vec<usize>),
    Remove(Vec<usize>),
    Expire,
    Pass(u64),
}

fn some() -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..COUNT).collect::<Vec<_>>(), 0..10).prop_shuffle()
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (0..COUNT).prop_map(Operation::Admit),
        2 => some().prop_map(Operation::Mark),
        2 => some().prop_map(Operation::Release),
        1 => some().prop_map(Operation::Remove),
        1 => Just(Operation::Expire),
        2 => (0_u64..80).prop_map(Operation::Pass),
    ]
}

/// The model's entry for a held transaction.
#[derive(Debug, Clone, Copy)]
struct Item {
    index: usize,
    first_seen: u64,
}

#[derive(Default)]
struct Model {
    now: u64,
    /// In the order of admission.
    held: Vec<Item>,
    in_flight: Vec<usize>,
}

impl Model {
    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Admit(index) => {
                if self.answer(*index) == "new" {
                    self.held.push(Item { index: *index, first_seen: self.now });
                }
            }
            Operation::Mark(chosen) => self.in_flight.extend(chosen),
            Operation::Release(chosen) => self.in_flight.retain(|index| !chosen.contains(index)),
            Operation::Remove(chosen) => {
                self.in_flight.retain(|index| !chosen.contains(index));
                self.held.retain(|item| !chosen.contains(&item.index));
            }
            Operation::Expire => {
                let expired = self.expired();
                self.held.retain(|item| !expired.contains(&item.index));
            }
            Operation::Pass(time) => self.now += time,
        }
    }

    fn answer(&self, index: usize) -> &'static str {
        let more = u64::from(universe()[index].bytes());
        let share = share_of(index);
        let is_reserved = |index: usize| matches!(share_of(index), Share::Reserved { .. });
        let same_sender = |other: usize| sender_of(other) == sender_of(index);
        let common = self.usage(|other| !is_reserved(other));
        let of_sender = self.usage(|other| same_sender(other) && is_reserved(other) == is_reserved(index));
        let of_share = self.usage(|other| share_of(other) == share);
        if self.held.iter().any(|item| item.index == index) {
            "known"
        } else if ends(index) < self.now {
            "expired"
        } else if let Share::Reserved { .. } = share {
            if of_sender.0 == 3 { "quota" } else { "new" }
        } else if of_sender.0 == 8 || of_sender.1 + more > 2500 {
            "quota"
        } else if matches!(share, Share::Group { .. })
            && of_share.0 > 0
            && (of_share.0 == 6 || of_share.1 + more > 2000)
        {
            "share"
        } else if common.0 == 20 || common.1 + more > 6000 {
            "full"
        } else {
            "new"
        }
    }

    /// Transactions and bytes held, of those that the filter selects.
    fn usage(&self, filter: impl Fn(usize) -> bool) -> (usize, u64) {
        let counted = self.held.iter().map(|item| item.index).filter(|index| filter(*index));
        counted
            .fold((0, 0), |(count, bytes), index| (count + 1, bytes + u64::from(universe()[index].bytes())))
    }

    fn waiting(&self) -> Vec<Item> {
        let waits = |item: &&Item| !self.in_flight.contains(&item.index);
        self.held.iter().filter(waits).copied().collect()
    }

    fn expired(&self) -> Vec<usize> {
        let waiting = self.waiting();
        let ended = waiting.iter().filter(|item| ends(item.index) < self.now);
        ended.map(|item| item.index).collect()
    }

    /// Rounds over the senders, in the order of their first waiting transactions.
    fn select(&self, block_time: u64, count: usize, mut room: u64) -> Vec<usize> {
        let waiting: Vec<usize> = self.waiting().iter().map(|item| item.index).collect();
        let mut senders: Vec<PublicKey> = Vec::new();
        for index in &waiting {
            if !senders.contains(&sender_of(*index)) {
                senders.push(sender_of(*index));
            }
        }
        let timely = |index: &&usize| (block_time..=block_time + 120_000).contains(&ends(**index));
        let mut chosen = Vec::new();
        for round in 0..COUNT {
            for sender in senders.clone() {
                let of_sender = waiting.iter().filter(|index| sender_of(**index) == sender);
                let Some(next) = of_sender.filter(timely).nth(round) else {
                    continue;
                };
                let bytes = u64::from(universe()[*next].bytes());
                if chosen.len() == count {
                    return chosen;
                }
                if bytes > room {
                    senders.retain(|other| *other != sender);
                } else {
                    room -= bytes;
                    chosen.push(*next);
                }
            }
        }
        chosen
    }
}

fn ends(index: usize) -> u64 {
    universe()[index].transaction().valid_until.0
}

fn sender_of(index: usize) -> PublicKey {
    universe()[index].transaction().sender
}

fn apply(pool: &mut Mempool, model: &Model, operation: &Operation) {
    let now = Timestamp(model.now);
    match operation {
        Operation::Admit(index) => {
            let answer = match pool.admit(now, share_of(*index), universe()[*index].clone()) {
                Ok(Admission::New) => "new",
                Ok(Admission::Known) => "known",
                Err(Refusal::Expired { .. }) => "expired",
                Err(Refusal::SenderQuota { .. }) => "quota",
                Err(Refusal::MemberShare { .. }) => "share",
                Err(Refusal::PoolFull { .. }) => "full",
                Err(other) => panic!("a pool never refuses for this reason: {other}"),
            };
            assert_eq!(answer, model.answer(*index));
        }
        Operation::Mark(chosen) => pool.mark_in_flight(&ids(chosen)),
        Operation::Release(chosen) => pool.release(&ids(chosen)),
        Operation::Remove(chosen) => pool.remove(&ids(chosen)),
        Operation::Expire => {
            let mut expired = pool.expire(now);
            let mut expected = ids(&model.expired());
            expired.sort();
            expected.sort();
            assert_eq!(expired, expected);
        }
        Operation::Pass(_) => {}
    }
}

fn compare(pool: &Mempool, model: &Model) {
    let (count, bytes) = model.usage(|_| true);
    assert_eq!((pool.len(), pool.bytes()), (count, bytes));
    let common = model.usage(|index| !matches!(share_of(index), Share::Reserved { .. }));
    assert!(common.0 <= 20 && common.1 <= 6000);
    let waiting = model.waiting();
    assert_eq!(pool.waiting_len(), waiting.len());
    let statistics = pool.statistics();
    assert_eq!(statistics.in_flight, (count - waiting.len()) as u64);
    let senders: BTreeSet<_> = model.held.iter().map(|item| sender_of(item.index)).collect();
    assert_eq!(statistics.senders, senders.len() as u64);
    for index in 0..COUNT {
        let held = model.held.iter().any(|item| item.index == index);
        assert_eq!(
            pool.contains(&universe()[index].id()),
            held,
            "no transaction is lost, and none reappears"
        );
    }
    let in_order: Vec<_> = pool
        .older_than(Timestamp(u64::MAX), None, usize::MAX)
        .iter()
        .map(|one| (one.transaction.id(), one.first_seen.0))
        .collect();
    let expected: Vec<_> =
        waiting.iter().map(|item| (universe()[item.index].id(), item.first_seen)).collect();
    assert_eq!(in_order, expected);
    assert_eq!(pool.oldest_waiting().map(|time| time.0), waiting.first().map(|item| item.first_seen));
    let next_expiry = waiting.iter().map(|item| ends(item.index) + 1).min();
    assert_eq!(pool.next_expiry().map(|time| time.0), next_expiry);
    for (count, room) in [(20, 6000), (3, 6000), (20, 1000)] {
        let block: Vec<_> = pool
            .select(Timestamp(model.now), &up_to(count, room))
            .iter()
            .map(VerifiedTransaction::id)
            .collect();
        assert_eq!(block, ids(&model.select(model.now, count as usize, room.into())));
    }
}

proptest! {
    #[test]
    fn the_pool_behaves_like_the_model(operations in proptest::collection::vec(operation(), 1..120)) {
        let mut pool = Mempool::new(LIMITS);
        let mut model = Model::default();
        for operation in &operations {
            apply(&mut pool, &model, operation);
            model.apply(operation);
            compare(&pool, &model);
        }
    }

    /// Marking and then releasing changes nothing.
    #[test]
    fn release_undoes_mark(admitted in some(), marked in some()) {
        let mut pool = Mempool::new(LIMITS);
        for index in admitted {
            // Some may exceed a limit; the others are sufficient.
            let _ = pool.admit(Timestamp(0), share_of(index), universe()[index].clone());
        }
        let order = |pool: &Mempool| -> Vec<_> {
            let all = up_to(u32::MAX, u32::MAX);
            pool.select(Timestamp(0), &all).iter().map(VerifiedTransaction::id).collect()
        };
        let before = (order(&pool), pool.statistics());
        pool.mark_in_flight(&ids(&marked));
        prop_assert!(order(&pool).iter().all(|id| !ids(&marked).contains(id)));
        pool.release(&ids(&marked));
        prop_assert_eq!((order(&pool), pool.statistics()), before);
    }
}
