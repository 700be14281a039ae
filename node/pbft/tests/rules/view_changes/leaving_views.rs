//! Leaving a view (R19) when members die or messages are lost.

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, Input, Message, Phase, Record, ViewChangePayload, Work};

use crate::net::{self, CHAIN, Envelope, NEW_VIEW_TIMEOUT, Net, STATUS, TIMEOUT, ballot, block, id};

/// R15b, R20: a primary that dies before it proposes costs one timeout. The next one proposes.
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

/// R20a: the dead primary proposed its block to replica 3 alone, so no replica prepared it. The new
/// view begins without it, and replica 3 enters the view as well.
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

/// R19a, R20a: a block that is final at one replica alone, which dies, is final in every later
/// view.
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

/// R15: with f primaries dead in a row, each gets its view. The timeout doubles for each view that
/// fails.
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

/// R15d: with more than f members dead, nothing is committed, and no replica leaves its view. Once
/// one of them is back, the network makes progress.
#[test]
fn a_network_without_a_quorum_waits_for_one() {
    let mut net = Net::of(4);
    net.crash(0);
    net.crash(1);
    net.all_have_work(Work::Timely);
    net.pass(10 * TIMEOUT);
    assert_eq!(
        (net.view(2), net.view(3)),
        ((0, true), (0, true)),
        "without a quorum, no replica leaves its view"
    );
    net.restart(1);
    net.pass(TIMEOUT + 2 * STATUS);
    net.assert_view(1);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R15c: one replica waits for view 2, two wait for view 1, and the fourth is dead. If only
/// VIEW-CHANGEs for the same view counted, no replica would ever have a quorum. Since those for
/// later views count as well, the two leave view 1 and meet the first one in view 2.
#[test]
fn members_spread_over_views_converge() {
    let mut net = Net::of(4);
    net.crash(3);
    // Replica 0 receives VIEW-CHANGEs, but its own are lost. It alone knows of a quorum, waits for
    // view 1, and leaves it.
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

/// R19a: a replica that has sent COMMIT may leave the view. In dBFT it may not, and four correct
/// nodes, two of which have committed, wait for each other for ever.
#[test]
fn commits_do_not_keep_replicas_in_their_view() {
    let mut net = Net::of(4);
    // Replicas 0 and 1 prepare A and send COMMIT for it. Replicas 2 and 3 lack PREPAREs, and all
    // COMMITs of the view are lost for good.
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

/// R19a: a whole round of VIEW-CHANGEs is lost. The replicas resend them every status interval
/// until the view begins.
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
    assert_eq!(net.links.sent[4], before, "no VIEW-CHANGE is sent once the view has begun");
}

/// R19c: VIEW-CHANGEs of a single member make no replica leave, however many and for whichever
/// views.
#[test]
fn one_member_makes_no_replica_leave_its_view() {
    let mut net = Net::of(4);
    net.corrupt(3);
    for view in [1, 2, 3, 7, 1 << 40, u64::MAX] {
        for node in 0..3 {
            let message = Message::ViewChange(net.view_change(3, view, ViewChangePayload::default()));
            net.inject(3, node, message);
        }
    }
    net.deliver_all();
    net.assert_view(0);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
    let overview = net.nodes[0].replica().overview(net.now(0));
    assert_eq!(overview.departed, [id(3)], "only the latest VIEW-CHANGE of a member is kept");
}

/// R19c: nor do VIEW-CHANGEs of f members, while the correct primary makes progress.
#[test]
fn f_members_make_no_correct_primary_leave_its_view() {
    let mut net = Net::of(7);
    net.corrupt(5);
    net.corrupt(6);
    for round in 1..20 {
        for (from, node) in [(5, 0), (5, 1), (5, 2), (6, 2), (6, 3), (6, 4)] {
            let message = Message::ViewChange(net.view_change(from, round, ViewChangePayload::default()));
            net.inject(from, node, message);
        }
        net.propose(&format!("block {round}"));
        net.pass(STATUS);
    }
    net.assert_view(0);
    assert!((0..5).all(|node| net.height(node) == 19));
}

/// R19c: upon VIEW-CHANGEs of f + 1 members, a replica leaves for the highest view that f + 1 of
/// them have reached.
#[test]
fn f_and_one_members_make_a_replica_follow() {
    let mut net = Net::of(7);
    for node in [4, 5, 6] {
        net.corrupt(node);
    }
    for (from, view) in [(4, 9), (5, 3), (6, 5)] {
        let message = Message::ViewChange(net.view_change(from, view, ViewChangePayload::default()));
        net.inject(from, 0, message);
    }
    net.links.lose(|envelope| envelope.from == id(0));
    net.deliver_all();
    assert_eq!(net.view(0), (3, false), "the third highest of 9, 5 and 3: one of three is correct");
    assert_eq!(net.departures(0), [Cause::Joined]);
}

/// Member 3 sends COMMIT for many heights in this view and those near it.
fn votes_for_everything(net: &mut Net, view: u64) {
    let skeleton = block(&net::root(&net.config), "X", quorate_ledger::Timestamp(0), id(0));
    for (ahead, height) in (0..4).flat_map(|ahead| (1..10).map(move |height| (ahead, height))) {
        let ballot = ballot(&skeleton, view + ahead);
        let message = net.commit(3, quorate_ledger::Ballot { height: Height(height), ..ballot });
        net.inject(3, 0, message);
    }
    net.deliver_all();
}

/// R11, R20d: many views begin and fail, each with a block that is not prepared, while a faulty
/// member sends votes. The memory for these views is bounded, and the replica drops the bodies of
/// the lowest views.
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

/// R11, R19: memory is also bounded while no view begins at all.
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
            let leaving = net.view_change(3, view + 1, ViewChangePayload::default());
            net.inject(3, node, Message::ViewChange(leaving));
        }
        net.pass(TIMEOUT);
    }
    assert!(net.view(0).0 >= 5, "{:?}", net.view(0));
}

