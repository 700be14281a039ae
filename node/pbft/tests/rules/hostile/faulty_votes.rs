//! Votes of Byzantine members, and why they have no effect (R2, R4, R8, R9).

use quorate_ledger::{Ballot, Height, Timestamp};
use quorate_pbft::{Phase, Request};

use crate::net::{self, Envelope, Net, ballot, block, id};

/// A ballot for a block that no member proposed.
fn unknown_ballot(height: u64) -> Ballot {
    let at = Net::of(1).config;
    let skeleton = block(&net::root(&at), "nonsense", Timestamp(0), id(0));
    Ballot { height: Height(height), ..ballot(&skeleton, 0) }
}

/// R4: if a backup votes twice, the replica keeps the first vote. It reports one equivocation for
/// each kind and height.
#[test]
fn a_backup_that_votes_twice_is_accused_once() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let a = net.propose("A");
    let correct = net.prepare(3, ballot(&a, 0));
    let other = net.prepare(3, unknown_ballot(1));
    for message in [other.clone(), correct.clone(), other, correct] {
        net.inject(3, 1, message);
    }
    let (commit, other) = (net.commit(3, ballot(&a, 0)), net.commit(3, unknown_ballot(1)));
    net.inject(3, 2, commit.clone());
    net.inject(3, 2, other);
    net.inject(3, 2, commit);
    net.links.hold(|envelope| envelope.is_commit() && envelope.from != id(3));
    net.deliver_all();
    let expected = "one proof of two PREPAREs and one of two COMMITs, found here or received";
    assert_eq!((net.accused(1), net.accused(2)), (vec![3, 3], vec![3, 3]), "{expected}");
    let slot = &net.slots(1)[0];
    assert_eq!((slot.phase, slot.prepares.len()), (Phase::Prepared, 3), "A is prepared by 1 and 2 alone");
    net.links.release();
    net.deliver_all();
    for node in 0..3 {
        assert_eq!(net.chain(node), ["A"]);
    }
}

/// R4: the replica keeps the first vote. A member cannot replace its vote when it learns which
/// block was proposed.
#[test]
fn a_second_vote_does_not_replace_the_first() {
    let mut net = Net::of(4);
    net.crash(2);
    net.corrupt(3);
    let other = net.prepare(3, unknown_ballot(1));
    net.inject(3, 1, other);
    net.deliver_all();
    let a = net.propose("A");
    let second = net.prepare(3, ballot(&a, 0));
    net.inject(3, 1, second);
    net.deliver_all();
    assert_eq!(net.slots(1)[0].phase, Phase::PrePrepared);
    assert_eq!(net.accused(1), [3]);
}

/// R8: votes count only for the block that they name. A PREPARE for A and one for another block
/// make no prepared certificate.
#[test]
fn prepares_for_different_blocks_do_not_add_up() {
    let mut net = Net::of(4);
    net.crash(2);
    net.corrupt(3);
    net.propose("A");
    let prepare = net.prepare(3, unknown_ballot(1));
    net.inject_to_all(3, &[0, 1], &prepare);
    net.deliver_all();
    for node in [0, 1] {
        let slot = &net.slots(node)[0];
        assert_eq!((slot.phase, slot.prepares.len()), (Phase::PrePrepared, 2), "member {node}");
    }
}

/// R8: three COMMITs of four members are a quorum only if they name one block.
#[test]
fn commits_for_different_blocks_do_not_add_up() {
    let mut net = Net::of(4);
    net.corrupt(3);
    net.links.hold(|envelope| envelope.is_commit() && envelope.from == id(2));
    net.propose("A");
    let commit = net.commit(3, unknown_ballot(1));
    net.inject_to_all(3, &[0, 1, 2], &commit);
    net.deliver_all();
    for node in [0, 1] {
        let slot = &net.slots(node)[0];
        assert_eq!((slot.phase, slot.commits.len()), (Phase::Prepared, 3), "member {node}");
        assert_eq!(net.height(node), 0);
    }
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R8: a vote that arrives twice counts once.
#[test]
fn a_repeated_vote_counts_once() {
    let mut net = Net::of(4);
    net.crash(2);
    net.crash(3);
    net.propose("A");
    net.deliver_all();
    let skeleton = net.nodes[0].bodies.values().next().unwrap().clone();
    let again = net.prepare(1, ballot(&skeleton, 0));
    net.inject_to_all(1, &[0, 0], &again);
    net.deliver_all();
    assert_eq!(net.links.sent[2], 0, "member 0 has one PREPARE, of member 1");
    assert_eq!(net.accused(0), [] as [u16; 0], "a repeated vote is no equivocation");
}

/// R9: the PRE-PREPARE of the primary counts as its PREPARE. With a PREPARE besides, the primary
/// would count twice.
#[test]
fn a_primary_does_not_vote_twice_by_sending_prepare() {
    let mut net = Net::of(4);
    net.crash(2);
    net.crash(3);
    let a = net.propose("A");
    let prepare = net.prepare(0, ballot(&a, 0));
    net.inject(0, 1, prepare);
    net.deliver_all();
    assert_eq!(net.links.sent[2], 0, "only two of four members voted for A");
    assert_eq!(net.counters(1).primary_prepares, 1);
    assert_eq!(net.slots(1)[0].prepares, [id(1)]);
    assert!(net.requests(1).is_empty(), "no evidence: some implementations send this PREPARE");
}

/// R2: a vote counts only on the channel of its signer. A member that could relay votes could hold
/// them back for later.
#[test]
fn a_relayed_vote_is_refused() {
    let mut net = Net::of(4);
    net.links.hold(|envelope| envelope.is_prepare() && envelope.is_between(1, 2));
    let a = net.propose("A");
    net.deliver_all();
    for message in [net.prepare(1, ballot(&a, 0)), net.commit(1, ballot(&a, 0))] {
        let refused = net.receive(Envelope { from: id(3), to: id(2), message }).unwrap_err();
        assert_eq!(refused, quorate_pbft::Rejected::Relayed { from: id(3), signer: id(1) });
    }
    let slots = net.slots(2);
    assert!(slots.iter().all(|slot| !slot.prepares.contains(&id(1))));
    assert!(!net.requests(2).iter().any(|request| matches!(request, Request::Evidence(_))));
}
