//! Crashes, old files and journals at the boundary of an epoch (R24, R26e).

use quorate_ledger::{Epoch, Height};
use quorate_pbft::{ChainEnd, Record, Replica, RestoreError, Schedule, Signer, SigningStatus};

use crate::net::{Boundary, Epochs, Next, STATUS, id};

const BOUNDARIES: [Boundary; 2] = [Boundary::BeforePersist, Boundary::AfterPersist];

/// Epoch 0 decides at height 1 that it ends at height 5.
fn deciding() -> Epochs {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    epochs
}

/// The member that crashed starts again, and the new epoch orders blocks with all members.
fn assert_continues(mut epochs: Epochs, case: &str) {
    epochs.pass(STATUS);
    epochs.restart_crashed();
    epochs.pass(6 * STATUS);
    assert_eq!(epochs.nets.len(), 2, "{case}");
    epochs.order("z", 3);
    epochs.pass(4 * STATUS);
    epochs.assert_heights(8);
    let net = epochs.last();
    for node in 0..net.size() {
        assert_eq!(net.signing(node), SigningStatus::Voting, "member {node}, {case}");
        assert!(matches!(net.nodes[node].journal[0], Record::EpochStart(Epoch(1))), "{case}");
    }
}

/// R13, R26e: a member crashes at any group of records around the end of an epoch.
#[test]
fn a_member_may_crash_at_every_group_before_the_boundary() {
    for boundary in BOUNDARIES {
        for groups in 0..12 {
            let mut epochs = deciding();
            epochs.order("a", 3);
            epochs.nets[0].nodes[2].crash_at = Some((groups, boundary));
            epochs.order("b", 2);
            assert_continues(epochs, &format!("group {groups}, {boundary:?}"));
        }
    }
}

/// R26e: a member crashes at any of its first groups of records in the new epoch. Without the
/// record of the start, it begins the epoch once more, and probes.
#[test]
fn a_member_may_crash_at_every_group_after_the_boundary() {
    for boundary in BOUNDARIES {
        for groups in 0..6 {
            let mut epochs = deciding();
            epochs.crash_on_begin = Some((2, (groups, boundary)));
            epochs.order("a", 5);
            epochs.pass(STATUS);
            epochs.order("b", 3);
            epochs.pass(STATUS);
            epochs.restart_crashed();
            epochs.pass(6 * STATUS);
            epochs.assert_heights(8);
            assert_eq!(epochs.last().signing(2), SigningStatus::Voting);
        }
    }
}

/// R24e, R26e: all members crash at the boundary, and the new epoch begins all the same.
#[test]
fn all_members_may_crash_at_the_boundary() {
    let mut epochs = deciding();
    epochs.order("a", 5);
    epochs.pass(STATUS);
    for node in 0..4 {
        epochs.last().crash(node);
    }
    epochs.restart_crashed();
    epochs.pass(2 * STATUS);
    epochs.order("b", 2);
    epochs.pass(2 * STATUS);
    epochs.assert_heights(7);
}

/// R24e, R26e: a member with old files signs nothing more in its epoch. In the next one it probes,
/// and takes part again.
#[test]
fn a_recovering_member_takes_part_in_the_next_epoch() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(6, &epochs.nets[0]));
    epochs.order("a", 2);
    let files = epochs.nets[0].nodes[3].files();
    epochs.order("b", 2);
    epochs.pass(STATUS);
    let net = &mut epochs.nets[0];
    net.crash(3);
    net.put_back(3, files);
    net.restart(3);
    epochs.pass(2 * STATUS);
    assert!(matches!(epochs.nets[0].signing(3), SigningStatus::Recovering { .. }));
    epochs.order("c", 2);
    for _ in 0..100 {
        if epochs.nets.len() == 2 && epochs.nets[1].nodes[3].runs() {
            break;
        }
        epochs.pass(STATUS / 4);
    }
    let net = epochs.last();
    assert!(matches!(net.signing(3), SigningStatus::Probing { answered: 0, .. }), "{:?}", net.signing(3));
    epochs.pass(2 * STATUS);
    epochs.assert_heights(10);
    assert_eq!(epochs.last().signing(3), SigningStatus::Voting);
    // Without member 2, the quorum needs it.
    epochs.last().crash(2);
    epochs.order("d", 2);
    epochs.pass(2 * STATUS);
    assert_eq!(epochs.last().height(3), 12);
}

/// R26e: a replica is restored from the records of its own epoch alone, and needs that of the start
/// of the epoch.
#[test]
fn records_of_another_epoch_are_refused() {
    let mut epochs = deciding();
    epochs.order("a", 5);
    epochs.pass(STATUS);
    epochs.order("b", 1);
    epochs.pass(STATUS);
    let (old, new) = (&epochs.nets[0], &epochs.nets[1]);
    let restore = |records: &[Record]| {
        let signer = Signer::new(&new.config.context, new.keys[1].clone(), id(1));
        let end = ChainEnd {
            tip: new.root.clone(),
            certificate: new.nodes[1].certificates.get(&Height(5)).cloned(),
            checkpoint: None,
            forgotten_through: Height(5),
        };
        let schedule = Schedule::without_changes(Height(5), new.config.context.window);
        Replica::restore(new.config.clone(), signer, end, schedule, records.to_vec())
            .map(|restored| restored.accepted.len())
    };
    let journal = &new.nodes[1].journal;
    assert_eq!(journal[0], Record::EpochStart(Epoch(1)));
    assert!(!journal[1..].iter().any(|record| matches!(record, Record::EpochStart(_))));
    assert_eq!(restore(journal), Ok(1));
    assert_eq!(restore(&journal[1..]), Err(RestoreError::NotStarted(Epoch(1))));
    let marks: Vec<_> =
        old.nodes[1].journal.iter().filter(|record| matches!(record, Record::Mark(..))).cloned().collect();
    let mixed = [&journal[..1], &marks[..]].concat();
    assert_eq!(restore(&mixed), Err(RestoreError::Epoch { found: Epoch(0), of: Epoch(1) }));
}
