//! Time: proposals from the future, work that waits too long, and waking up no more often than needed.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_ledger::{Outline, Timestamp};
use quorate_pbft::{Input, Phase, Request};

use net::{Net, STATUS, TIMEOUT, TOLERANCE, block, id};

mod net;

fn phase(net: &Net, node: usize) -> Phase {
    net.nodes[node].replica().overview().slots[0].phase
}

/// A proposal of a primary whose clock is `ahead` of everybody else's.
fn from_the_future(ahead: Duration) -> (Net, Outline) {
    let mut net = Net::of(4);
    net.nodes[0].clock_error_ms = i64::try_from(ahead.as_millis()).unwrap();
    let outline = net.propose("A");
    net.deliver_all();
    (net, outline)
}

/// R6: a block may lie ahead of our clock by the tolerance and not a millisecond more; then it waits.
#[test]
fn a_block_from_the_future_is_held_until_its_time_has_come() {
    let (net, _) = from_the_future(TOLERANCE);
    net.assert_chain(&["A"]);

    let (mut net, _) = from_the_future(TOLERANCE + Duration::from_millis(300));
    assert_eq!(phase(&net, 1), Phase::WaitingForClock);
    assert!(net.nodes[1].journal.is_empty(), "no vote yet");
    assert_eq!(net.nodes[1].replica().deadline(), Some(net.moment.after(Duration::from_millis(300))));
    net.pass(Duration::from_millis(299));
    assert_eq!(net.height(1), 0);
    net.pass(Duration::from_millis(1));
    net.assert_chain(&["A"]);
}

/// R6: the wall clock may be set back while a block is held. It is asked again, not the calculation of before.
#[test]
fn a_held_block_waits_longer_when_the_clock_is_set_back() {
    let (mut net, _) = from_the_future(TOLERANCE + Duration::from_millis(300));
    for node in 1..4 {
        net.nodes[node].clock_error_ms = -400;
    }
    net.pass(Duration::from_millis(300));
    assert_eq!(phase(&net, 1), Phase::WaitingForClock);
    net.pass(Duration::from_millis(400));
    net.assert_chain(&["A"]);
}

/// R6: and less long when it is set forward, as soon as anything happens.
#[test]
fn a_held_block_is_accepted_at_once_when_the_clock_is_set_forward() {
    let (mut net, _) = from_the_future(Duration::from_secs(3600));
    for node in 1..4 {
        net.nodes[node].clock_error_ms = 3_600_000;
        net.input(node, Input::Tick);
    }
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R6: a time that never comes blocks nothing but its own height, and overflows nothing.
#[test]
fn a_block_of_the_last_moment_of_all_time_is_held() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let outline = block(&net::root(&net.config), "A", Timestamp(u64::MAX), id(0));
    let proposal = net.proposal(0, &outline, 0);
    net.inject(0, 1, proposal);
    net.pass(3 * STATUS);
    assert_eq!(phase(&net, 1), Phase::WaitingForClock);
    assert!(net.nodes[1].replica().deadline().unwrap() <= net.moment.after(STATUS), "STATUS goes on");
}

/// R6 holds for fresh proposals only. A certified block needs no clock: the node with the slow clock follows.
#[test]
fn a_slow_clock_does_not_keep_a_node_from_following() {
    let mut net = Net::of(4);
    net.nodes[3].clock_error_ms = -60_000;
    for name in ["A", "B", "C"] {
        net.propose(name);
    }
    net.deliver_all();
    assert_eq!(net.heights(), [3, 3, 3, 0]);
    assert_eq!(phase(&net, 3), Phase::WaitingForClock);
    net.pass(STATUS);
    net.assert_chain(&["A", "B", "C"]);
}

/// R15: work that waits for the whole timeout is reported once, and once more after another timeout.
#[test]
fn a_dead_primary_is_overdue_once_for_each_timeout() {
    let mut net = Net::of(4);
    net.crash(0);
    net.pass(2 * TIMEOUT);
    assert_eq!(net.overdue(1), 0, "nobody waits for anything");
    let since = net.moment;
    net.input(1, Input::Pending(true));
    net.pass(TIMEOUT - Duration::from_millis(1));
    assert_eq!(net.overdue(1), 0);
    net.pass(Duration::from_millis(1));
    assert_eq!(net.overdue(1), 1);
    net.input(1, Input::Tick);
    net.pass(TIMEOUT - Duration::from_millis(1));
    assert_eq!(net.overdue(1), 1);
    net.pass(Duration::from_millis(1));
    assert_eq!(net.overdue(1), 2);
    let Request::Overdue(overdue) = net.heard(1)[1].clone() else { panic!("{:?}", net.heard(1)) };
    assert_eq!((overdue.primary, overdue.since), (id(0), since));
    assert_eq!(net.overdue(2), 0, "member 2 knows of no work");
    net.input(1, Input::Pending(false));
    net.pass(3 * TIMEOUT);
    assert_eq!(net.overdue(1), 2, "the work was withdrawn");
}

/// R15: an accepted block that is not committed is pending work, whoever knows of its transactions.
#[test]
fn an_accepted_block_without_a_quorum_is_overdue() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit());
    net.propose("A");
    net.pass(TIMEOUT);
    assert!((0..4).all(|node| net.overdue(node) == 1));
}

/// R15: every commit gives the primary a new timeout, for work that goes on waiting too.
#[test]
fn progress_postpones_the_deadline() {
    let mut net = Net::of(4);
    for node in 0..4 {
        net.input(node, Input::Pending(true));
    }
    for round in 0..5 {
        net.pass(TIMEOUT - Duration::from_millis(1));
        net.propose(&format!("block {round}"));
        net.deliver_all();
    }
    assert!((0..4).all(|node| net.overdue(node) == 0));
    net.pass(TIMEOUT);
    assert!((0..4).all(|node| net.overdue(node) == 1));
}

/// A replica that is never woken but at its deadlines sends STATUS in time, notices overdue work, and its
/// deadline always lies ahead after a tick.
#[test]
fn deadlines_move_on() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| !envelope.is_status());
    net.propose("A");
    for _ in 0..20 {
        net.pass(STATUS / 4);
        for node in &net.nodes {
            let deadline = node.replica().deadline().unwrap();
            assert!(deadline > net.moment && deadline <= net.moment.after(STATUS));
        }
    }
    assert_eq!(net.overdue(0), 1);
}

/// A late tick does what was due, once, and not what it missed as many times as it missed it.
#[test]
fn a_late_tick_does_no_harm() {
    let mut net = Net::of(4);
    net.deliver_all();
    net.input(1, Input::Pending(true));
    net.links.lose(|_| true);
    let before = net.links.sent[3];
    net.moment = net.moment.after(100 * TIMEOUT);
    net.input(1, Input::Tick);
    net.input(1, Input::Tick);
    assert_eq!(net.overdue(1), 1);
    assert_eq!(net.links.sent[3] - before, 3, "one STATUS to each other member");
}
