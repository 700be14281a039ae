//! How a view begins, and what it proposes again (R20).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_ledger::{Height, View};
use quorate_pbft::{Cause, Input, Phase, Request, Work};

use net::{Net, STATUS, TIMEOUT, id};

mod net;

/// R20: a block that was prepared at one member may have been committed at another. It is proposed again, the same
/// bytes in another view.
#[test]
fn a_block_prepared_at_one_replica_is_proposed_again() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_prepare() && envelope.to != id(2));
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    let a = net.propose("A");
    net.deliver_all();
    assert_eq!(net.slots(2)[0].phase, Phase::Prepared);
    net.crash(0);
    net.pass(TIMEOUT);
    net.assert_view(1);
    net.assert_chain(&["A"]);
    assert_eq!(net.nodes[1].tip(), a.header(), "proposer and time are the first primary's");
    let voted = net.nodes[3].finalised[0].certificate.ballot().view;
    assert_eq!(voted, View(1), "it was voted for again");
}

/// R20: the new primary begins with the certificate of its last block, and those who lack that are helped.
#[test]
fn a_block_final_at_one_replica_is_the_anchor_of_the_new_view() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(1));
    net.propose("A");
    net.deliver_all();
    assert_eq!(net.heights(), [0, 1, 0, 0]);
    net.crash(0);
    net.catching_up = false;
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    net.assert_chain(&["A"]);
    assert!(net.requests(2).iter().all(|request| !matches!(request, Request::CatchUp { .. })));
}

/// R20: several prepared blocks are proposed again in order, and fresh ones follow on them.
#[test]
fn a_chain_of_prepared_blocks_is_proposed_again() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    for name in ["A", "B", "C"] {
        net.propose(name);
    }
    net.deliver_all();
    net.crash(0);
    net.links.hold(|envelope| envelope.is_in_view(1) && envelope.is_prepare());
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.nodes[1].replica().in_flight(), 3);
    net.propose("D");
    net.deliver_all();
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A", "B", "C", "D"]);
}

/// R20: what is prepared above a height where nothing is cannot be locked (R10), so it is not proposed again. Here
/// member 2 prepared A and C but not B.
#[test]
fn a_hole_ends_the_chain_that_is_proposed_again() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_prepare() && envelope.is_at(2));
    for name in ["A", "B", "C"] {
        net.propose(name);
    }
    net.deliver_all();
    net.crash(0);
    net.pass(TIMEOUT);
    net.assert_view(1);
    net.propose("D");
    net.deliver_all();
    net.assert_chain(&["A", "D"]);
}

/// R12, R20: a block proposed again becomes final with a fresh one above it.
#[test]
fn a_block_proposed_again_is_final_through_a_fresh_descendant() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    net.crash(0);
    net.links.lose(|envelope| envelope.is_commit() && envelope.ballot().unwrap().height == Height(1));
    net.pass(TIMEOUT);
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["A", "B"]);
    assert!((1..4).all(|node| net.nodes[node].finalised[0].blocks.len() == 2));
}

/// R20: a NEW-VIEW that was lost is given to whoever says that it lacks it, also by those who only received it, also
/// when its primary is dead by then.
#[test]
fn a_lost_new_view_is_relayed() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.links.lose(|envelope| envelope.is_new_view() && envelope.to == id(3));
    net.pass(TIMEOUT);
    assert_eq!((net.view(2), net.view(3)), ((1, true), (1, false)));
    net.links.heal();
    net.crash(1);
    net.restart(0);
    net.pass(2 * STATUS);
    assert_eq!(net.view(3), (1, true), "member 2 passed it on");
    assert_eq!(net.view(0), (1, true), "and to the member that slept");
}

/// R20: whoever sleeps through a view change enters the view by its NEW-VIEW, which proves itself.
#[test]
fn a_new_view_is_entered_without_having_left() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_view_change() && envelope.to == id(3));
    net.crash(0);
    for node in [1, 2] {
        net.input(node, Input::Pending(Work::Timely));
    }
    net.input(3, Input::Starved);
    net.restart(0);
    net.deliver_all();
    net.pass(TIMEOUT + STATUS);
    net.assert_view(1);
}

