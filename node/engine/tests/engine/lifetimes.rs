//! Lifetimes of transactions: each one is ordered while it is valid, or proven expired (R16, R17).

use std::time::Duration;

use quorate_engine::{Event, Notice, Submission};
use quorate_ledger::{Refusal, Timestamp, VerifiedTransaction, View};

use crate::net::{Net, id};

const LIFETIME_MS: u64 = 120_000;

#[test]
fn transactions_valid_now_and_for_a_lifetime_at_most_are_admitted() {
    let mut net = Net::of(4);
    let now = net.wall();
    let cases = [
        (now.minus_ms(1), Err("was valid until")),
        (now, Ok(())),
        (now.plus_ms(LIFETIME_MS), Ok(())),
        (now.plus_ms(LIFETIME_MS + 1), Err("the network accepts at most")),
        (Timestamp(u64::MAX), Err("the network accepts at most")),
    ];
    for (nonce, (valid_until, expected)) in (0..).zip(cases) {
        let transaction = net.transaction_until(nonce, valid_until);
        match (net.submit(1, &transaction), expected) {
            (Ok(Submission::Pending), Ok(())) => {}
            (Err(refusal), Err(reason)) => {
                assert!(refusal.to_string().contains(reason), "{refusal}");
                assert!(!net.engine(1).is_pending(&transaction.id()), "the pool does not hold it");
            }
            (outcome, _) => panic!("{valid_until}: {outcome:?}"),
        }
    }
}

/// R17: otherwise a member with a slow clock would admit what no block may contain.
#[test]
fn a_member_with_a_slow_clock_admits_by_the_time_of_the_chain() {
    let mut net = Net::of(4);
    net.commit_each(0..1);
    net.nodes[1].ahead_ms = -60_000;
    let late = net.transaction_until(5, net.nodes[1].committed[0].header().timestamp.minus_ms(1));
    assert!(matches!(net.submit(1, &late), Err(Refusal::Expired { .. })));
}

/// A client that learns that its transaction has expired signs another one. So the answer "expired"
/// is only for transactions that can no longer be committed.
#[test]
fn a_transaction_that_may_still_be_committed_is_not_refused_as_expired() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_gossip() || parcel.is_transactions() || parcel.is_commit());
    let transaction = net.transaction_until(1, net.wall().plus_ms(500));
    assert_eq!(net.submit(0, &transaction), Ok(Submission::Pending));
    net.pass(Duration::from_secs(1));
    assert!(net.engine(0).is_pending(&transaction.id()) && !net.engine(2).is_pending(&transaction.id()));
    for (member, held) in [(0, "waits"), (2, "is known from the proposal")] {
        assert_eq!(net.submit(member, &transaction), Ok(Submission::Pending), "it {held}");
    }
    let stranger = net.transaction_until(2, net.wall().minus_ms(1));
    assert!(matches!(net.submit(2, &stranger), Err(Refusal::Expired { .. })));
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    for member in 0..4 {
        assert_eq!(net.ids(member), [transaction.id()], "member {member}");
    }
}

#[test]
fn proposals_with_transactions_out_of_time_are_refused() {
    for ahead_ms in [-1, i64::try_from(LIFETIME_MS).unwrap() + 1] {
        let mut net = Net::of(4);
        let valid_until = Timestamp(net.wall().0.checked_add_signed(ahead_ms).unwrap());
        let transaction = net.transaction_until(1, valid_until);
        let block = net.block_on(net.genesis.header(), std::slice::from_ref(&transaction));
        let message = net.proposal(&block);
        net.handle(1, [Event::Consensus { from: id(0), message }]);
        // Its pool refused the transaction, but an answer or gossip may still bring it.
        net.handle(1, [Event::Gossiped(vec![transaction])]);
        let refused = |notice: &Notice| matches!(notice, Notice::BadProposal { reason, .. } if reason.contains("is valid until"));
        assert!(net.nodes[1].notices.iter().any(refused), "{ahead_ms}: {:?}", net.nodes[1].notices);
        assert!(net.log.iter().all(|(from, _, parcel)| *from != id(1) || !parcel.is_vote()));
    }
}

/// No client submits more transactions. The sender of an expired one still gets its proof, by one
/// empty block (R17).
#[test]
fn on_an_idle_chain_an_empty_block_proves_the_expiry() {
    let mut net = Net::with(4, |parameters| parameters.block.empty_block_gap_ms = 2000);
    net.commit_each(0..1);
    // The primary receives the transaction too late.
    net.lose(|_, to, parcel| to == id(0) && !parcel.is_vote() && !parcel.is_status());
    let transaction = net.transaction_until(1, net.wall().plus_ms(300));
    net.submit(1, &transaction).unwrap();
    net.pass(Duration::from_secs(3));
    assert!(net.engine(1).is_pending(&transaction.id()), "without the primary no block proves the expiry");
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    for member in 0..4 {
        assert_eq!(net.height(member), 2, "one empty block, no more");
        assert!(!net.engine(member).is_pending(&transaction.id()));
    }
    assert_eq!(net.nodes[1].ended, [transaction.id()]);
    assert!(net.engine(1).has_expired(&transaction.id()));
    assert!(matches!(net.submit(1, &transaction), Err(Refusal::Expired { .. })));
    net.pass(Duration::from_secs(30));
    assert_eq!(net.height(0), 2, "no further block follows");
}

