//! Remember, then speak (R13): crashes at every boundary between promising, writing and sending.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, ChainEnd, Input, Phase, Record, Replica, RestoreError, Signer};

use net::{Boundary, CHAIN, Net, STATUS, ballot, id};

mod net;

const BOUNDARIES: [Boundary; 2] = [Boundary::BeforePersist, Boundary::AfterPersist];

/// Proposes as long as there is room, until all have committed `count` blocks. Whoever stops is started again.
fn order(net: &mut Net, count: u64) {
    for round in 0..30 {
        for node in 0..net.size() {
            if !net.nodes[node].runs() {
                net.restart(node);
            }
        }
        for index in 0..2 {
            if net.height(0) < count {
                net.try_propose(&format!("{round}.{index}"));
            }
        }
        net.pass(STATUS);
        if net.height(0) >= count && net.heights().iter().all(|height| *height == net.height(0)) {
            return;
        }
    }
    panic!("the network got stuck at {:?}", net.heights());
}

/// R13: a member stops at every single group of records it writes in an ordinary run, before and after the disk
/// has it, starts again and goes on. The oracle sees that it never contradicts itself, and that all it says is
/// written.
#[test]
fn a_crash_at_every_boundary_of_every_member() {
    for size in [1, 4] {
        let groups = {
            let mut net = Net::of(size);
            order(&mut net, 3);
            net.nodes.iter().map(|node| node.groups).collect::<Vec<_>>()
        };
        for (node, groups) in groups.into_iter().enumerate() {
            assert!(groups >= 3, "every block makes a member write something");
            for group in 0..groups {
                for boundary in BOUNDARIES {
                    let mut net = Net::of(size);
                    net.nodes[node].crash_at = Some((group, boundary));
                    for index in 0..3 {
                        net.try_propose(&format!("first {index}"));
                        net.deliver_all();
                        if !net.nodes[node].runs() {
                            net.restart(node);
                        }
                    }
                    order(&mut net, 5);
                }
            }
        }
    }
}

/// R13: the whole committee loses power at every boundary of one member, and goes on without losing a final
/// block.
#[test]
fn the_whole_committee_loses_power() {
    for group in 0..8 {
        for boundary in BOUNDARIES {
            let mut net = Net::of(4);
            net.nodes[1].crash_at = Some((group, boundary));
            for name in ["A", "B", "C", "D"] {
                net.try_propose(name);
            }
            while let Some(envelope) = net.links.next() {
                net.receive(envelope).unwrap();
                if !net.nodes[1].runs() {
                    break;
                }
            }
            for node in 0..4 {
                net.crash(node);
            }
            for node in 0..4 {
                net.restart(node);
            }
            order(&mut net, 6);
        }
    }
}

/// R13: two crashes in a row, the second right after the first records of the new life.
#[test]
fn a_crash_soon_after_a_restart() {
    for first in 0..4 {
        for second in 0..3 {
            for boundary in BOUNDARIES {
                let mut net = Net::of(4);
                net.nodes[2].crash_at = Some((first, boundary));
                net.propose("A");
                net.propose("B");
                net.deliver_all();
                if net.nodes[2].runs() {
                    net.crash(2);
                }
                net.restart(2);
                net.nodes[2].crash_at = Some((second, boundary));
                net.pass(STATUS);
                net.try_propose("C");
                net.pass(STATUS);
                if !net.nodes[2].runs() {
                    net.restart(2);
                }
                order(&mut net, 5);
            }
        }
    }
}

/// R13: what was promised is promised again, byte for byte, and what was not may be decided anew.
#[test]
fn a_restarted_primary_resends_its_durable_proposal() {
    let mut net = Net::of(4);
    net.nodes[0].crash_at = Some((0, Boundary::AfterPersist));
    let a = net.propose("A");
    assert!(!net.nodes[0].runs());
    net.restart(0);
    assert_eq!(net.nodes[0].replica().in_flight(), 1, "A is proposed, although nobody heard of it");
    net.deliver_all();
    assert_eq!(net.nodes[0].replica().proposal_parent(), Some(a.header()));
    net.pass(3 * STATUS);
    net.assert_chain(&["A"]);

    let mut net = Net::of(4);
    net.nodes[0].crash_at = Some((0, Boundary::BeforePersist));
    net.propose("A");
    net.restart(0);
    assert_eq!(net.nodes[0].replica().in_flight(), 0, "A is forgotten, and was never said");
    net.deliver_all();
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["B"]);
}

