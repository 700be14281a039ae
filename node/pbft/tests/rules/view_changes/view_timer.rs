//! The view timer: when a replica leaves its view, and when it does not (R15, R21).

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, Input, Message, Status, Work};

use crate::net::{NEW_VIEW_TIMEOUT, Net, STATUS, TIMEOUT, TIMEOUT_CAP, id};

const MOMENT: Duration = Duration::from_millis(1);

/// R15b: work that is pending for the whole timeout ends the view. Without pending work, a dead
/// primary keeps its view.
#[test]
fn a_dead_primary_costs_its_view_when_work_has_waited_for_the_timeout() {
    let mut net = Net::of(4);
    net.crash(0);
    net.pass(2 * TIMEOUT);
    net.assert_view(0);
    net.input(1, Input::Pending(Work::Timely));
    net.pass(TIMEOUT - MOMENT);
    assert_eq!(net.departures(1), []);
    net.pass(MOMENT);
    assert_eq!(net.departures(1), [Cause::NoProgress]);
    assert_eq!(net.departures(2), [], "replica 2 has no work, and one VIEW-CHANGE makes no replica leave");
}

/// R15b: work that is withdrawn before the timeout does not end the view.
#[test]
fn withdrawn_work_does_not_end_the_view() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT - MOMENT);
    net.all_have_work(Work::Nothing);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT - MOMENT);
    net.assert_view(0);
    net.pass(MOMENT);
    net.assert_view(1);
}

/// R15b: an accepted block that is not committed is pending work, even if the pool is empty.
#[test]
fn an_accepted_block_without_a_quorum_ends_the_view() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit() && envelope.is_in_view(0));
    net.propose("A");
    net.pass(TIMEOUT);
    assert!((0..4).all(|node| net.departures(node).len() == 1));
    net.assert_view(1);
    net.assert_chain(&["A"]);
}

/// R15b, R17: transactions that no block can contain any more wait for an empty block. The primary
/// may wait for its gap first.
#[test]
fn expired_work_waits_for_the_gap_of_an_empty_block_too() {
    let mut net = Net::of(4);
    let gap = Duration::from_millis(net.config.limits.empty_block_gap_ms);
    net.all_have_work(Work::Expired);
    net.pass(TIMEOUT + gap - MOMENT);
    net.assert_view(0);
    net.pass(MOMENT);
    net.assert_view(1);
}

/// R15b: every commit restarts the timeout, also for work that remains pending.
#[test]
fn progress_postpones_the_deadline() {
    let mut net = Net::of(4);
    net.all_have_work(Work::Timely);
    for round in 0..5 {
        net.pass(TIMEOUT - MOMENT);
        net.propose(&format!("block {round}"));
        net.deliver_all();
    }
    net.assert_view(0);
    net.pass(TIMEOUT);
    net.assert_view(1);
}

/// R15: a replica that gets ticks only at its deadlines sends STATUS in time. After a tick, its
/// deadline is always in the future.
#[test]
fn deadlines_move_on() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| !envelope.is_status() && !envelope.is_view_change());
    net.all_have_work(Work::Timely);
    net.propose("A");
    for _ in 0..200 {
        net.pass(STATUS / 4);
        for node in &net.nodes {
            let deadline = node.replica().deadline().unwrap();
            assert!(deadline > net.moment && deadline <= net.moment.after(STATUS));
        }
    }
    assert_eq!(net.departures(0)[..2], [Cause::NoProgress, Cause::NoNewView]);
}

/// R15: a late tick does the due work once, not once for each missed interval.
#[test]
fn a_late_tick_does_no_harm() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.from == id(1));
    net.input(1, Input::Pending(Work::Timely));
    let before = net.links.sent[3];
    net.moment = net.moment.after(2 * STATUS);
    net.input(1, Input::Tick);
    net.input(1, Input::Tick);
    assert_eq!(net.links.sent[3] - before, 3, "one STATUS to each other member");
}

/// R15e: after a pause of its process, a replica postpones its deadlines by as much. It processes
/// the messages of that time first.
#[test]
fn a_pause_postpones_deadlines() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT - STATUS);
    let lateness = STATUS;
    net.moment = net.moment.after(lateness);
    net.input(1, Input::Late(lateness));
    assert_eq!(net.departures(1), [], "it was paused for one of its four seconds");
    net.input(2, Input::Tick);
    assert_eq!(net.departures(2), [Cause::NoProgress], "the engine of replica 2 did not report the pause");
    net.links.lose(|envelope| envelope.is_view_change());
    net.pass(STATUS - MOMENT);
    assert_eq!(net.departures(1), []);
    net.pass(MOMENT);
    assert_eq!(net.departures(1), [Cause::NoProgress]);
}

