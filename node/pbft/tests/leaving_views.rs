//! Leaving a view (R19), when members die or messages are lost.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, Knowledge, Message, Phase, Record, Work};

use net::{Envelope, NEW_VIEW_TIMEOUT, Net, STATUS, TIMEOUT, id};

mod net;

/// R20: a primary that dies before it proposes costs one timeout; the next one proposes.
#[test]
fn a_primary_dies_before_it_proposes() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.proposer(), Some(1));
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R20: what a dead primary proposed to one alone was prepared nowhere: the new view begins without it, and the one
/// who accepted it goes with the others.
#[test]
fn a_primary_dies_after_it_proposed_to_one() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_proposal() && envelope.is_in_view(0) && envelope.to != id(3));
    net.propose("A");
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["B"]);
}

/// R19, R20: a block that is final at one member alone, which dies, is final in every later view.
#[test]
fn a_block_final_at_one_replica_stays_final() {
    for lost in [0, 1, 2, 3] {
        let mut net = Net::of(4);
        net.links
            .lose(move |envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(lost));
        net.propose("A");
        net.deliver_all();
        assert_eq!(net.height(lost), 1);
        net.crash(lost);
        net.all_have_work(Work::Timely);
        net.pass(3 * TIMEOUT);
        net.assert_chain(&["A"]);
        net.restart(lost);
        net.pass(2 * STATUS);
        net.propose("B");
        net.deliver_all();
        net.assert_chain(&["A", "B"]);
    }
}

/// R19: with f dead, one after the other gets its view, and the time doubles for each that fails.
#[test]
fn dead_primaries_in_a_row_are_skipped() {
    for (size, dead) in [(4, 1), (7, 2), (10, 3)] {
        let mut net = Net::of(size);
        for node in 0..dead {
            net.crash(node);
        }
        net.all_have_work(Work::Timely);
        let failing: Duration = (1..dead).map(|index| NEW_VIEW_TIMEOUT * (1 << index)).sum();
        net.pass(TIMEOUT + failing);
        net.assert_view(dead as u64);
        net.propose("A");
        net.deliver_all();
        net.assert_chain(&["A"]);
    }
}

/// R19: more than f dead: nothing can be decided, and nothing is; with one of them back it goes on.
#[test]
fn a_network_without_a_quorum_waits_for_one() {
    let mut net = Net::of(4);
    net.crash(0);
    net.crash(1);
    net.all_have_work(Work::Timely);
    net.pass(10 * TIMEOUT);
    assert_eq!((net.view(2), net.view(3)), ((0, true), (0, true)), "without a quorum nobody leaves");
    net.restart(1);
    net.pass(TIMEOUT + 2 * STATUS);
    net.assert_view(1);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R19: one member wants view 2, two want view 1, the fourth is silent. Counting exact views nobody would ever have a
/// quorum; counting whoever wants this view or a later one, the two give up view 1 and meet the first.
#[test]
fn members_spread_over_views_converge() {
    let mut net = Net::of(4);
    net.crash(3);
    // Member 0 hears the others and is not heard: it alone knows of a quorum, waits for view 1 and gives it up.
    net.links.lose(|envelope| envelope.is_view_change() && envelope.from == id(0));
    net.all_report_censorship();
    net.pass(2 * NEW_VIEW_TIMEOUT);
    let views: Vec<_> = (0..3).map(|node| net.view(node)).collect();
    assert_eq!(views, [(2, false), (1, false), (1, false)]);
    net.links.heal();
    net.pass(2 * NEW_VIEW_TIMEOUT + STATUS);
    net.assert_view(2);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R19: having given COMMIT does not keep a member from leaving the view. In dBFT it does, and four good nodes, two of
/// which have committed, wait for each other for ever.
#[test]
fn commits_do_not_keep_replicas_in_their_view() {
    let mut net = Net::of(4);
    // Members 0 and 1 prepare A and commit to it, 2 and 3 lack PREPAREs, and all COMMITs are lost for good.
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_prepare() && envelope.to.0 >= 2);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    let phases: Vec<_> = (0..4).map(|node| net.slots(node)[0].phase).collect();
    assert_eq!(phases, [Phase::Prepared, Phase::Prepared, Phase::PrePrepared, Phase::PrePrepared]);
    net.pass(TIMEOUT);
    net.assert_view(1);
    net.assert_chain(&["A"]);
}

/// R19: a whole round of VIEW-CHANGEs is lost. They are said again with every STATUS until the view begins.
#[test]
fn a_lost_round_of_view_changes_is_resent() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.links.lose(Envelope::is_view_change);
    net.pass(TIMEOUT);
    assert!((1..4).all(|node| net.view(node) == (1, false)));
    net.links.heal();
    net.pass(STATUS);
    net.assert_view(1);
    let before = net.links.sent[4];
    net.pass(5 * STATUS);
    assert_eq!(net.links.sent[4], before, "once the view has begun there is nothing to say any more");
}

/// R19: a single member that leaves, however often and however far, moves nobody.
#[test]
fn one_member_makes_no_replica_leave_its_view() {
    let mut net = Net::of(4);
    net.corrupt(3);
    for view in [1, 2, 3, 7, 1 << 40, u64::MAX] {
        for node in 0..3 {
            let message = Message::ViewChange(net.view_change(3, view, Knowledge::default()));
            net.inject(3, node, message);
        }
    }
    net.deliver_all();
    net.assert_view(0);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
    let overview = net.nodes[0].replica().overview(net.now(0));
    assert_eq!(overview.departed, [id(3)], "one VIEW-CHANGE of a member is kept, the latest");
}

