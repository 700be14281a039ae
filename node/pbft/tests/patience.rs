//! How long a view may take, and who is not blamed for what (R15, R21).
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, Input, Message, Status, Work};

use net::{NEW_VIEW_TIMEOUT, Net, STATUS, TIMEOUT, TIMEOUT_CAP, id};

mod net;

const MOMENT: Duration = Duration::from_millis(1);

/// R15: work that waits for the whole timeout ends the view, and work that nobody waits for does not.
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
    assert_eq!(net.departures(2), [], "member 2 knows of no work, and one member moves nobody");
}

/// R15: work that is withdrawn before the time is over ends nothing.
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

/// R15: an accepted block that is not committed is pending work, whoever knows of its transactions.
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

/// R15, R17: transactions that no block can contain any more wait for an empty block, whose gap the primary may
/// use up first.
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

/// R15: every commit gives the primary a new timeout, for work that goes on waiting too.
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

/// R15: a replica that is never woken but at its deadlines sends STATUS in time, and its deadline always lies ahead
/// after a tick, whatever it waits for.
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

/// R15: a late tick does what was due, once, and not what it missed as many times as it missed it.
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

/// R15e: a process that stood still does not hold against others what it could not see: deadlines move by as
/// much, and what came meanwhile is heard first.
#[test]
fn a_pause_postpones_deadlines() {
    let mut net = Net::of(4);
    net.crash(0);
    net.all_have_work(Work::Timely);
    net.pass(TIMEOUT - STATUS);
    let lateness = STATUS;
    net.moment = net.moment.after(lateness);
    net.input(1, Input::Late(lateness));
    assert_eq!(net.departures(1), [], "it stood still for one of its four seconds");
    net.input(2, Input::Tick);
    assert_eq!(net.departures(2), [Cause::NoProgress], "member 2 did not say so");
    net.links.lose(|envelope| envelope.is_view_change());
    net.pass(STATUS - MOMENT);
    assert_eq!(net.departures(1), []);
    net.pass(MOMENT);
    assert_eq!(net.departures(1), [Cause::NoProgress]);
}

/// R15: whoever hears of no quorum cannot begin another view, and would be mute in this one when contact comes back.
/// So it stays, and votes again at once.
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

/// R15: a member that is cut off a moment after a commit heard of a quorum in this turn, and all the same not of late.
#[test]
fn a_replica_cut_off_right_after_a_commit_stays_in_its_view() {
    // The usual ratio: whoever fell silent then is still in contact when the time is over.
    let mut net = Net::with(4, |config| config.request_timeout = 2 * STATUS);
    net.all_have_work(Work::Timely);
    net.propose("A");
    net.deliver_all();
    net.partition(&[3]);
    net.pass(5 * TIMEOUT);
    assert_eq!((net.height(3), net.view(3), net.departures(3)), (1, (0, true), vec![]));
    assert_ne!(net.departures(2), [], "those who hear each other do not wait for it");
}

/// R15: one that hears of no quorum at the end of its patience does not begin anew when it does.
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

/// R15: the time without contact does not count: with contact the primary has its whole timeout again.
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

/// R15: f + 1 members say in their STATUS that they have committed more, so one that cannot tell from votes blames nobody:
/// it is about to fetch what it misses.
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
        "it has all that others have, and still nothing happens"
    );
}

/// R15: what f members claim keeps nobody in a view, and what was said on a channel that is gone does not count.
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

/// R15: each view that fails doubles the time that the next one has, up to the cap.
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
    // The first is TIMEOUT; a NEW-VIEW is then waited for twice, four times, eight times as long, and never longer
    // than the cap.
    let expected =
        [TIMEOUT, 2 * NEW_VIEW_TIMEOUT, 4 * NEW_VIEW_TIMEOUT, TIMEOUT_CAP, TIMEOUT_CAP, TIMEOUT_CAP];
    for (waited, expected) in waited.iter().zip(expected) {
        let expected = expected.as_millis();
        assert!((expected..=expected + STATUS.as_millis()).contains(waited), "{waited} is about {expected}");
    }
}

/// R15: ten timeouts of progress on end halve the time again, step by step.
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
        assert!(blocks < 100, "it never shrinks");
    }
    assert_eq!(blocks, 81, "ten times the doubled timeout, and the first block");
    net.assert_view(1);
}

/// R15: however many views failed, the first ten timeouts of progress make the time shorter than the cap.
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

/// R21: the engine says that transactions are passed over: the view is left, blocks or not.
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
    net.propose("the one that waited");
    net.deliver_all();
    assert!((0..4).all(|node| net.height(node) == 4));
}

/// R21: a starved member alone moves nobody, and whoever has fallen behind has nothing to complain about.
#[test]
fn censorship_reported_by_one_replica_moves_no_other() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.links.lose(|envelope| envelope.is_proposal() && envelope.to == id(3));
    net.propose("A");
    net.deliver_all();
    net.input(3, Input::Starved);
    net.deliver_all();
    assert_eq!((net.view(3), net.height(3)), ((0, true), 0), "a certificate says that others are further");
    net.input(2, Input::Starved);
    net.deliver_all();
    assert_eq!(net.departures(2), [Cause::Censorship]);
    assert!([0, 1, 3].iter().all(|node| net.view(*node) == (0, true)));
}
