#![allow(clippy::unwrap_used)]
use super::*;
use crate::test_transactions::{WIDE, group, sender, transaction, up_to};

const NOW: Timestamp = Timestamp(1000);
const LATER: u64 = 50_000;

fn id(transaction: &VerifiedTransaction) -> [TransactionId; 1] {
    [transaction.id()]
}

#[test]
fn the_same_transaction_is_held_once() {
    let mut pool = Mempool::new(WIDE);
    let one = transaction(1, 1, 200, LATER);
    assert_eq!(pool.admit(NOW, Share::Common, one.clone()), Ok(Admission::New));
    assert_eq!(pool.admit(NOW, Share::Common, one.clone()), Ok(Admission::Known));
    assert_eq!((pool.len(), pool.bytes(), pool.waiting_len()), (1, 200, 1));
    assert!(pool.contains(&one.id()));
    assert_eq!(pool.get(&one.id()).unwrap().id(), one.id());
    assert_eq!(pool.statistics().admitted, 1);
}

#[test]
fn waiting_transactions_and_their_last_expiry_are_known() {
    let mut pool = Mempool::new(WIDE);
    let (one, two) = (transaction(1, 1, 200, LATER), transaction(2, 2, 200, LATER + 7));
    assert_eq!(pool.last_expiry(), None);
    pool.admit(NOW, Share::Common, one.clone()).unwrap();
    pool.admit(NOW, Share::Common, two.clone()).unwrap();
    assert_eq!(pool.last_expiry(), Some(Timestamp(LATER + 7)));
    pool.mark_in_flight(&id(&two));
    assert!(pool.is_waiting(&one.id()) && !pool.is_waiting(&two.id()));
    assert_eq!(pool.last_expiry(), Some(Timestamp(LATER)));
    pool.remove(&id(&one));
    assert!(!pool.is_waiting(&one.id()));
}

#[test]
fn all_held_transactions_are_listed_in_the_order_of_admission() {
    let mut pool = Mempool::new(WIDE);
    let admitted: Vec<VerifiedTransaction> =
        (1..=5).map(|number| transaction(number, number.into(), 200, LATER - u64::from(number))).collect();
    for transaction in &admitted {
        pool.admit(NOW, Share::Common, transaction.clone()).unwrap();
    }
    pool.mark_in_flight(&id(&admitted[1]));
    pool.remove(&id(&admitted[3]));
    let listed: Vec<TransactionId> = pool.transactions().iter().map(VerifiedTransaction::id).collect();
    assert_eq!(listed, [0, 1, 2, 4].map(|index: usize| admitted[index].id()));
}

#[test]
fn a_full_pool_refuses_and_evicts_nothing() {
    for limits in [MempoolLimits { max_transactions: 2, ..WIDE }, MempoolLimits { max_bytes: 400, ..WIDE }] {
        let mut pool = Mempool::new(limits);
        let first = transaction(1, 1, 200, LATER);
        let third = transaction(3, 3, 200, LATER);
        pool.admit(NOW, Share::Common, first.clone()).unwrap();
        assert_eq!(
            pool.admit(NOW, Share::Common, transaction(2, 2, 200, LATER)),
            Ok(Admission::New),
            "at the edge"
        );
        let refused = pool.admit(NOW, Share::Common, third.clone());
        assert_eq!(refused, Err(Refusal::PoolFull { transactions: 3, bytes: 600 }));
        assert_eq!(pool.admit(NOW, Share::Common, first.clone()), Ok(Admission::Known), "also when full");
        assert_eq!((pool.len(), pool.bytes()), (2, 400));
        assert_eq!(pool.statistics().refused_full, 1);

        pool.mark_in_flight(&id(&first));
        assert!(pool.admit(NOW, Share::Common, third.clone()).is_err(), "transactions in flight take room");
        pool.remove(&id(&first));
        assert_eq!(pool.admit(NOW, Share::Common, third), Ok(Admission::New), "committed ones do not");
    }
}