/// R20: the new primary lacks a block that it must propose again. It proposes it by its hash, others that have it tell
/// their own votes, and its engine finds what is in it.
#[test]
fn a_new_primary_proposes_again_a_block_it_never_received() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.to == id(1));
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    assert!(net.slots(1).is_empty());
    net.finding_outlines = false;
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.proposer(), None, "nothing fresh before all that the view began with is accepted");
    net.finding_outlines = true;
    net.deliver_all();
    net.find_outlines();
    net.deliver_all();
    net.assert_chain(&["A"]);
    assert_eq!(net.proposer(), Some(1));
}

/// R5, R20: the new primary has heard of a block that it must propose again and does not have its transactions. It
/// proposes it, and gives its COMMIT when it holds what it vouches for.
#[test]
fn a_new_primary_that_lacks_a_body_waits_for_it() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    let a = net.propose("A");
    net.nodes[1].withheld.insert(a.hash());
    net.deliver_all();
    net.crash(0);
    net.pass(TIMEOUT);
    net.assert_view(1);
    let phase = |net: &Net, node: usize| net.slots(node).last().unwrap().phase;
    assert_eq!([1, 2, 3].map(|node| phase(&net, node)), [Phase::Examining, Phase::Prepared, Phase::Prepared]);
    assert_eq!(net.proposer(), None);
    net.supply(1);
    net.deliver_all();
    net.assert_chain(&["A"]);
    assert_eq!(net.proposer(), Some(1));
}

/// R20: a backup that lacks a block proposed again takes its ids from whoever has it; when nobody answers, the work is
/// not forgotten and the view ends.
#[test]
fn a_block_whose_ids_are_not_found_ends_the_view() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_proposal() && envelope.to == id(3));
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.links.lose(|envelope| envelope.is_in_view(1) && envelope.is_proposal());
    net.propose("A");
    net.deliver_all();
    net.crash(0);
    net.finding_outlines = false;
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.height(3), 0);
    net.pass(2 * TIMEOUT - STATUS);
    assert!((1..4).any(|node| net.view(node) == (1, true)));
    net.pass(2 * STATUS);
    assert!(net.departures(3).contains(&Cause::NoProgress), "member 3 knows that there is work to do");
    net.finding_outlines = true;
    net.links.heal();
    net.pass(4 * TIMEOUT);
    net.assert_chain(&["A"]);
}

/// R6, R20: the clock is not asked about blocks that are proposed again, however old they have become and however far
/// the clock is off.
#[test]
fn an_old_block_is_proposed_again_whatever_the_clock_says() {
    for error in [-3_600_000, 3_600_000] {
        let mut net = Net::of(4);
        net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
        net.moment = net.moment.after(Duration::from_secs(7200));
        net.propose("A");
        net.deliver_all();
        net.crash(0);
        for node in 1..4 {
            net.nodes[node].clock_error_ms = error;
        }
        net.pass(TIMEOUT);
        net.assert_view(1);
        net.assert_chain(&["A"]);
    }
}

/// R6: a fresh block that is older than any transaction in it may be is held and not refused. The next primary's fresh
/// block takes the height.
#[test]
fn a_fresh_block_that_is_too_old_is_held() {
    let mut net = Net::of(4);
    let lifetime = net.config.limits.transaction.max_lifetime_ms;
    net.nodes[0].clock_error_ms = -900_000;
    net.moment = net.moment.after(Duration::from_millis(900_000));
    net.links.queue_mut().clear();
    net.all_have_work(Work::Timely);
    net.propose("A");
    net.deliver_all();
    assert!(900_000 > lifetime);
    assert_eq!(net.slots(1)[0].phase, Phase::WaitingForClock);
    assert!(net.bad_proposals(1).is_empty(), "it breaks no rule: our clock may be wrong");
    net.pass(TIMEOUT + STATUS);
    net.assert_view(1);
    net.propose("B");
    // Member 0, whose clock is slow, follows by certified blocks.
    net.pass(2 * STATUS);
    net.assert_chain(&["B"]);
}

/// R6: the same block just within the lifetime is accepted.
#[test]
fn a_fresh_block_as_old_as_a_transaction_may_be_is_accepted() {
    for (age, height) in [(120_000, 1), (120_001, 0)] {
        let mut net = Net::of(4);
        net.moment = net.moment.after(Duration::from_millis(900_000));
        net.nodes[0].clock_error_ms = -age;
        net.propose("A");
        net.deliver_all();
        assert_eq!(net.height(1), height, "{age} ms old");
    }
}
