//! Beginning a view, and the blocks that it proposes again (R20).

use std::time::Duration;

use quorate_ledger::{Height, View};
use quorate_pbft::{Cause, Input, Phase, Request, Work};

use crate::net::{Net, STATUS, TIMEOUT, id};

/// R20a: a block that is prepared at one replica may be final at another. The view proposes it
/// again, with the same bytes.
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
    assert_eq!(net.nodes[1].tip(), a.header(), "proposer and time are those of the first primary");
    let voted = net.nodes[3].finalised[0].certificate.ballot().view;
    assert_eq!(voted, View(1), "it was voted for in the new view");
}

/// R20a: the new primary begins with the commit certificate of its last block. R20b: replicas that
/// lack this certificate finalise the block with it, without a fetch.
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

/// R20c: the view proposes several prepared blocks again, in order. Fresh blocks follow above them.
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

/// R20a: a block above a height without a prepared block cannot be final (R10), so the view does
/// not propose it again. Here replica 2 prepared A and C, but not B.
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

/// R12a, R20c: a block that is proposed again becomes final with a fresh block above it.
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

/// R14b: a replica relays the NEW-VIEW to a replica whose STATUS shows that it lacks it. It also
/// does so if it only received the NEW-VIEW, and when the primary of that view is dead.
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
    assert_eq!(net.view(3), (1, true), "replica 2 relayed it");
    assert_eq!(net.view(0), (1, true), "and to replica 0, which was down");
}

/// R20b: a replica that was down during a view change enters the view with its NEW-VIEW, which
/// proves itself.
#[test]
fn a_new_view_is_entered_without_having_left() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_view_change() && envelope.to == id(3));
    net.crash(0);
    for node in [1, 2] {
        net.input(node, Input::Pending(Work::Timely));
    }
    net.input(3, Input::Censored);
    net.restart(0);
    net.deliver_all();
    net.pass(TIMEOUT + STATUS);
    net.assert_view(1);
}

/// R20c: the new primary lacks a block that it must propose again. It proposes the block by its
/// hash. Other replicas that have it send their votes, and the engine of the primary fetches its
/// ids.
#[test]
fn a_new_primary_proposes_again_a_block_it_never_received() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.to == id(1));
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    assert!(net.slots(1).is_empty());
    net.finding_skeletons = false;
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.proposer(), None, "no fresh block before all blocks of the NEW-VIEW are accepted");
    net.finding_skeletons = true;
    net.deliver_all();
    net.find_skeletons();
    net.deliver_all();
    net.assert_chain(&["A"]);
    assert_eq!(net.proposer(), Some(1));
}

/// R5, R20c: the new primary knows the ids of a block that it must propose again, but lacks its
/// transactions. It proposes the block. It votes for it only once it holds the body.
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

/// R12c, R15b: a backup that lacks a block proposed again requests its ids from other members. If
/// none answers, the block still counts as work, and the view ends.
#[test]
fn a_block_whose_ids_are_not_found_ends_the_view() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_proposal() && envelope.to == id(3));
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.links.lose(|envelope| envelope.is_in_view(1) && envelope.is_proposal());
    net.propose("A");
    net.deliver_all();
    net.crash(0);
    net.finding_skeletons = false;
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.height(3), 0);
    net.pass(2 * TIMEOUT - STATUS);
    assert!((1..4).any(|node| net.view(node) == (1, true)));
    net.pass(2 * STATUS);
    assert!(net.departures(3).contains(&Cause::NoProgress), "replica 3 counts the block as work");
    net.finding_skeletons = true;
    net.links.heal();
    net.pass(4 * TIMEOUT);
    net.assert_chain(&["A"]);
}

/// R6, R20c: replicas do not compare blocks that are proposed again with the clock, however old the
/// blocks are and however wrong the clock is.
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

/// R6: replicas hold a fresh block that is older than the lifetime of transactions, and do not
/// refuse it. The next primary's fresh block takes the height.
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
    assert!(net.bad_proposals(1).is_empty(), "it breaks no rule: the clock of the backup may be wrong");
    net.pass(TIMEOUT + STATUS);
    net.assert_view(1);
    net.propose("B");
    // Replica 0, whose clock is slow, fetches certified blocks.
    net.pass(2 * STATUS);
    net.assert_chain(&["B"]);
}

/// R6: a fresh block that is exactly as old as the lifetime is accepted; one a millisecond older is
/// not.
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