/// R12e, R22: a replica that missed a view change fetches a block of the later view. The proposals
/// in its slots belong to a superseded branch. It reports none of them as bad, since their proposer
/// is correct. The old primary proposes nothing more.
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
        assert_eq!(net.view(overtaken), (0, true), "it has not received the NEW-VIEW");
        assert_eq!(net.bad_proposals(overtaken), [""; 0]);
        assert!(net.nodes[overtaken].replica().proposal_parent().is_none());
        net.links.heal();
        net.pass(2 * STATUS);
        net.assert_view(1);
        net.propose("D");
        net.deliver_all();
        net.assert_chain(&["C", "D"]);
        assert!(net.departures(overtaken).is_empty(), "it entered the view with the NEW-VIEW");
    }
}

/// R12e: a certificate of view 1 proves that a quorum has left view 0. A replica that is still in
/// view 0 does not vote there, even for a block on top of the certified one.
#[test]
fn a_replica_does_not_vote_in_a_view_that_a_quorum_has_left() {
    for (certified_in, votes) in [(0, true), (1, false)] {
        let mut net = Net::of(4);
        net.corrupt(0);
        let fetched = net.first_block("A", 1);
        let certificate = net.certificate(ballot(&fetched, certified_in), &[0, 1, 2]);
        net.input(
            3,
            Input::CaughtUp {
                headers: vec![fetched.header().clone()],
                certificate: certificate.verify(&CHAIN, &net.config.context).unwrap(),
            },
        );
        assert_eq!(net.view(3), (0, true), "it has not received the NEW-VIEW");
        let next = block(fetched.header(), "B", net.now(3).wall, id(0));
        let proposal = net.proposal(0, &next, 0);
        net.inject(0, 3, proposal);
        net.deliver_all();
        assert_eq!(!net.height_records(3).is_empty(), votes, "certified in view {certified_in}");
        assert_eq!(net.links.sent[1] > 0, votes, "a PREPARE, certified in view {certified_in}");
    }
}
