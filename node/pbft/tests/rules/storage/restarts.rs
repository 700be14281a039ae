//! Durable before sent (R13): crashes at every boundary between decision, write and send.

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Cause, ChainEnd, Input, Phase, Record, Replica, RestoreError, Schedule, Signer};

use crate::net::{self, Boundary, Net, STATUS, ballot, id};

const BOUNDARIES: [Boundary; 2] = [Boundary::BeforePersist, Boundary::AfterPersist];

/// Proposes while there is room, until all have committed `count` blocks. Restarts nodes that
/// crashed.
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
    panic!("the network makes no progress at heights {:?}", net.heights());
}

/// R13: a replica crashes at every single group of records that it writes in an ordinary run,
/// before and after the write. Then it restarts and makes progress. The oracle checks that it never
/// contradicts itself, and that all its statements have records.
#[test]
fn a_crash_at_every_boundary_of_every_member() {
    for size in [1, 4] {
        let groups = {
            let mut net = Net::of(size);
            order(&mut net, 3);
            net.nodes.iter().map(|node| node.groups).collect::<Vec<_>>()
        };
        for (node, groups) in groups.into_iter().enumerate() {
            assert!(groups >= 3, "every block makes a replica write records");
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

/// R13: the whole committee loses power at every boundary of one replica. It makes progress again,
/// and no final block is lost.
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

/// R13: two crashes in a row, the second one right after the first records of the new process.
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

/// R13b: a durable proposal is sent again, byte for byte. One that was not durable was never sent,
/// and the primary may propose another block.
#[test]
fn a_restarted_primary_resends_its_durable_proposal() {
    let mut net = Net::of(4);
    net.nodes[0].crash_at = Some((0, Boundary::AfterPersist));
    let a = net.propose("A");
    assert!(!net.nodes[0].runs());
    net.restart(0);
    assert_eq!(net.nodes[0].replica().in_flight(), 1, "A is proposed, although no member received it");
    net.deliver_all();
    assert_eq!(net.nodes[0].replica().proposal_parent(), Some(a.header()));
    net.pass(3 * STATUS);
    net.assert_chain(&["A"]);

    let mut net = Net::of(4);
    net.nodes[0].crash_at = Some((0, Boundary::BeforePersist));
    net.propose("A");
    net.restart(0);
    assert_eq!(net.nodes[0].replica().in_flight(), 0, "A is lost, and was never sent");
    net.deliver_all();
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["B"]);
}

/// R13b: a backup that accepted A keeps A after a restart, whatever other block the primary sends.
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

/// R10, R13b: a COMMIT with a record still counts after a crash. The next height builds on it.
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

/// R15b: after a restart, the whole timeout applies again, also for blocks that were accepted
/// before.
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

/// A replica does not start with an inconsistent journal: it would not know which statements it has
/// signed.
#[test]
fn a_damaged_journal_is_refused() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    let journal = net.height_records(1);
    assert!(matches!(journal[..], [Record::Accepted(_), Record::Prepared(_)]));
    let restore = |records: &[Record]| {
        let signer = Signer::new(&net.config.context, net.keys[1].clone(), id(1));
        let root = net::root(&net.config);
        let end = ChainEnd { tip: root, certificate: None, checkpoint: None, forgotten_through: Height(0) };
        Replica::restore(net.config.clone(), signer, end, Schedule::FIXED, records.to_vec())
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

/// An accepted record and a body that do not belong together are refused when they are read.
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

/// R13c: records of final heights are neither votes to resend nor work.
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
