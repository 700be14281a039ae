//! It is enough to wake an engine at its deadlines, and each of them has work to do.
//!
//! [`Net::pass`] wakes members only at their deadlines. It fails if a member's next deadline is not
//! later than the one that it has just handled.

use std::time::Duration;

use quorate_engine::Submission;
use quorate_ledger::View;
use quorate_pbft::Cause;

use crate::net::{Net, Parcel, id};

/// The time until a transaction is resent: half the request timeout of the default genesis.
const RESEND_AFTER: Duration = Duration::from_secs(1);

#[test]
fn lost_votes_are_repaired_by_status_alone() {
    let mut net = Net::of(4);
    let count = std::cell::Cell::new(0);
    net.lose(move |_, _, parcel| {
        count.set(count.get() + 1);
        parcel.is_vote() && count.get() % 3 != 0
    });
    for nonce in 0..20 {
        net.submit(usize::try_from(nonce).unwrap() % 4, &net.transaction(nonce)).unwrap();
        net.pass(Duration::from_millis(100));
    }
    net.pass(Duration::from_secs(20));
    for member in 0..4 {
        assert_eq!(net.ids(member).len(), 20, "member {member}");
    }
    let repaired: u64 = (0..4).map(|member| net.overview(member).pbft_counters.repaired).sum();
    assert!(repaired > 0);
}

#[test]
fn transactions_that_gossip_lost_are_resent_directly() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_gossip());
    let transaction = net.transaction(1);
    net.submit(2, &transaction).unwrap();
    net.pass(RESEND_AFTER - Duration::from_millis(1));
    assert_eq!(net.height(2), 0);
    net.pass(Duration::from_millis(100));
    assert_eq!(net.ids(2), [transaction.id()]);
}

/// The timeout runs since the first transaction, which is ordered late or never. So the second one
/// must not wait for a resend of its own.
#[test]
fn a_resend_contains_transactions_that_are_not_due_yet() {
    let mut net = Net::of(4);
    net.lose(|_, _, parcel| parcel.is_gossip());
    let [first, second, third] = [1, 2, 3].map(|nonce| net.transaction(nonce));
    net.submit(2, &first).unwrap();
    net.pass(RESEND_AFTER / 2);
    net.submit(2, &second).unwrap();
    net.pass(RESEND_AFTER / 2 - Duration::from_millis(1));
    net.submit(2, &third).unwrap();
    net.pass(Duration::from_millis(100));
    assert_eq!(net.ids(2), [first.id(), second.id()], "the third is still on its way by gossip");
}

/// Gossip reached one member only, and then the member that had the transaction from its client
/// failed.
#[test]
fn a_member_resends_transactions_of_other_members() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| parcel.is_gossip() && to != id(3));
    let transaction = net.transaction(1);
    net.submit(2, &transaction).unwrap();
    net.deliver_all();
    assert!(net.engine(3).is_pending(&transaction.id()));
    net.power_loss(2);
    net.pass(RESEND_AFTER * 3 / 2 - Duration::from_millis(1));
    assert_eq!(net.height(3), 0);
    net.pass(Duration::from_millis(200));
    assert_eq!(net.ids(3), [transaction.id()]);
}

#[test]
fn resends_are_bounded_and_paused() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| parcel.is_gossip() || to == id(0));
    for nonce in 0..1200 {
        assert_eq!(net.submit(2, &net.transaction(nonce)), Ok(Submission::Pending));
    }
    net.pass(RESEND_AFTER);
    let resends: Vec<usize> = net
        .log
        .iter()
        .filter_map(|(_, to, parcel)| match parcel {
            Parcel::Resend(batch) if *to == id(3) => {
                Some(batch.iter().map(|transaction| transaction.bytes() as usize).sum())
            }
            _ => None,
        })
        .collect();
    assert_eq!(resends.len(), 1, "the next one follows after a pause");
    assert!(resends[0] > 60 << 10 && resends[0] <= 64 << 10, "{resends:?}");
}

/// R21b: what the censorship watch resends and what is resent because it waits share one batch. A message
/// with two batches would be longer than messages may be.
#[test]
fn both_kinds_of_resends_share_one_batch() {
    let mut net = Net::of(4);
    net.lose(|_, to, parcel| parcel.is_gossip() || (to == id(0) && matches!(parcel, Parcel::Resend(_))));
    for nonce in 0..1200 {
        assert_eq!(net.submit(2, &net.transaction(nonce)), Ok(Submission::Pending));
    }
    // The primary makes progress with transactions of its own clients.
    let mut largest = 0;
    for nonce in 5000..5060 {
        net.submit(0, &net.transaction(nonce)).unwrap();
        net.pass(Duration::from_millis(50));
        for (_, _, parcel) in net.log.drain(..) {
            if let Parcel::Resend(batch) = parcel {
                let bytes: usize = batch.iter().map(|transaction| transaction.bytes() as usize).sum();
                largest = largest.max(bytes);
            }
        }
    }
    assert!(net.height(2) > 10, "the primary orders others meanwhile");
    assert!(largest > 60 << 10 && largest <= 64 << 10, "{largest} bytes");
}

#[test]
fn a_dead_primary_is_left_after_the_timeout_and_the_next_one_orders_what_waits() {
    let mut net = Net::of(4);
    net.power_loss(0);
    let transaction = net.transaction(1);
    net.submit(1, &transaction).unwrap();
    net.pass(RESEND_AFTER * 2 - Duration::from_millis(1));
    assert_eq!((net.height(1), net.departures(1)), (0, vec![]));
    net.pass(Duration::from_millis(2));
    assert_eq!(net.departures(1), [(View(1), Cause::NoProgress)]);
    net.pass(Duration::from_millis(100));
    for member in 1..4 {
        assert_eq!(net.ids(member), [transaction.id()], "member {member}");
    }
    net.open(0);
    net.pass(Duration::from_secs(5));
    assert_eq!((net.height(0), net.overview(0).pbft.view), (1, View(1)), "it follows after its restart");
}

#[test]
fn a_proposal_of_a_fast_clock_is_accepted_when_the_other_clocks_reach_it() {
    let mut net = Net::of(4);
    net.nodes[0].ahead_ms = 2000;
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    // The tolerance is half a second.
    net.pass(Duration::from_millis(1499));
    assert_eq!(net.height(1), 0);
    net.pass(Duration::from_millis(1));
    assert_eq!(net.height(1), 1);
}

#[test]
fn an_idle_network_sends_only_status() {
    let mut net = Net::of(4);
    net.commit_each(0..3);
    net.pass(Duration::from_secs(3));
    net.log.clear();
    net.pass(Duration::from_secs(60));
    assert!(net.log.is_empty(), "{:?}", net.log);
    for member in 0..4 {
        let stands = net.overview(member);
        assert_eq!(
            (stands.pbft.committed, stands.durable, stands.journal_rows),
            (stands.durable, stands.pbft.committed, 1 + 3 + 1),
            "rows left: own high-water mark, those of the others, collected height"
        );
    }
}