#[test]
fn an_expired_transaction_of_the_primary_gets_its_proof_too() {
    let mut net = Net::with(4, |parameters| {
        parameters.block.empty_block_gap_ms = 2000;
        parameters.consensus.window = 1;
    });
    net.commit_each(0..1);
    // The primary waits for votes until the second transaction has expired.
    net.lose(|_, _, parcel| parcel.is_vote());
    let (first, second) = (net.transaction(1), net.transaction_until(2, net.wall().plus_ms(500)));
    net.submit(0, &first).unwrap();
    net.submit(0, &second).unwrap();
    net.pass(Duration::from_secs(1));
    net.lose_nothing();
    net.pass(Duration::from_secs(6));
    assert_eq!(net.nodes[0].ended, [second.id()]);
    assert_eq!(net.height(3), 3);
    assert_eq!(net.nodes[3].committed.last().unwrap().body().count(), 0);
}

/// R17: the other members receive the transaction when it is late by their clocks, and the primary
/// is dead. They replace the primary and prove the expiry all the same.
#[test]
fn a_transaction_that_only_a_slow_clock_admitted_expires_under_a_dead_primary() {
    let mut net = Net::of(4);
    net.nodes[1].ahead_ms = -1500;
    net.stop(0);
    let transaction = net.transaction_until(1, net.wall().minus_ms(500));
    assert!(matches!(net.submit(2, &transaction), Err(Refusal::Expired { .. })));
    assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending));
    net.pass(Duration::from_secs(15));
    assert_eq!(net.nodes[1].ended, [transaction.id()]);
    for member in 1..4 {
        assert!(net.engine(member).has_expired(&transaction.id()), "member {member}");
        assert_eq!(net.height(member), 1, "one empty block");
    }
}

/// All members have lost their pools, and the primary is gone. The transaction is late by now, and
/// only a block that has lost its place contains it.
fn with_a_late_transaction_in_a_lost_block() -> (Net, VerifiedTransaction) {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_old_vote());
    let transaction = net.transaction_until(1, net.wall().plus_ms(500));
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    for member in 0..4 {
        assert_eq!(net.overview(member).in_flight, 1, "member {member}");
        net.power_loss(member);
    }
    net.pass(Duration::from_secs(1));
    for member in 1..4 {
        net.open(member);
        assert!(!net.engine(member).is_pending(&transaction.id()));
    }
    (net, transaction)
}

/// R17: the transaction returns to the pool when the view is left, and an empty block proves that
/// it has expired, although no client asks.
#[test]
fn a_late_transaction_of_a_dropped_block_expires() {
    let (mut net, transaction) = with_a_late_transaction_in_a_lost_block();
    let other = net.transaction_until(2, net.wall().plus_ms(100));
    net.submit(2, &other).unwrap();
    net.pass(Duration::from_secs(15));
    for member in 1..4 {
        assert!(net.engine(member).has_expired(&transaction.id()), "member {member}");
    }
}

/// R17: a client that gets the answer "pending" gets the expiry too. All members have restarted
/// again since the view began, so no member knows that the transaction returned to the pool.
#[test]
fn a_late_transaction_of_a_dropped_block_expires_when_submitted_again() {
    let (mut net, transaction) = with_a_late_transaction_in_a_lost_block();
    net.lose(|_, _, parcel| parcel.is_old_vote() || parcel.is_proposal());
    net.pass(Duration::from_secs(3));
    for member in 1..4 {
        assert_eq!(net.overview(member).pbft.view, View(1), "member {member}");
        net.power_loss(member);
    }
    for member in 1..4 {
        net.open(member);
        assert!(!net.engine(member).is_pending(&transaction.id()));
    }
    assert_eq!(net.submit(2, &transaction), Ok(Submission::Pending));
    net.lose(|_, _, parcel| parcel.is_old_vote());
    net.pass(Duration::from_secs(15));
    assert_eq!(net.nodes[2].ended, [transaction.id()]);
    for member in 1..4 {
        assert_eq!(net.ids(member), [], "member {member}");
    }
    assert!(matches!(net.submit(2, &transaction), Err(Refusal::Expired { .. })));
}

/// A block may not contain a transaction that is valid for too long after the block's time. A
/// member whose clock is ahead admits it all the same. It waits until a block may contain it.
#[test]
fn a_transaction_that_is_too_early_for_the_next_block_waits() {
    let mut net = Net::of(4);
    net.nodes[1].ahead_ms = 400;
    let transaction = net.transaction_until(1, net.wall().plus_ms(LIFETIME_MS + 300));
    assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending));
    net.deliver_all();
    assert_eq!(net.height(1), 0);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.ids(1), [transaction.id()]);
}