/// R13: a backup that accepted A stays with A after a restart, whatever else the primary shows it.
#[test]
fn a_restarted_backup_keeps_its_accepted_proposal() {
    let mut net = Net::of(4);
    let root = net::root(&net.config);
    for silent in [0, 2, 3] {
        net.corrupt(silent);
    }
    let (a, b) =
        (net::block(&root, "A", net.now(0).wall, id(0)), net::block(&root, "B", net.now(0).wall, id(0)));
    let (proposal_a, proposal_b) = (net.proposal(0, &a, 0), net.proposal(0, &b, 0));
    net.nodes[1].crash_at = Some((0, Boundary::AfterPersist));
    net.inject(0, 1, proposal_a);
    net.deliver_all();
    assert!(!net.nodes[1].runs());
    net.restart(1);
    net.inject(0, 1, proposal_b);
    net.deliver_all();
    assert_eq!(net.accused(1), [0]);
    let slot = net.slots(1)[0].clone();
    assert_eq!((slot.block, slot.phase, slot.prepares), (Some(a.hash()), Phase::PrePrepared, vec![id(1)]));
}

/// R10, R13: a COMMIT that was promised before the crash still counts as given: the next height builds on it.
#[test]
fn commits_go_on_in_order_after_a_restart() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    net.crash(1);
    net.restart(1);
    assert_eq!(net.slots(1)[0].phase, Phase::Prepared);
    net.links.hold(|envelope| envelope.is_commit() && envelope.is_at(1));
    net.propose("B");
    net.deliver_all();
    assert_eq!(net.slots(1)[1].phase, Phase::Prepared);
}

/// R15: after a restart the view has the whole timeout again, for what was accepted before too.
#[test]
fn accepted_blocks_are_pending_after_a_restart() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit() || envelope.is_view_change());
    net.propose("A");
    net.pass(net::TIMEOUT / 2);
    net.crash(2);
    net.restart(2);
    net.pass(net::TIMEOUT - Duration::from_millis(1));
    assert_eq!((net.view(1), net.view(2)), ((1, false), (0, true)));
    net.pass(Duration::from_millis(1));
    assert_eq!(net.departures(2), [Cause::NoProgress]);
}

/// A journal that does not add up is not voted on: better no voter than one that does not know what it said.
#[test]
fn a_damaged_journal_is_refused() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    let journal = net.height_records(1);
    assert!(matches!(journal[..], [Record::Accepted(_), Record::Prepared(_)]));
    let restore = |records: &[Record]| {
        let signer = Signer::new(CHAIN, net.keys[1].clone(), id(1));
        let root = net::root(&net.config);
        let end = ChainEnd { tip: root, certificate: None, checkpoint: None, forgotten_through: Height(0) };
        Replica::restore(net.config.clone(), signer, end, records.to_vec())
            .map(|restored| restored.accepted.len())
    };
    assert_eq!(restore(&journal), Ok(1));
    assert_eq!(restore(&journal[1..]), Err(RestoreError::Incomplete(Height(1))));
    let reversed: Vec<Record> = journal.iter().rev().cloned().collect();
    assert_eq!(restore(&reversed), Ok(1), "in whatever order they are read");

    let mut other = Net::of(4);
    other.propose("B");
    other.deliver_all();
    let of_another_node = [journal[0].clone(), other.height_records(1)[1].clone()];
    assert_eq!(restore(&of_another_node), Err(RestoreError::Mismatch(Height(1))));
}

/// Rows that do not belong together are refused when they are read.
#[test]
fn records_are_joined_with_their_own_bodies_only() {
    let mut net = Net::of(1);
    let (a, b) = (net.propose("A"), net.propose("B"));
    let bytes = net.nodes[0].journal[0].to_bytes();
    assert_eq!(Record::accepted_header(&bytes).unwrap(), *a.header());
    assert!(Record::read_accepted(&bytes, &a).is_ok());
    assert!(Record::read_accepted(&bytes, &b).unwrap_err().to_string().contains("do not belong together"));
    for cut in [0, 1, bytes.len() - 1] {
        assert!(Record::read_accepted(&bytes[..cut], &a).is_err());
        assert!(Record::read_prepared(&bytes[..cut]).is_err());
        assert!(Record::read_finalised(&bytes[..cut]).is_err());
    }
}

/// R13: records of final heights are history: they are neither promises to keep nor work to do.
#[test]
fn records_below_the_tip_are_ignored() {
    let mut net = Net::of(4);
    net.propose("A");
    net.deliver_all();
    let b = net.propose("B");
    net.crash(1);
    net.restart(1);
    assert_eq!(net.height_records(1).len(), 3, "accepted, prepared, finalised");
    assert!(net.slots(1).is_empty());
    let prepare = net.prepare(2, ballot(&b, 0));
    net.inject(2, 1, prepare);
    net.input(1, Input::Tick);
    net.pass(3 * STATUS);
    net.assert_chain(&["A", "B"]);
}