#[test]
fn a_senders_quota_is_its_own() {
    for limits in [
        MempoolLimits { max_transactions_per_sender: 1, ..WIDE },
        MempoolLimits { max_bytes_per_sender: 200, ..WIDE },
    ] {
        let mut pool = Mempool::new(limits);
        pool.admit(NOW, Share::Common, transaction(1, 1, 200, LATER)).unwrap();
        let second = transaction(1, 2, 118, LATER);
        let refused = pool.admit(NOW, Share::Common, second.clone());
        assert_eq!(refused, Err(Refusal::SenderQuota { transactions: 2, bytes: 318 }));
        assert_eq!(pool.admit(NOW, Share::Common, transaction(2, 3, 200, LATER)), Ok(Admission::New));
        pool.expire(Timestamp(LATER + 1));
        assert_eq!(pool.admit(NOW, Share::Common, second), Ok(Admission::New), "room again");
        assert_eq!(pool.statistics().refused_quota, 1);
    }
}

#[test]
fn a_refusal_names_the_quota_before_the_full_pool() {
    let mut pool =
        Mempool::new(MempoolLimits { max_transactions: 1, max_transactions_per_sender: 1, ..WIDE });
    pool.admit(NOW, Share::Common, transaction(1, 1, 200, LATER)).unwrap();
    let refusal = pool.admit(NOW, Share::Common, transaction(1, 2, 200, LATER)).unwrap_err();
    assert!(matches!(refusal, Refusal::SenderQuota { .. }));
}

#[test]
fn a_transaction_is_valid_until_its_last_millisecond() {
    let mut pool = Mempool::new(WIDE);
    let one = transaction(1, 1, 200, 5000);
    let refusal = pool.admit(Timestamp(5001), Share::Common, one.clone()).unwrap_err();
    assert_eq!(refusal, Refusal::Expired { valid_until: Timestamp(5000), now: Timestamp(5001) });
    assert_eq!(pool.statistics().refused_expired, 1);
    pool.admit(Timestamp(5000), Share::Common, one.clone()).unwrap();
    assert_eq!(pool.next_expiry(), Some(Timestamp(5001)));
    assert_eq!(pool.expire(Timestamp(5000)), []);
    assert_eq!(pool.expire(Timestamp(5001)), id(&one));
    assert_eq!((pool.next_expiry(), pool.is_empty()), (None, true));
    assert_eq!(pool.statistics().expired, 1);
}

#[test]
fn a_transaction_that_never_expires_has_no_next_expiry() {
    let mut pool = Mempool::new(WIDE);
    pool.admit(NOW, Share::Common, transaction(1, 1, 200, u64::MAX)).unwrap();
    assert_eq!(pool.next_expiry(), None);
    assert_eq!(pool.expire(Timestamp(u64::MAX)), []);
}

