//! The wall clock: proposals from the future and from the past (R6).

use std::time::Duration;

use quorate_ledger::{BlockSkeleton, Timestamp};
use quorate_pbft::{Input, Phase};

use crate::net::{self, Net, STATUS, TOLERANCE, block, id};

fn phase(net: &Net, node: usize) -> Phase {
    net.slots(node)[0].phase
}

/// A proposal of a primary whose clock is `ahead` of all others.
fn from_the_future(ahead: Duration) -> (Net, BlockSkeleton) {
    let mut net = Net::of(4);
    net.nodes[0].clock_error_ms = i64::try_from(ahead.as_millis()).unwrap();
    let skeleton = net.propose("A");
    net.deliver_all();
    (net, skeleton)
}

/// R6: a backup accepts a block whose time is ahead of its clock by the tolerance, and holds one
/// that is a millisecond further ahead.
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

/// R6: the wall clock may be set back while a block is held. The replica reads the clock again, and
/// does not use its earlier calculation.
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

/// R6: the wall clock may be set forward. The replica accepts the block at its next input.
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

/// R6: a time that never comes blocks only its own height, and overflows no deadline.
#[test]
fn a_block_with_the_largest_timestamp_is_held() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let skeleton = block(&net::root(&net.config), "A", Timestamp(u64::MAX), id(0));
    let proposal = net.proposal(0, &skeleton, 0);
    net.inject(0, 1, proposal);
    net.pass(3 * STATUS);
    assert_eq!(phase(&net, 1), Phase::WaitingForClock);
    assert!(net.nodes[1].replica().deadline().unwrap() <= net.moment.after(STATUS), "it still sends STATUS");
}

/// R6 holds for fresh proposals only. Certified blocks are not compared with the clock, so the node
/// with the slow clock follows.
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
