//! Faults by which a replica breaks its own votes or VIEW-CHANGEs, most of them in a restart (M8 to
//! M10, M12 and M13).

use quorate_ledger::mutant::Mutant;
use quorate_pbft::{Message, Seen};

use crate::net::{Envelope, ballot, id};
use crate::scenario::{Scenario, TWO_FINAL, detects};

/// R19a: replica 0 has prepared A. Replicas 1 and 2 and the Byzantine member 3 leave view 0 without
/// having prepared it, and view 1 begins. Replica 2 restarts before the NEW-VIEW arrives. It asks
/// for its high-water mark (R24a). Only member 3 answers, and replica 0, which has not received the
/// VIEW-CHANGE of replica 2. If replica 2 is in view 0 again, it prepares A and sends COMMIT for
/// it: A is final at replica 0. Then replica 2 receives the NEW-VIEW of view 1, and votes for B
/// there.
fn a_replica_restarts_after_it_left_its_view(mut scenario: Scenario) {
    scenario.net.corrupt(3);
    scenario
        .net
        .links
        .lose(|envelope| envelope.is_prepare() && envelope.from != id(3) && envelope.to != id(0));
    scenario.net.links.lose(|envelope| envelope.is_commit() && envelope.from == id(0));
    scenario.net.links.lose(|envelope| envelope.is_view_change() && envelope.to == id(0));
    scenario.net.links.lose(Envelope::is_new_view);
    let a = scenario.propose(0, "A");
    scenario.leave_without_certificates(3, &[1, 2]);
    scenario.leave(&[1]);
    assert_eq!(
        (scenario.net.view(0), scenario.net.view(1), scenario.net.view(2)),
        ((0, true), (1, true), (1, false))
    );

    scenario.net.crash(2);
    scenario.net.links.lose(|envelope| envelope.is_between(1, 2) || envelope.is_between(2, 1));
    scenario.restart(2);
    scenario.send(3, &[2], &Message::Seen(Seen::default()));
    scenario.deliver();
    scenario.send(3, &[2], &scenario.net.prepare(3, ballot(&a, 0)));
    scenario.send(3, &[0], &scenario.net.commit(3, ballot(&a, 0)));
    scenario.deliver();

    scenario.cut_off(&[0]);
    scenario.net.links.lose(Envelope::is_seen);
    scenario.connect(1, 2);
    scenario.deliver();
    let b = scenario.propose(1, "B");
    scenario.send(3, &[1, 2], &scenario.net.prepare(3, ballot(&b, 1)));
    scenario.send(3, &[1, 2], &scenario.net.commit(3, ballot(&b, 1)));
    scenario.deliver();
    scenario.ends_with(&["B"]);
}

/// M8, R13a: [`a_replica_restarts_after_it_left_its_view`], and it had not written its VIEW-CHANGE.
#[test]
fn a_view_change_that_is_not_durable_is_broken_after_a_restart() {
    let steps = a_replica_restarts_after_it_left_its_view;
    detects(Mutant::ViewChangeNotDurable, 4, steps, "R13: the VIEW-CHANGE has no durable record", TWO_FINAL);
}

/// M13, R19a: [`a_replica_restarts_after_it_left_its_view`]. It had written its VIEW-CHANGE, but
/// ignores the record when it starts.
#[test]
fn a_restart_that_goes_back_to_an_earlier_view_breaks_a_view_change() {
    let steps = a_replica_restarts_after_it_left_its_view;
    detects(Mutant::ViewRegresses, 4, steps, "member 2 was in view 1 and is in 0", TWO_FINAL);
}

/// M9, R4, R13a: the Byzantine primary 0 proposes A to replicas 1 and 2, and replica 1 prepares it.
/// Then replica 2 restarts. It asks only member 0 and replica 3, which has not received its vote.
/// The primary proposes B to replicas 2 and 3. If replica 2 has lost its PREPARE for A, it sends
/// one for B, and two blocks are prepared in one view. A replica that lost the proposal of a
/// prepared block does not start (`RestoreError::Incomplete`). So this fault alone makes no second
/// final block, but no view can begin any more (R20a).
#[test]
fn a_proposal_that_is_not_durable_is_contradicted_after_a_restart() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(0);
        scenario.net.links.lose(|envelope| envelope.is_prepare() && !envelope.is_between(2, 1));
        scenario.net.links.lose(Envelope::is_commit);
        scenario.propose_on_genesis(0, 0, "A", &[1, 2]);
        scenario.deliver();

        scenario.net.crash(2);
        scenario.cut_off(&[1]);
        scenario.restart(2);
        scenario.send(0, &[2], &Message::Seen(Seen::default()));
        scenario.deliver();
        scenario.propose_on_genesis(0, 0, "B", &[2, 3]);
        scenario.deliver();
        scenario.assert_one_prepared();
        scenario.ends_with(&["A"]);
    }
    detects(
        Mutant::AcceptedNotDurable,
        4,
        steps,
        "sends a vote before its record is durable",
        "R8: two blocks are prepared",
    );
}

/// M10, R13a: A is final at replica 0 with the COMMITs of replicas 1 and 2. Replica 3 received
/// nothing. Replicas 1 and 2 lose power at once, and no member that received their COMMITs can
/// answer them. If they have lost the prepared certificate of A, view 1 begins without A.
#[test]
fn a_certificate_that_is_not_durable_is_missing_in_the_view_change() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| {
            envelope.is_in_view(0) && (envelope.to == id(3) || envelope.is_commit() && envelope.to != id(0))
        });
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.net.links.lose(|envelope| envelope.is_in_view(0));
        scenario.net.crash(1);
        scenario.net.crash(2);
        scenario.restart(1);
        scenario.restart(2);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::PreparedNotDurable, 4, steps, "sends a vote before its record is durable", TWO_FINAL);
}

/// M12, R19a: replicas 2 and 3 leave view 0 before a block is prepared. Their VIEW-CHANGEs reach
/// only the Byzantine member 1. Then the PREPAREs for A arrive. If replicas 2 and 3 still vote in
/// view 0, A is final at replica 0. Member 1 begins view 1 with the earlier VIEW-CHANGEs.
#[test]
fn votes_in_a_left_view_finalise_a_block_that_the_next_view_lacks() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(1);
        scenario.net.links.hold(Envelope::is_prepare);
        scenario.net.links.lose(Envelope::is_view_change);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        scenario.leave(&[2, 3]);
        scenario.net.links.release();
        scenario.deliver();

        scenario.cut_off(&[0]);
        let hides = scenario.leave_without_certificates(1, &[]);
        let changes = vec![hides, scenario.view_change_of(2), scenario.view_change_of(3)];
        scenario.send(1, &[2, 3], &Message::NewView(scenario.net.new_view(1, changes)));
        let b = scenario.propose_on_genesis(1, 1, "B", &[2, 3]);
        scenario.send(1, &[2, 3], &scenario.net.commit(1, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::VotesAfterViewChange, 4, steps, "R19: member 3 votes in", TWO_FINAL);
}
