//! Two of four validators are down and one returns: ordering continues by itself.

use std::time::{Duration, Instant};

use quorate_api::{TransactionStatus, Wait};
use quorate_e2e::{Network, SignedTransaction, Signer, until, wait_until};

use crate::{ALLOWANCE, others};

/// The documented limit, in addition to the timeouts of dead primaries.
const PROMISED: Duration = Duration::from_secs(2);

/// Number of request timeouts during which nothing may happen.
const WATCHED: u32 = 3;

fn is_committed(network: &Network, node: usize, signed: &SignedTransaction) -> bool {
    matches!(network.rpc(node).transaction(&signed.id), TransactionStatus::Committed { .. })
}

/// The remaining two accept transactions, commit nothing, and stay in their view.
fn watch_standstill(network: &Network, left: &[usize], waiting: &[SignedTransaction]) {
    // One of them may still fetch what the other has.
    network.common_height(left);
    let before: Vec<_> = left.iter().map(|index| network.rpc(*index).consensus()).collect();
    for (index, signed) in left.iter().zip(waiting) {
        let answer = network.rpc(*index).submit(&signed.hex, Wait::Accepted, 10_000).unwrap();
        assert_eq!(answer.status, TransactionStatus::Pending);
    }
    let (start, watched) = (Instant::now(), network.request_timeout() * WATCHED);
    until("nothing happens for long enough", 2 * watched, || {
        for (index, before) in left.iter().zip(&before) {
            let now = network.rpc(*index).consensus();
            assert_eq!((now.view, now.active), (before.view, true), "without a quorum no view is left");
            assert_eq!(now.view_change_counts, before.view_change_counts);
            assert_eq!(now.committed_height, before.committed_height, "two of four commit nothing");
        }
        (start.elapsed() >= watched).then_some(())
    });
    for index in left {
        assert_eq!(network.rpc(*index).page("/livez"), Some(200));
        assert_eq!(network.rpc(*index).page("/readyz"), Some(503));
    }
}

/// How two of them failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// Their connections are closed.
    Killed,
    /// Their connections stay open.
    Frozen,
}

/// Two validators fail, the others are observed, and one of the two returns. Waits for the
/// transactions that the others had accepted. Returns how long that takes, from when the returning
/// validator responds.
fn one_of_two_returns(gone: Gone, back: usize, away: usize, dead_primaries: u32) -> Duration {
    let mut network = Network::running(4);
    let all = others(&network, &[]);
    network.order_one(0);
    let view = network.common_view(&all);
    let at = |place: usize| network.primary_of(view + place as u64);
    let (back, away) = (at(back), at(away));
    let left = others(&network, &[back, away]);
    let waiting = Signer::new(network.genesis(), 2, 64).sign_many(2);
    let height = network.common_height(&all);
    wait_until("all report it", || {
        all.iter().all(|index| network.rpc(*index).consensus().committed_height == height)
    });
    for index in [back, away] {
        match gone {
            Gone::Killed => network.kill(index),
            Gone::Frozen => network.pause(index),
        }
    }
    watch_standstill(&network, &left, &waiting);

    let bring_back = |network: &mut Network, index| match gone {
        Gone::Killed => network.start(index),
        Gone::Frozen => network.resume(index),
    };
    bring_back(&mut network, back);
    let start = Instant::now();
    wait_until("the waiting transactions are committed", || {
        left.iter().all(|node| waiting.iter().all(|signed| is_committed(&network, *node, signed)))
    });
    let took = start.elapsed();
    let bound = PROMISED + network.new_view_timeout() * dead_primaries + ALLOWANCE;
    assert!(took <= bound, "{took:?} with {dead_primaries} dead primaries in turn");

    bring_back(&mut network, away);
    network.order_one(away);
    let places = network.equal_chains(&all).places();
    assert!(waiting.iter().all(|signed| places.contains_key(&signed.id)));
    assert_eq!(places.len(), 2 + waiting.len(), "and no other");
    network.assert_no_evidence(&all);
    for index in all {
        network.wait_until_ready(index);
    }
    took
}

#[test]
fn when_the_primary_returns_to_one_of_four_ordering_goes_on() {
    let took = one_of_two_returns(Gone::Killed, 0, 2, 0);
    println!("the primary returned: {} ms", took.as_millis());
}

#[test]
fn when_a_backup_returns_and_the_primary_does_not_the_next_primary_orders() {
    let took = one_of_two_returns(Gone::Killed, 2, 0, 1);
    println!("a backup returned: {} ms", took.as_millis());
}

#[test]
fn when_the_next_primary_returns_and_the_primary_does_not_it_orders() {
    let took = one_of_two_returns(Gone::Killed, 1, 0, 1);
    println!("the next primary returned: {} ms", took.as_millis());
}

#[test]
fn when_a_frozen_backup_thaws_and_the_frozen_primary_does_not_the_next_primary_orders() {
    let took = one_of_two_returns(Gone::Frozen, 2, 0, 1);
    println!("a frozen backup returned: {} ms", took.as_millis());
}