/// R15d: without a quorum, no view can begin. If a replica left alone, it would be excluded from
/// its view when contact comes back. So it stays, and votes again at once.
#[test]
fn an_isolated_replica_stays_in_its_view_and_votes_afterwards() {
    let mut net = Net::of(4);
    net.all_have_work(Work::Nothing);
    net.partition(&[3]);
    net.pass(4 * STATUS);
    net.input(3, Input::Pending(Work::Timely));
    net.pass(10 * TIMEOUT);
    assert_eq!((net.view(3), net.departures(3)), ((0, true), vec![]));
    net.links.heal();
    net.pass(STATUS);
    net.crash(1);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R15d: replica 3 is cut off a moment after a commit. It received messages from a quorum since the
/// timer began, but none of late, so it stays.
#[test]
fn a_replica_cut_off_right_after_a_commit_stays_in_its_view() {
    // The usual ratio of T to the status interval: the silent members still count as in contact
    // when T ends.
    let mut net = Net::with(4, |config| config.request_timeout = 2 * STATUS);
    net.all_have_work(Work::Timely);
    net.propose("A");
    net.deliver_all();
    net.partition(&[3]);
    net.pass(5 * TIMEOUT);
    assert_eq!((net.height(3), net.view(3), net.departures(3)), (1, (0, true), vec![]));
    assert_ne!(net.departures(2), [], "replicas with contact to a quorum leave without it");
}

/// R15d: if the messages of a quorum are missing at the end of T, the replica leaves as soon as
/// they arrive. T does not begin anew.
#[test]
fn a_late_status_costs_no_second_timeout() {
    let mut net = Net::of(4);
    net.crash(0);
    net.input(1, Input::Pending(Work::Timely));
    net.pass(TIMEOUT - 2 * STATUS);
    net.links.lose(|envelope| envelope.to == id(1));
    net.pass(2 * STATUS);
    assert_eq!(net.departures(1), []);
    net.links.heal();
    net.pass(STATUS);
    assert_eq!(net.departures(1), [Cause::NoProgress]);
}

/// R15d: time without contact does not count. Upon contact, the primary has the whole timeout
/// again.
#[test]
fn contact_that_comes_back_restarts_the_timeout() {
    let mut net = Net::of(4);
    net.partition(&[3]);
    net.input(3, Input::Pending(Work::Timely));
    net.pass(10 * TIMEOUT);
    net.links.heal();
    let _ = net.links.sent;
    net.pass(TIMEOUT - STATUS);
    assert_eq!(net.departures(3), []);
    net.pass(2 * STATUS);
    assert_eq!(net.departures(3), [Cause::NoProgress]);
}

/// R15d: the STATUS of f + 1 members claims that they have committed more. The replica cannot tell
/// from votes, but does not leave: it will fetch the blocks that it lacks.
#[test]
fn a_replica_that_is_behind_does_not_leave_its_view() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.links.lose(|envelope| envelope.to == id(3) && !envelope.is_status());
    net.propose("A");
    net.pass(STATUS);
    net.input(3, Input::Pending(Work::Timely));
    net.pass(5 * TIMEOUT);
    assert_eq!((net.height(3), net.departures(3)), (0, vec![]));
    net.catching_up = true;
    net.pass(2 * STATUS);
    assert_eq!(net.height(3), 1);
    net.pass(TIMEOUT);
    assert_eq!(
        net.departures(3),
        [Cause::NoProgress],
        "it has all committed blocks, and its work is still pending"
    );
}

/// R15d: claims of f members keep no replica in a view. Claims that arrived on a closed channel do
/// not count.
#[test]
fn claims_of_f_members_keep_no_replica_in_a_view() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.crash(0);
    let claim = Message::Status(Status { committed: Height(7), ..net.nodes[3].replica().status() });
    net.inject(0, 3, claim.clone());
    net.deliver_all();
    net.input(3, Input::PeerDown(id(0)));
    net.input(3, Input::Pending(Work::Timely));
    let start = net.moment;
    while net.moment.since(start) < TIMEOUT {
        net.inject(1, 3, claim.clone());
        net.pass(STATUS / 2);
    }
    assert_eq!(net.departures(3), [Cause::NoProgress]);
}