/// R19: nor do f of them move a correct primary's view, while it makes progress.
#[test]
fn f_members_make_no_correct_primary_leave_its_view() {
    let mut net = Net::of(7);
    net.corrupt(5);
    net.corrupt(6);
    for round in 1..20 {
        for (from, node) in [(5, 0), (5, 1), (5, 2), (6, 2), (6, 3), (6, 4)] {
            let message = Message::ViewChange(net.view_change(from, round, Knowledge::default()));
            net.inject(from, node, message);
        }
        net.propose(&format!("block {round}"));
        net.pass(STATUS);
    }
    net.assert_view(0);
    assert!((0..5).all(|node| net.height(node) == 19));
}

/// R19: f + 1 that have left take everybody with them, to the highest view that f + 1 have reached.
#[test]
fn f_and_one_members_make_a_replica_follow() {
    let mut net = Net::of(7);
    for node in [4, 5, 6] {
        net.corrupt(node);
    }
    for (from, view) in [(4, 9), (5, 3), (6, 5)] {
        let message = Message::ViewChange(net.view_change(from, view, Knowledge::default()));
        net.inject(from, 0, message);
    }
    net.links.lose(|envelope| envelope.from == id(0));
    net.deliver_all();
    assert_eq!(net.view(0), (3, false), "the third highest of 9, 5 and 3: one of three is correct");
    assert_eq!(net.departures(0), [Cause::Joined]);
}

/// Member 3 votes for everything in this view and those near it.
fn votes_for_everything(net: &mut Net, view: u64) {
    let outline = net::block(&net::root(&net.config), "X", quorate_ledger::Timestamp(0), id(0));
    for (ahead, height) in (0..4).flat_map(|ahead| (1..10).map(move |height| (ahead, height))) {
        let ballot = net::ballot(&outline, view + ahead);
        let message = net.commit(3, quorate_ledger::Ballot { height: Height(height), ..ballot });
        net.inject(3, 0, message);
    }
    net.deliver_all();
}

/// R11, R20: however many views come and go with blocks that are not prepared, and whatever is sent meanwhile, what is
/// kept of them is bounded, and the bodies of the oldest are given up.
#[test]
fn memory_is_bounded_while_views_come_and_go() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let window = usize::try_from(net::WINDOW).unwrap();
    let (mut most, mut bodies) = (0, 0);
    for round in 0..100 {
        net.links.heal();
        net.links.lose(|envelope| envelope.is_prepare() || envelope.is_commit());
        net.try_propose(&format!("block {round}"));
        net.deliver_all();
        net.links.heal();
        let view = net.view(0).0;
        votes_for_everything(&mut net, view);
        net.all_report_censorship();
        for _ in 0..40 {
            net.pass(STATUS);
            if net.view(0).1 {
                break;
            }
        }
        most = most.max(net.slots(0).len());
        bodies = bodies.max(net.nodes[0].bodies.len());
    }
    assert!(net.view(0).0 >= 100, "{:?}", net.view(0));
    let kept = 8 * 2 * window;
    assert!((kept..=kept + 2 * window * 4).contains(&most), "{most} slots");
    assert!((kept..=kept + 2 * window).contains(&bodies), "{bodies} bodies of 75 blocks");
    let dropped = |record: &&Record| matches!(record, Record::Dropped { with_body: true, .. });
    assert!(net.nodes[0].journal.iter().filter(dropped).count() > 0);
    net.crash(0);
    net.restart(0);
}

/// R11, R19: the same while no view begins at all.
#[test]
fn memory_is_bounded_while_no_view_begins() {
    let mut net = Net::of(4);
    net.corrupt(3);
    net.links.lose(Envelope::is_new_view);
    net.all_have_work(Work::Timely);
    let window = usize::try_from(net::WINDOW).unwrap();
    for _ in 0..20 {
        let view = net.view(0).0;
        votes_for_everything(&mut net, view);
        let slots = net.slots(0).len();
        assert!(slots <= 2 * window * 4, "{slots} slots in view {view}");
        for node in 0..3 {
            let given_up = net.view_change(3, view + 1, Knowledge::default());
            net.inject(3, node, Message::ViewChange(given_up));
        }
        net.pass(TIMEOUT);
    }
    assert!(net.view(0).0 >= 5, "{:?}", net.view(0));
}

/// R12, R22: a member that missed a view change fetches what was ordered in the later view. What waits with it belongs
/// to the old chain, and its correct proposer is not called a liar for that; nor does the old primary go on.
#[test]
fn a_replica_that_missed_a_view_change_ignores_old_proposals() {
    for overtaken in [0, 3] {
        let mut net = Net::of(4);
        net.links.lose(|envelope| envelope.is_proposal() && envelope.is_at(1) && envelope.to == id(3));
        net.links.lose(|envelope| envelope.is_in_view(0) && !envelope.is_proposal());
        net.propose("A");
        net.propose("B");
        net.deliver_all();
        net.links.lose(move |envelope| envelope.to == id(overtaken) && !envelope.is_status());
        net.all_report_censorship_but(overtaken);
        net.deliver_all();
        net.propose("C");
        net.pass(3 * STATUS);
        assert_eq!(net.heights(), [1; 4]);
        assert_eq!(net.view(overtaken), (0, true), "it has not heard of the new view");
        assert_eq!(net.bad_proposals(overtaken), [""; 0]);
        assert!(net.nodes[overtaken].replica().proposal_parent().is_none());
        net.links.heal();
        net.pass(2 * STATUS);
        net.assert_view(1);
        net.propose("D");
        net.deliver_all();
        net.assert_chain(&["C", "D"]);
        assert!(net.departures(overtaken).is_empty(), "it was taken along by NEW-VIEW");
    }
}