#[test]
fn expiry_is_in_the_order_of_time_and_excludes_transactions_in_flight() {
    let mut pool = Mempool::new(WIDE);
    let ends = [4000, 2000, 3000, 9000];
    let all: Vec<_> = (0..).zip(ends).map(|(nonce, end)| transaction(1, nonce, 200, end)).collect();
    for one in &all {
        pool.admit(NOW, Share::Common, one.clone()).unwrap();
    }
    pool.mark_in_flight(&id(&all[2]));
    assert_eq!(pool.next_expiry(), Some(Timestamp(2001)));
    assert_eq!(pool.expire(Timestamp(5000)), [all[1].id(), all[0].id()]);
    assert!(pool.contains(&all[2].id()));
    pool.release(&id(&all[2]));
    assert_eq!(pool.next_expiry(), Some(Timestamp(3001)), "after its release, it expires");
    assert_eq!(pool.expire(Timestamp(5000)), id(&all[2]));
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_released_transaction_has_its_old_position() {
    let mut pool = Mempool::new(WIDE);
    let all: Vec<_> = (0..4).map(|nonce| transaction(1, nonce, 200, LATER)).collect();
    for one in &all[..3] {
        pool.admit(NOW, Share::Common, one.clone()).unwrap();
    }
    pool.mark_in_flight(&[all[0].id(), all[1].id()]);
    assert_eq!((pool.waiting_len(), pool.len()), (1, 3));
    assert_eq!(pool.statistics().in_flight, 2);
    pool.admit(NOW, Share::Common, all[3].clone()).unwrap();
    pool.release(&[all[1].id(), all[0].id()]);
    let order: Vec<_> = pool.select(NOW, &up_to(10, 10_000)).iter().map(VerifiedTransaction::id).collect();
    assert_eq!(order, all.iter().map(VerifiedTransaction::id).collect::<Vec<_>>());
}

#[test]
fn releasing_and_removing_unknown_ids_changes_nothing() {
    let mut pool = Mempool::new(WIDE);
    let (held, stranger) = (transaction(1, 1, 200, LATER), transaction(2, 2, 200, LATER));
    pool.admit(NOW, Share::Common, held.clone()).unwrap();
    let before = pool.statistics();
    pool.release(&id(&held));
    pool.release(&id(&stranger));
    pool.remove(&id(&stranger));
    assert_eq!(pool.statistics(), before);
    assert_eq!(pool.waiting_len(), 1);
}

#[test]
fn a_transaction_that_arrives_after_its_block_does_not_wait() {
    let mut pool = Mempool::new(WIDE);
    let late = transaction(1, 1, 200, LATER);
    pool.mark_in_flight(&id(&late));
    assert_eq!((pool.len(), pool.statistics().in_flight), (0, 0));
    assert!(!pool.contains(&late.id()));
    pool.admit(NOW, Share::Common, late.clone()).unwrap();
    assert_eq!((pool.len(), pool.waiting_len()), (1, 0));
    assert!(pool.select(NOW, &up_to(10, 10_000)).is_empty());
    pool.release(&id(&late));
    assert_eq!(pool.select(NOW, &up_to(10, 10_000)).len(), 1);
}

#[test]
fn a_committed_id_is_no_longer_in_flight() {
    let mut pool = Mempool::new(WIDE);
    let one = transaction(1, 1, 200, LATER);
    pool.mark_in_flight(&id(&one));
    pool.remove(&id(&one));
    assert!(pool.in_flight.is_empty());
}

#[test]
fn a_long_waiting_transaction_is_returned_once() {
    let mut pool = Mempool::new(WIDE);
    for (nonce, time) in [10, 20, 30, 40].into_iter().enumerate() {
        pool.admit(Timestamp(time), Share::Common, transaction(1, nonce as u64, 200, LATER)).unwrap();
    }
    assert_eq!(pool.oldest_waiting(), Some(Timestamp(10)));
    let nonces = |found: &[WaitingTransaction<'_>]| -> Vec<u64> {
        found.iter().map(|one| one.transaction.transaction().nonce).collect()
    };
    assert_eq!(nonces(&pool.older_than(Timestamp(9), None, 10)), []);
    let found = pool.older_than(Timestamp(30), None, 2);
    assert_eq!(nonces(&found), [0, 1]);
    let place = found[1].arrival;
    let found = pool.older_than(Timestamp(30), Some(place), 10);
    assert_eq!(nonces(&found), [2], "the rest, up to the time itself");
    assert_eq!(found[0].first_seen, Timestamp(30));

    let first = transaction(1, 0, 200, LATER);
    pool.mark_in_flight(&id(&first));
    assert_eq!(pool.oldest_waiting(), Some(Timestamp(20)));
    assert_eq!(nonces(&pool.older_than(Timestamp(40), None, 10)), [1, 2, 3]);
}

#[test]
fn a_clock_that_goes_back_does_not_change_the_order() {
    let mut pool = Mempool::new(WIDE);
    pool.admit(Timestamp(100), Share::Common, transaction(1, 0, 200, LATER)).unwrap();
    pool.admit(Timestamp(50), Share::Common, transaction(1, 1, 200, LATER)).unwrap();
    assert_eq!(pool.older_than(Timestamp(99), None, 10).len(), 0);
    let found = pool.older_than(Timestamp(100), None, 10);
    assert_eq!(found.len(), 2);
    assert!(found[0].arrival < found[1].arrival);
    assert_eq!(found[1].first_seen, Timestamp(100));
}

#[test]
fn rejected_transactions_leave_the_pool_with_their_reasons() {
    let mut pool = Mempool::new(WIDE);
    let transactions: Vec<_> =
        (0..4).map(|nonce| transaction(nonce % 2, nonce.into(), 200, 50_000)).collect();
    for transaction in &transactions {
        pool.admit(NOW, Share::Common, transaction.clone()).unwrap();
    }
    pool.mark_in_flight(&[transactions[1].id()]);
    let odd = |transaction: &VerifiedTransaction| (transaction.transaction().nonce % 2 == 1).then_some("odd");
    assert_eq!(pool.reject(None, odd), [(transactions[3].id(), "odd")], "one is in flight");
    pool.release(&[transactions[1].id()]);
    assert_eq!(pool.reject(None, odd), [(transactions[1].id(), "odd")]);
    assert_eq!((pool.len(), pool.bytes(), pool.statistics().rejected), (2, 400, 2));
}

/// One member may change its clients in every block. That must not cost a look at the whole pool.
#[test]
fn only_the_transactions_of_the_given_senders_are_judged() {
    let mut pool = Mempool::new(WIDE);
    let transactions: Vec<_> =
        (0..6).map(|nonce| transaction(nonce % 3, nonce.into(), 200, 50_000)).collect();
    for transaction in &transactions {
        pool.admit(NOW, Share::Common, transaction.clone()).unwrap();
    }
    let of = BTreeSet::from([sender(1), sender(9)]);
    let mut judged = Vec::new();
    let rejected = pool.reject(Some(&of), |transaction| {
        judged.push(transaction.id());
        (transaction.transaction().nonce == 4).then_some("excluded")
    });
    assert_eq!(judged, [transactions[1].id(), transactions[4].id()]);
    assert_eq!(rejected, [(transactions[4].id(), "excluded")]);
    assert_eq!((pool.len(), pool.statistics().rejected), (5, 1));
}

#[test]
fn a_group_cannot_fill_the_places_of_another() {
    for limits in [MempoolLimits { max_transactions: 9, ..WIDE }, MempoolLimits { max_bytes: 1800, ..WIDE }] {
        let mut pool = Mempool::new(limits);
        for nonce in 0..3 {
            // Each of a sender of its own: the group has many.
            let transaction = transaction(10 + nonce, nonce.into(), 200, LATER);
            assert_eq!(pool.admit(NOW, group(1, 3), transaction), Ok(Admission::New), "{nonce}");
        }
        let fourth = transaction(20, 4, 200, LATER);
        let refused = Err(Refusal::MemberShare { transactions: 4, bytes: 800 });
        assert_eq!(pool.admit(NOW, group(1, 3), fourth.clone()), refused);
        assert_eq!((pool.statistics().refused_share, pool.statistics().refused_full), (1, 0));
        for nonce in 0..6 {
            let other = transaction(30 + nonce, nonce.into(), 200, LATER);
            let share = group(2 + u8::from(nonce >= 3), 3);
            assert_eq!(pool.admit(NOW, share, other), Ok(Admission::New), "{nonce}");
        }
        assert_eq!(pool.admit(NOW, group(1, 3), fourth), refused);
    }
}

/// The place in a group is free again after each way out, and not before.
#[test]
fn a_group_has_room_again_when_its_transactions_leave() {
    let limits = MempoolLimits { max_transactions: 2, ..WIDE };
    let (one, two) = (transaction(1, 1, 200, 5000), transaction(2, 2, 200, LATER));
    let leave: [fn(&mut Mempool, &VerifiedTransaction); 3] = [
        |pool, one| pool.remove(&id(one)),
        |pool, _| drop(pool.expire(Timestamp(5001))),
        |pool, _| drop(pool.reject(None, |_| Some("excluded"))),
    ];
    for leave in leave {
        let mut pool = Mempool::new(limits);
        pool.admit(NOW, group(1, 2), one.clone()).unwrap();
        assert!(pool.admit(NOW, group(1, 2), two.clone()).is_err());
        pool.mark_in_flight(&id(&one));
        assert!(pool.admit(NOW, group(1, 2), two.clone()).is_err(), "transactions in flight take room");
        pool.release(&id(&one));
        assert!(pool.admit(NOW, group(1, 2), two.clone()).is_err(), "and released ones");
        leave(&mut pool, &one);
        assert_eq!(pool.admit(NOW, group(1, 2), two.clone()), Ok(Admission::New));
        pool.remove(&id(&two));
        assert_eq!((pool.statistics().senders, pool.bytes()), (0, 0));
        pool.remove(&id(&one));
        assert!(pool.is_empty());
    }
}

#[test]
fn a_group_may_hold_one_transaction_that_is_larger_than_its_share() {
    let mut pool = Mempool::new(MempoolLimits { max_bytes: 500, ..WIDE });
    assert_eq!(pool.admit(NOW, group(1, 10), transaction(1, 1, 200, LATER)), Ok(Admission::New));
    let second = pool.admit(NOW, group(1, 10), transaction(1, 2, 200, LATER));
    assert_eq!(second, Err(Refusal::MemberShare { transactions: 2, bytes: 400 }));
    pool.admit(NOW, group(2, 10), transaction(2, 3, 200, LATER)).unwrap();
    let third = pool.admit(NOW, group(3, 10), transaction(3, 4, 200, LATER));
    assert_eq!(third, Err(Refusal::PoolFull { transactions: 3, bytes: 600 }), "within the pool's limits");
}

#[test]
fn reserved_places_and_the_limits_of_the_pool_are_independent() {
    let limits = MempoolLimits { max_transactions: 2, max_transactions_per_sender: 1, ..WIDE };
    let reserved = Share::Reserved { max_transactions: 2 };
    let mut pool = Mempool::new(limits);
    for sender in [1, 2] {
        pool.admit(NOW, Share::Common, transaction(sender, 1, 200, LATER)).unwrap();
    }
    let data = transaction(3, 1, 200, LATER);
    assert!(matches!(pool.admit(NOW, Share::Common, data.clone()), Err(Refusal::PoolFull { .. })));
    for nonce in [2, 3] {
        let operation = transaction(1, nonce, 300, LATER);
        assert_eq!(pool.admit(NOW, reserved, operation), Ok(Admission::New), "the pool is full");
    }
    let refused = pool.admit(NOW, reserved, transaction(1, 4, 300, LATER));
    assert_eq!(refused, Err(Refusal::SenderQuota { transactions: 3, bytes: 900 }));
    let statistics = pool.statistics();
    assert_eq!((statistics.transactions, statistics.reserved), (4, 2));
    assert_eq!((statistics.bytes, statistics.senders), (1000, 2));

    pool.remove(&id(&transaction(1, 1, 200, LATER)));
    assert_eq!(pool.admit(NOW, Share::Common, data), Ok(Admission::New), "operations took no room of data");
    assert_eq!(pool.expire(Timestamp(LATER + 1)).len(), 4);
    assert_eq!((pool.statistics().senders, pool.bytes()), (0, 0));
    assert_eq!(pool.admit(NOW, reserved, transaction(1, 5, 300, u64::MAX)), Ok(Admission::New));
}
