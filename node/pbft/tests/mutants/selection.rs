//! Faults in the selection of the blocks that a view proposes again (M5 to M7).

use quorate_ledger::mutant::Mutant;
use quorate_pbft::Message;

use crate::net::{ballot, id};
use crate::scenario::{Scenario, TWO_FINAL, detects};

/// M5, R20a: only replica 0 prepares A, in view 0. The others begin view 1 without A, and B becomes
/// final there, at replica 1 alone. View 2 begins without replica 1 and with replica 0: A was
/// prepared in view 0, B in view 1. If the certificate of the lowest view counts, the view selects
/// A.
#[test]
fn the_lowest_certificate_selects_an_outdated_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.links.lose(|envelope| {
            envelope.is_in_view(0) && (envelope.is_commit() || envelope.is_prepare() && envelope.to != id(0))
        });
        scenario.propose(0, "A");

        scenario.cut_off(&[0]);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(1) && envelope.is_commit() && envelope.to != id(1));
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        assert_eq!(scenario.net.heights(), [0, 1, 0, 0]);

        scenario.cut_off(&[1]);
        scenario.leave(&[2, 3]);
        scenario.ends_with(&["B"]);
    }
    detects(Mutant::LowestCertificate, 4, steps, "R20: the selection", TWO_FINAL);
}

/// M6, R20b: A is final at replica 0. The Byzantine primary 1 begins view 1 with the VIEW-CHANGEs
/// of replicas 2 and 3, which prove that A was prepared. It proposes no block again. A replica that
/// does not select again accepts this, and votes for B.
#[test]
fn an_unverified_selection_lets_the_primary_drop_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario.net.corrupt(1);
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave(&[2, 3]);
        let hides = scenario.leave_without_certificates(1, &[2, 3]);
        let changes = vec![hides, scenario.view_change_of(2), scenario.view_change_of(3)];
        scenario.send(1, &[2, 3], &Message::NewView(scenario.net.new_view_of(1, changes, vec![])));
        let b = scenario.propose_on_genesis(1, 1, "B", &[2, 3]);
        scenario.send(1, &[2, 3], &scenario.net.commit(1, ballot(&b, 1)));
        scenario.deliver();
        scenario.ends_with(&["A"]);
    }
    detects(Mutant::NewViewNotRecomputed, 4, steps, "R20: the selection", TWO_FINAL);
}

/// M7, R20a: A is final at replica 0, and all others have prepared it. View 1 begins without
/// replica 0. If the NEW-VIEW omits prepared blocks, the primary fills the height with B.
#[test]
fn a_new_view_without_the_prepared_blocks_loses_a_final_block() {
    fn steps(mut scenario: Scenario) {
        scenario
            .net
            .links
            .lose(|envelope| envelope.is_in_view(0) && envelope.is_commit() && envelope.to != id(0));
        scenario.propose(0, "A");
        assert_eq!(scenario.net.heights(), [1, 0, 0, 0]);

        scenario.cut_off(&[0]);
        scenario.leave(&[1, 2, 3]);
        scenario.propose(1, "B");
        scenario.ends_with(&["A", "B"]);
    }
    detects(Mutant::NewViewDropsPrepared, 4, steps, "R20: the selection", TWO_FINAL);
}
