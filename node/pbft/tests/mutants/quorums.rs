//! Faults in the number of votes that a decision needs (M1 to M4).

use quorate_ledger::mutant::Mutant;

use crate::net::{STATUS, TIMEOUT, ballot, id};
use crate::scenario::{Scenario, TWO_FINAL, detects};

/// M1, R1: of five members, 0 is Byzantine and the primary. It proposes A to 1 and 2, and B to 3
/// and 4, and sends COMMIT for both. If three are a quorum, each half is a quorum together with
/// member 0.
#[test]
fn a_quorum_of_2f_plus_1_lets_a_faulty_member_split_five() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        for (name, half) in [("A", [1, 2]), ("B", [3, 4])] {
            let block = scenario.propose_on_genesis(0, 0, name, &half);
            scenario.send(0, &half, &scenario.net.commit(0, ballot(&block, 0)));
        }
        scenario.deliver();
        scenario.leave(&[1, 2, 3, 4]);
        scenario.propose(1, "C");
        scenario.ends_with(&["C"]);
    }
    detects(Mutant::QuorumOfTwoFaults, 5, steps, "R1: exactly a quorum", TWO_FINAL);
}

/// M1, R1: a partition cuts six correct members in two halves. Replicas 0, 2 and 3 are with the
/// primary of view 0; replicas 1, 4 and 5 are with the primary of view 1. If three are a quorum,
/// each half orders blocks, although no member is faulty.
#[test]
fn a_quorum_of_2f_plus_1_splits_six_correct_members() {
    fn steps(mut scenario: Scenario) {
        scenario.cut_off(&[1, 4, 5]);
        scenario.propose(0, "A");
        scenario.leave(&[1, 4, 5]);
        if scenario.net.view(1) == (1, true) {
            scenario.propose(1, "B");
        }
        scenario.net.links.heal();
        scenario.net.pass(2 * STATUS);
        scenario.propose(1, "C");
        scenario.ends_with(&["C"]);
    }
    detects(Mutant::QuorumOfTwoFaults, 6, steps, "R1: exactly a quorum", TWO_FINAL);
}

/// M2, R8: the Byzantine primary 0 proposes another block to each backup. If one PREPARE is enough,
/// each backup prepares its block by its own vote alone. No block becomes final by that, since
/// COMMITs are still counted correctly and R20a refuses a tie. But no view can begin any more: each
/// would have to select two blocks at one height.
#[test]
fn prepared_one_short_leaves_two_blocks_that_no_view_can_choose_from() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        for (node, name) in [(1, "A"), (2, "B"), (3, "C")] {
            scenario.propose_on_genesis(0, 0, name, &[node]);
        }
        scenario.deliver();
        scenario.leave(&[1, 2, 3]);
        if scenario.rules {
            scenario.assert_one_prepared();
        }
        scenario.net.pass(20 * TIMEOUT);
        assert!((1..4).any(|node| scenario.net.view(node).1), "no further view begins");
        scenario.propose(1, "D");
        scenario.ends_with(&["D"]);
    }
    detects(Mutant::PreparedOneShort, 4, steps, "R8: two blocks are prepared", "no further view begins");
}

/// M3, R20a: A is final at replica 0 with the COMMITs of replica 2 and the Byzantine member 3.
/// Replica 2 has prepared A; replica 1 has received nothing. If two VIEW-CHANGEs are enough,
/// replica 1 begins view 1 with its own and that of member 3, which omits A. Then replica 2
/// follows.
#[test]
fn a_view_that_begins_without_a_quorum_loses_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(3);
        scenario.net.links.lose(|envelope| envelope.is_in_view(0) && envelope.to == id(1));
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to == id(2));
        let a = scenario.propose(0, "A");
        scenario.send(3, &[0, 2], &scenario.net.prepare(3, ballot(&a, 0)));
        scenario.send(3, &[0], &scenario.net.commit(3, ballot(&a, 0)));
        scenario.deliver();
        assert_eq!(scenario.net.heights()[..3], [1, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave_without_certificates(3, &[1]);
        scenario.leave(&[1]);
        scenario.leave_without_certificates(3, &[2]);
        scenario.deliver();
        let b = scenario.propose(1, "B");
        scenario.send(3, &[1, 2], &scenario.net.prepare(3, ballot(&b, 1)));
        scenario.send(3, &[1, 2], &scenario.net.commit(3, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::ViewChangeQuorumShort, 4, steps, "a quorum of view changes", TWO_FINAL);
}

/// M4, R10: the primary 0 proposes A and, on top of it, C. All PREPAREs for A are lost. If COMMIT
/// for C does not wait for A, both become final at replica 0 with the COMMITs for C alone. No
/// member has a prepared certificate for A, so view 1 begins without it.
#[test]
fn a_commit_above_a_hole_finalises_a_block_that_is_not_prepared() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| envelope.is_prepare() && envelope.is_at(1));
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        scenario.propose(0, "C");

        scenario.cut_off(&[0]);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::CommitOutOfOrder, 4, steps, "commits out of order", TWO_FINAL);
}