/// R15a: each view that fails doubles the timeouts, up to the cap.
#[test]
fn time_doubles_while_views_fail_and_stops_at_the_cap() {
    let mut net = Net::of(4);
    net.all_have_work(Work::Timely);
    net.links.lose(|envelope| envelope.is_new_view() || envelope.is_proposal());
    let mut waited = Vec::new();
    for _ in 0..6 {
        let (view, since) = (net.view(1).0, net.moment);
        while net.view(1).0 == view {
            net.pass(STATUS / 2);
        }
        waited.push(net.moment.since(since).as_millis());
    }
    // The first wait is TIMEOUT. The waits for a NEW-VIEW are twice, four times and eight times its
    // timeout, and never longer than the cap.
    let expected =
        [TIMEOUT, 2 * NEW_VIEW_TIMEOUT, 4 * NEW_VIEW_TIMEOUT, TIMEOUT_CAP, TIMEOUT_CAP, TIMEOUT_CAP];
    for (waited, expected) in waited.iter().zip(expected) {
        let expected = expected.as_millis();
        assert!((expected..=expected + STATUS.as_millis()).contains(waited), "{waited} is about {expected}");
    }
}

/// R15a: each 10 T of progress halves the timeout again, step by step.
#[test]
fn time_shrinks_again_while_the_chain_grows() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT);
    net.assert_view(1);
    assert_eq!(net.nodes[1].replica().request_timeout(), 2 * TIMEOUT);
    let mut blocks = 0;
    while net.nodes[1].replica().request_timeout() > TIMEOUT {
        net.propose(&format!("block {blocks}"));
        blocks += 1;
        net.pass(STATUS);
        assert!(blocks < 100, "the timeout does not shrink");
    }
    assert_eq!(blocks, 81, "ten times the doubled timeout, and the first block");
    net.assert_view(1);
}

/// R15a: however many views failed, the first 10 T of progress make the timeout shorter than the
/// cap.
#[test]
fn a_long_outage_is_forgotten_as_soon_as_a_short_one() {
    let mut net = Net::of(4);
    net.all_have_work(Work::Timely);
    net.links.lose(|envelope| envelope.is_new_view() || envelope.is_proposal());
    while net.view(1).0 < 20 {
        net.pass(STATUS);
    }
    net.links.heal();
    let mut blocks = 0;
    let mut grow = |net: &mut Net| {
        net.pass(STATUS);
        blocks += u32::from(net.try_propose(&format!("block {blocks}")).is_some());
        net.deliver_all();
    };
    while net.height(1) == 0 {
        grow(&mut net);
    }
    let since = net.moment;
    assert_eq!(net.nodes[1].replica().request_timeout(), TIMEOUT_CAP);
    while net.nodes[1].replica().request_timeout() == TIMEOUT_CAP {
        grow(&mut net);
    }
    assert!(net.moment.since(since) <= 10 * TIMEOUT_CAP + STATUS, "{:?}", net.moment.since(since));
}

/// R21d: the engine reports censorship, and the replica leaves the view, although blocks are
/// committed.
#[test]
fn a_report_of_censorship_ends_the_view() {
    let mut net = Net::of(4);
    for index in 0..3 {
        net.propose(&format!("block {index}"));
        net.deliver_all();
    }
    net.all_report_censorship();
    net.deliver_all();
    net.assert_view(1);
    assert_eq!(net.departures(0)[..1], [Cause::Censorship]);
    net.propose("the censored transaction");
    net.deliver_all();
    assert!((0..4).all(|node| net.height(node) == 4));
}

/// R21d, R19c: a report of censorship at one replica makes no other leave. A replica that is behind
/// does not leave because of a report.
#[test]
fn censorship_reported_by_one_replica_moves_no_other() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.links.lose(|envelope| envelope.is_proposal() && envelope.to == id(3));
    net.propose("A");
    net.deliver_all();
    net.input(3, Input::Censored);
    net.deliver_all();
    assert_eq!(
        (net.view(3), net.height(3)),
        ((0, true), 0),
        "a certificate proves that others have committed more"
    );
    net.input(2, Input::Censored);
    net.deliver_all();
    assert_eq!(net.departures(2), [Cause::Censorship]);
    assert!([0, 1, 3].iter().all(|node| net.view(*node) == (0, true)));
}
