#![allow(clippy::unwrap_used)]
use super::*;
use crate::test_transactions::{WIDE, sender as pool_sender, transaction, up_to};
use crate::{Mempool, Share};

const NOW: Timestamp = Timestamp(1000);
const LATER: u64 = 50_000;

/// A pool with transactions of 200 bytes of these senders, in this order; the nonce is the
/// position.
fn pool_of(senders: &[u32]) -> Mempool {
    let mut pool = Mempool::new(WIDE);
    for (place, sender) in (0..).zip(senders) {
        pool.admit(NOW, Share::Common, transaction(*sender, place, 200, LATER)).unwrap();
    }
    pool
}

fn places(transactions: &[VerifiedTransaction]) -> Vec<u64> {
    transactions.iter().map(|checked| checked.transaction().nonce).collect()
}

#[test]
fn senders_take_turns_and_the_longest_waiting_begins() {
    let pool = pool_of(&[1, 1, 1, 2, 3, 2]);
    assert_eq!(places(&pool.select(NOW, &up_to(10, 10_000))), [0, 3, 4, 1, 5, 2]);
    assert_eq!(places(&pool.select(NOW, &up_to(4, 10_000))), [0, 3, 4, 1]);
    assert_eq!(places(&pool.select(NOW, &up_to(0, 10_000))), []);
}

#[test]
fn a_flood_delays_no_sender_by_more_than_a_round() {
    let mut senders = vec![1; 5000];
    senders.extend([2, 3]);
    let mut pool = pool_of(&senders);
    let first = pool.select(NOW, &up_to(3, 10_000));
    assert_eq!(places(&first), [0, 5000, 5001]);
    let ids: Vec<_> = first.iter().map(VerifiedTransaction::id).collect();
    pool.remove(&ids);
    assert_eq!(places(&pool.select(NOW, &up_to(3, 10_000))), [1, 2, 3]);
}

#[test]
fn a_sender_that_is_not_permitted_has_no_more_turns() {
    let pool = pool_of(&[1, 1, 2, 3, 1, 2]);
    let mut asked = Vec::new();
    let mut of_first = 0;
    let block = pool.select_permitted(NOW, &up_to(10, 10_000), |transaction| {
        asked.push(transaction.transaction().nonce);
        let first = transaction.transaction().sender == pool_sender(1);
        of_first += u32::from(first);
        !first || of_first <= 1
    });
    assert_eq!(places(&block), [0, 2, 3, 5]);
    assert_eq!(asked, [0, 2, 3, 1, 5], "once for each turn, and no further one of the first sender");
}

#[test]
fn many_senders_that_are_not_permitted_do_not_end_the_search() {
    let mut senders: Vec<u32> = (10..).take(4 * MAX_MISFITS).collect();
    senders.push(1);
    let pool = pool_of(&senders);
    let permitted = |transaction: &VerifiedTransaction| transaction.transaction().sender == pool_sender(1);
    assert_eq!(pool.select_permitted(NOW, &up_to(10, 10_000), permitted).len(), 1);
}

#[test]
fn a_body_may_be_filled_to_the_last_byte() {
    let pool = pool_of(&[1, 2, 3]);
    assert_eq!(pool.select(NOW, &up_to(10, 600)).len(), 3);
    assert_eq!(pool.select(NOW, &up_to(10, 599)).len(), 2);
    assert_eq!(pool.select(NOW, &up_to(10, 199)).len(), 0);
}

#[test]
fn a_large_transaction_delays_only_its_sender() {
    let mut pool = Mempool::new(WIDE);
    for (sender, nonce, bytes) in [(1, 0, 300), (2, 1, 800), (2, 2, 150), (3, 3, 300), (1, 4, 300)] {
        pool.admit(NOW, Share::Common, transaction(sender, nonce, bytes, LATER)).unwrap();
    }
    let block = pool.select(NOW, &up_to(10, 1000));
    assert_eq!(places(&block), [0, 3, 4], "2 does not overtake 1 of the same sender");
}

#[test]
fn a_large_transaction_gets_its_turn_under_load() {
    let mut pool = Mempool::new(WIDE);
    pool.admit(NOW, Share::Common, transaction(1, 0, 300, LATER)).unwrap();
    pool.admit(NOW, Share::Common, transaction(2, 1, 1000, LATER)).unwrap();
    let mut nonce = 2;
    for block in 0..2 {
        // New senders with small transactions, enough to fill the block.
        for newcomer in 0..20 {
            let small = transaction(100 + block * 20 + newcomer, nonce, 150, LATER);
            pool.admit(NOW, Share::Common, small).unwrap();
            nonce += 1;
        }
        let chosen = pool.select(NOW, &up_to(100, 1000));
        let expected = if block == 0 { 0 } else { 1 };
        assert_eq!(places(&chosen)[0], expected, "block {block} begins with the oldest");
        let ids: Vec<_> = chosen.iter().map(VerifiedTransaction::id).collect();
        pool.remove(&ids);
    }
}

#[test]
fn the_search_for_a_small_transaction_ends() {
    let small_after = |large: usize| {
        let mut pool = Mempool::new(WIDE);
        let mut nonce = 0;
        pool.admit(NOW, Share::Common, transaction(0, nonce, 500, LATER)).unwrap();
        for sender in (1..).take(large) {
            nonce += 1;
            pool.admit(NOW, Share::Common, transaction(sender, nonce, 800, LATER)).unwrap();
        }
        pool.admit(NOW, Share::Common, transaction(u32::MAX, nonce + 1, 200, LATER)).unwrap();
        pool.select(NOW, &up_to(10, 1000)).len()
    };
    assert_eq!(small_after(MAX_MISFITS - 1), 2);
    assert_eq!(small_after(MAX_MISFITS), 1);
}

#[test]
fn only_transactions_that_are_timely_for_the_block_are_selected() {
    let mut pool = Mempool::new(WIDE);
    let time = Timestamp(10_000);
    for (nonce, valid_until) in [9_999, 10_000, 130_000, 130_001, 20_000].into_iter().enumerate() {
        pool.admit(NOW, Share::Common, transaction(1, nonce as u64, 200, valid_until)).unwrap();
    }
    assert_eq!(places(&pool.select(time, &up_to(10, 10_000))), [1, 2, 4]);
    assert_eq!(places(&pool.select(Timestamp(10_001), &up_to(10, 10_000))), [2, 3, 4]);
}

#[test]
fn the_limits_of_a_block_are_a_selection() {
    let limits = BlockLimits {
        max_transactions: 1,
        max_body_bytes: 2,
        transaction: TransactionLimits { max_bytes: 3, max_lifetime_ms: 4 },
        empty_block_gap_ms: 5,
    };
    let selection = Selection::from(&limits);
    assert_eq!((selection.max_transactions, selection.max_body_bytes), (1, 2));
    assert_eq!(selection.transaction, limits.transaction);
}
