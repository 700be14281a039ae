//! The normal case: no member fails, and messages arrive in any order.

use quorate_ledger::Height;
use quorate_pbft::Phase;

use crate::net::{self, Net, WINDOW, id};

/// R1, R8: committees of every size use the same three phases, with the quorum for their size.
#[test]
fn every_committee_orders_blocks() {
    for size in [1, 2, 3, 4, 5, 6, 7, 10] {
        let mut net = Net::of(size);
        for name in ["A", "B", "C"] {
            net.propose(name);
            net.deliver_all();
        }
        net.assert_chain(&["A", "B", "C"]);
        for node in &net.nodes {
            assert_eq!(node.replica().in_flight(), 0, "nothing is left open with {size} members");
            assert!(node.requests.is_empty(), "no node reports a problem with {size} members");
        }
    }
}

/// In the normal case, every member sends each of its votes once to every other member: n(n − 1)
/// COMMITs for a block.
#[test]
fn nothing_is_sent_twice_without_need() {
    let mut net = Net::of(4);
    net.links.lose(net::Envelope::is_status);
    net.propose("A");
    net.deliver_all();
    let [proposals, prepares, commits, ..] = net.links.sent;
    assert_eq!((proposals, prepares, commits), (3, 3 * 3, 4 * 3));
}

/// R7: a primary proposes W blocks, and the next one only when one is committed.
#[test]
fn a_primary_fills_its_window_and_stops() {
    let mut net = Net::of(4);
    for height in 1..=WINDOW {
        assert_eq!(net.propose(&format!("block {height}")).height(), Height(height));
    }
    assert!(net.try_propose("too many").is_none(), "W blocks are in flight");
    assert_eq!(net.nodes[0].replica().in_flight(), WINDOW);
    net.deliver_all();
    assert_eq!(net.heights(), [WINDOW; 4]);
    assert!(net.try_propose("the next").is_some());
}

/// R3, R10, R12a: COMMITs for a later block may be complete first. Then it and all blocks below
/// become final together, in order.
#[test]
fn a_later_block_finalises_the_earlier_ones() {
    let mut net = Net::of(4);
    net.links.hold(|envelope| envelope.is_commit() && (envelope.is_at(1) || envelope.is_at(2)));
    for name in ["A", "B", "C"] {
        net.propose(name);
    }
    net.deliver_all();
    net.assert_chain(&["A", "B", "C"]);
    for node in &net.nodes {
        assert_eq!(node.finalised.len(), 1, "one certificate");
        assert_eq!(node.finalised[0].blocks.len(), 3, "for three blocks");
    }
    net.links.release();
    net.deliver_all();
    assert_eq!(
        net.nodes[1].replica().counters().outside_window,
        2 * 3 + 1,
        "late COMMITs change nothing: all of the others' for A and B, the last for C"
    );
    net.assert_chain(&["A", "B", "C"]);
}

/// R10: while PREPAREs for the first block are missing, no replica sends COMMIT for the second one,
/// although it is prepared.
#[test]
fn commits_are_sent_in_height_order() {
    let mut net = Net::of(4);
    net.links.hold(|envelope| envelope.is_prepare() && envelope.is_at(1));
    net.propose("A");
    net.propose("B");
    net.deliver_all();
    let [_, _, commits, ..] = net.links.sent;
    assert_eq!(commits, 0, "B is prepared everywhere, A nowhere");
    assert_eq!(net.heights(), [0; 4]);
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A", "B"]);
}

/// R3: a proposal that arrives before its parent waits for it.
#[test]
fn proposals_out_of_order_are_accepted_in_order() {
    let mut net = Net::of(4);
    for name in ["A", "B", "C"] {
        net.propose(name);
    }
    net.links.queue_mut().make_contiguous().reverse();
    let first = net.links.next().unwrap();
    assert!(first.is_at(3), "the last proposal arrives first");
    let backup = first.to;
    net.receive(first).unwrap();
    assert_eq!(net.slots(backup.index())[0].phase, Phase::WaitingForParent);
    assert!(net.nodes[backup.index()].journal.is_empty(), "it has no record yet");
    net.deliver_all();
    net.assert_chain(&["A", "B", "C"]);
}

/// R11: votes that arrive before their proposal are kept, and count once it arrives.
#[test]
fn votes_before_their_proposal_count() {
    let mut net = Net::of(4);
    net.links.hold(|envelope| envelope.is_proposal() && envelope.to == id(3));
    net.propose("A");
    net.deliver_all();
    assert_eq!(net.heights(), [1, 1, 1, 0]);
    let slot = &net.slots(3)[0];
    assert_eq!(slot.phase, Phase::WaitingForProposal);
    assert_eq!((slot.prepares.len(), slot.commits.len()), (2, 3), "all votes of the others are here");
    net.catching_up = false;
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R12a: a quorum of COMMITs for a block that the replica never received shows that the block is
/// missing. The engine fetches it with its certificate. After that, the replica votes again.
#[test]
fn a_certified_block_that_is_missing_is_caught_up() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_proposal() && envelope.to == id(3) && envelope.is_at(1));
    net.propose("A");
    net.deliver_all();
    net.propose("B");
    net.deliver_all();
    let asked = [Height(1), Height(2)].map(|height| quorate_pbft::Request::CatchUp { height });
    assert_eq!(net.requests(3), asked, "once for each certificate");
    assert_eq!(net.heights(), [2, 2, 2, 0]);
    net.pass(net::STATUS);
    net.assert_chain(&["A", "B"]);
    net.crash(1);
    net.propose("C");
    net.deliver_all();
    net.assert_chain(&["A", "B", "C"]);
}

/// R12d: a block that is final already is skipped when it is fetched.
#[test]
fn finality_is_idempotent() {
    let mut net = Net::of(4);
    net.propose("A");
    net.deliver_all();
    let tip = net.nodes[2].tip().clone();
    let certificate = net.nodes[1].certificates[&tip.height].clone();
    for headers in [vec![tip.clone()], Vec::new()] {
        let certificate = certificate.clone();
        net.input(2, quorate_pbft::Input::CaughtUp { headers, certificate });
    }
    assert_eq!(net.nodes[2].replica().tip(), &tip);
    assert_eq!(net.nodes[2].finalised.len(), 1);
}

/// R15, R17: an idle network makes no blocks, and its members send only STATUS.
#[test]
fn an_idle_network_is_quiet() {
    let mut net = Net::of(4);
    net.propose("A");
    net.deliver_all();
    let before = net.links.sent;
    net.pass(10 * net::STATUS);
    let after = net.links.sent;
    let ordering =
        |sent: [usize; 9]| (sent[0], sent[1], sent[2], sent[4], sent[5], sent[6], sent[7], sent[8]);
    assert_eq!(ordering(before), ordering(after), "no proposal, no vote, no view change");
    assert_eq!(after[3] - before[3], 10 * 4 * 3, "one STATUS to each other member an interval");
    net.assert_chain(&["A"]);
    assert!(net.nodes.iter().all(|node| node.requests.is_empty()));
}
