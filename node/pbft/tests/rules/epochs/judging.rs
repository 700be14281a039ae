//! Which heights a replica judges (R26a, R26c), and what it does with schedules.

use std::panic::{AssertUnwindSafe, catch_unwind};

use quorate_ledger::{Hash, Height};
use quorate_pbft::{EpochEnd, Input, Phase, Schedule};

use crate::net::{Epochs, Net, Next, STATUS, WINDOW};

/// R26a: a replica that executes late holds the proposals above, and accepts them once it has
/// executed enough. The others order without it.
#[test]
fn a_replica_that_executes_late_holds_and_then_accepts() {
    let mut net = Net::governed(4, |_| {});
    net.nodes[3].executor.late = true;
    for name in ["A", "B", "C", "D"] {
        net.propose(name);
        net.deliver_all();
    }
    assert_eq!(net.heights(), [4; 4]);
    net.catching_up = false;
    net.propose("E");
    net.deliver_all();
    // Height 5 is above W, and nothing is executed here. The quorum of the others finalises it.
    assert_eq!(net.heights()[..3], [5; 3]);
    let slots = net.slots(3);
    assert!(matches!(slots[..], [ref slot] if slot.phase == Phase::WaitingForParent), "{slots:?}");
    assert_eq!(net.bad_proposals(3).len(), 0);
    let now = net.now(3);
    net.nodes[3].execute(now, Height(1));
    net.input(3, Input::Tick);
    net.deliver_all();
    assert_eq!(net.heights(), [5; 4]);
}

/// R26a: a primary that executes late does not propose further ahead than it may judge.
#[test]
fn a_primary_that_executes_late_waits() {
    let mut net = Net::governed(4, |_| {});
    net.nodes[0].executor.late = true;
    for _ in 0..WINDOW {
        net.propose("A");
        net.deliver_all();
    }
    assert_eq!(net.heights(), [WINDOW; 4]);
    assert!(net.try_propose("B").is_none());
    let now = net.now(0);
    net.nodes[0].execute(now, Height(1));
    assert!(net.try_propose("B").is_some());
    assert!(net.try_propose("C").is_none());
}

/// R26c: an early empty block waits until the state after its parent is known, and is then accepted
/// or refused.
#[test]
fn an_early_empty_block_is_judged_by_the_state_after_its_parent() {
    let mut epochs = Epochs::of(4, |_| {});
    epochs.plan(Next::renewed(1, &epochs.nets[0]));
    let net = &mut epochs.nets[0];
    net.nodes[3].executor.late = true;
    net.catching_up = false;
    net.propose("A");
    net.deliver_all();
    net.fill();
    net.deliver_all();
    assert_eq!(net.heights()[..3], [2; 3]);
    assert_eq!(net.slots(3)[0].phase, Phase::WaitingForParent, "it has not executed height 1");
    assert_eq!(net.bad_proposals(3).len(), 0);
    let now = net.now(3);
    net.nodes[3].execute(now, Height(1));
    net.input(3, Input::Tick);
    net.deliver_all();
    assert_eq!(net.height(3), 2);
    net.catching_up = true;
    epochs.pass(4 * STATUS);
    assert_eq!(epochs.nets[0].height(3), 5);
}

/// R26: a schedule only moves forward, and never moves the end of the epoch.
#[test]
fn a_schedule_that_contradicts_an_earlier_one_is_a_bug() {
    let given = |schedules: &[Schedule]| {
        let mut net = Net::governed(1, |_| {});
        let give = || schedules.iter().for_each(|schedule| net.input(0, Input::Scheduled(*schedule)));
        catch_unwind(AssertUnwindSafe(give)).is_ok()
    };
    let at = |executed| Schedule::without_changes(Height(executed), WINDOW);
    let ends = |executed, last, next: u8| {
        let end = EpochEnd { last: Height(last), next_committee: Hash::from_bytes([next; 32]) };
        Schedule { end: Some(end), ..at(executed) }
    };
    assert!(given(&[at(1), at(1), at(3), ends(5, 9, 1), ends(6, 9, 1)]));
    assert!(!given(&[at(2), at(1)]), "back");
    assert!(!given(&[at(3), ends(4, 3 + WINDOW, 1)]), "an end that may be judged already");
    assert!(!given(&[ends(4, 8, 1), at(5)]), "an end that is gone");
    assert!(!given(&[ends(4, 8, 1), ends(5, 9, 1)]), "another end");
    assert!(!given(&[ends(4, 8, 1), ends(5, 8, 2)]), "another committee");
}
