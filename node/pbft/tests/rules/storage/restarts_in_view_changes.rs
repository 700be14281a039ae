//! Durable before sent (R13) in view changes: crashes at every boundary.

use quorate_ledger::View;
use quorate_pbft::{Record, Work};

use crate::net::{Boundary, Net, STATUS, TIMEOUT};

/// R13b, R19a: a replica that restarts while it waits for a view still waits for it. It does not
/// vote in the view that it left.
#[test]
fn a_restart_while_waiting_for_a_view() {
    for boundary in [Boundary::BeforePersist, Boundary::AfterPersist] {
        let mut net = Net::of(4);
        net.all_have_work(Work::Timely);
        net.pass(TIMEOUT - STATUS);
        net.nodes[2].crash_at = Some((0, boundary));
        net.links.lose(|envelope| envelope.is_view_change());
        net.pass(STATUS);
        assert!(!net.nodes[2].runs());
        net.restart(2);
        net.deliver_all();
        let expected = if boundary == Boundary::BeforePersist { (0, true) } else { (1, false) };
        assert_eq!(net.view(2), expected, "a VIEW-CHANGE without a record was not sent: {boundary:?}");
        net.links.heal();
        net.all_have_work(Work::Timely);
        net.pass(2 * STATUS);
        net.assert_view(1);
        net.propose("A");
        net.deliver_all();
        net.assert_chain(&["A"]);
    }
}

/// R13b, R20c: a replica restarts in a view with blocks proposed again that it has not accepted
/// yet. It restores the slots of these blocks.
#[test]
fn a_restart_in_a_view_with_blocks_to_accept() {
    for node in [1, 2] {
        let mut net = Net::of(4);
        net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
        let (a, b) = (net.propose("A"), net.propose("B"));
        net.deliver_all();
        net.crash(0);
        net.nodes[node].withheld.extend([a.hash(), b.hash()]);
        net.pass(TIMEOUT);
        net.assert_view(1);
        let accepted_again = |record: &Record| matches!(record, Record::Accepted(proposal) if proposal.ballot().view == View(1));
        assert!(!net.nodes[node].journal.iter().any(accepted_again));
        net.crash(node);
        net.nodes[node].withheld.clear();
        net.restart(node);
        net.pass(STATUS);
        net.assert_view(1);
        net.assert_chain(&["A", "B"]);
    }
}

/// R13b, R20a: the new primary crashes before or after its NEW-VIEW is durable, and before it is
/// sent. After the restart, it begins the view. It sends a durable NEW-VIEW with the same bytes.
#[test]
fn a_restart_of_a_primary_whose_new_view_was_not_sent() {
    for boundary in [Boundary::BeforePersist, Boundary::AfterPersist] {
        let mut net = Net::of(4);
        net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
        net.propose("A");
        net.deliver_all();
        net.crash(0);
        // Its own VIEW-CHANGE is the first group from here, the NEW-VIEW the second.
        net.nodes[1].crash_at = Some((1, boundary));
        net.pass(TIMEOUT);
        assert!(!net.nodes[1].runs());
        assert_eq!(net.links.sent[5], 0, "no NEW-VIEW was sent");
        net.restart(1);
        net.deliver_all();
        net.assert_view(1);
        net.assert_chain(&["A"]);
    }
}

/// R13: all members crash at once in the middle of a view change, at every boundary of one replica.
#[test]
fn the_whole_committee_loses_power_in_a_view_change() {
    for group in 0..6 {
        for boundary in [Boundary::BeforePersist, Boundary::AfterPersist] {
            let mut net = Net::of(4);
            net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
            net.propose("A");
            net.propose("B");
            net.deliver_all();
            net.crash(0);
            net.nodes[1].crash_at = Some((group, boundary));
            net.pass(TIMEOUT + STATUS);
            for node in 0..4 {
                net.crash(node);
            }
            for node in 0..4 {
                net.restart(node);
            }
            net.pass(3 * TIMEOUT);
            net.assert_chain(&["A", "B"]);
        }
    }
}

/// R13: every replica crashes at every group of records that it writes in a run with a view change.
/// Then the network makes progress.
#[test]
fn a_crash_at_every_boundary_of_a_view_change() {
    let run = |crash: Option<(usize, usize, Boundary)>| {
        let mut net = Net::of(4);
        net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
        if let Some((node, group, boundary)) = crash {
            net.nodes[node].crash_at = Some((group, boundary));
        }
        net.try_propose("A");
        net.try_propose("B");
        for round in 0..30 {
            net.pass(STATUS);
            for node in 0..4 {
                if !net.nodes[node].runs() {
                    net.restart(node);
                }
            }
            net.all_have_work(Work::Timely);
            if net.heights().iter().all(|height| *height == net.height(0) && *height >= 3) {
                return net.nodes.iter().map(|node| node.groups).collect::<Vec<_>>();
            }
            if net.height(0) < 3 {
                net.try_propose(&format!("{round}"));
            }
        }
        panic!(
            "{crash:?}: no progress at heights {:?} in views {:?}",
            net.heights(),
            (0..4).map(|n| net.view(n)).collect::<Vec<_>>()
        );
    };
    for (node, groups) in run(None).into_iter().enumerate() {
        for group in 0..groups {
            for boundary in [Boundary::BeforePersist, Boundary::AfterPersist] {
                run(Some((node, group, boundary)));
            }
        }
    }
}
