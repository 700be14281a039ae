//! Faulty members that send COMMIT for another block than they accepted or proposed (R4, R22a).

use quorate_ledger::{Ballot, Commit, Epoch, Height, Signed, SignedError, View};
use quorate_pbft::{Crossed, Evidence, Message, PrePrepare, Prepare, Rejected, Request};

use crate::net::{self, Net, STATUS, ballot, block, id};

/// The proofs of crossed votes that a node has: the kind that crosses the COMMIT, the faulty member,
/// view and height.
fn crossed(net: &Net, node: usize) -> Vec<(&'static str, u16, u64, u64)> {
    let proofs = net.requests(node).iter().filter_map(|request| {
        let Request::Evidence(evidence) = request else { return None };
        let kind = match **evidence {
            Evidence::PrepareCommit(_) => "PREPARE",
            Evidence::PrePrepareCommit(_) => "PRE-PREPARE",
            _ => return None,
        };
        let subject = evidence.subject();
        Some((kind, evidence.culprit().0, subject.view.0, subject.height.0))
    });
    proofs.collect()
}

/// Sends two messages of a faulty member to replica 1, in both orders. The second one is evidence,
/// which replica 1 broadcasts. No replica leaves its view for it. It survives a restart, and is not
/// reported again.
fn both_orders(culprit: usize, kind: &'static str, messages: impl Fn(&mut Net) -> [Message; 2]) {
    for commit_first in [true, false] {
        let mut net = Net::of(4);
        net.corrupt(culprit);
        let [accepted, commit] = messages(&mut net);
        let [earlier, later] = if commit_first { [commit, accepted] } else { [accepted, commit] };
        net.inject(culprit, 1, earlier);
        net.deliver_all();
        assert_eq!(net.accused(1), [], "one statement is no evidence");
        net.inject(culprit, 1, later.clone());
        net.deliver_all();
        let expected = [(kind, id(culprit).0, 0, 1)];
        for node in (0..4).filter(|node| *node != culprit) {
            assert_eq!(crossed(&net, node), expected, "member {node}, COMMIT first: {commit_first}");
            assert_eq!(net.accused(node).len(), 1, "member {node}");
        }
        net.assert_view(0);
        net.crash(1);
        net.restart(1);
        net.inject(culprit, 1, later);
        net.deliver_all();
        net.pass(STATUS);
        assert_eq!(crossed(&net, 1), expected);
        assert_eq!(net.counters(1).contradictions, 0, "since the restart");
        assert!((0..4).all(|node| net.departures(node).is_empty()));
    }
}

/// R22a: PREPARE for A and COMMIT for B of a backup.
#[test]
fn a_commit_for_another_block_than_the_prepare_is_evidence() {
    both_orders(3, "PREPARE", |net| {
        let (a, b) = net.two_blocks();
        [net.prepare(3, ballot(&a, 0)), net.commit(3, ballot(&b, 0))]
    });
}

/// R9, R22a: PRE-PREPARE for A and COMMIT for B of the primary.
#[test]
fn a_commit_for_another_block_than_the_proposal_is_evidence() {
    both_orders(0, "PRE-PREPARE", |net| {
        let (a, b) = net.two_blocks();
        [net.proposal(0, &a, 0), net.commit(0, ballot(&b, 0))]
    });
}

/// R20c, R22a: the PRE-PREPARE for A is in the NEW-VIEW of the faulty primary.
#[test]
fn a_commit_for_another_block_than_the_view_proposes_again_is_evidence() {
    for commit_first in [true, false] {
        let mut net = Net::of(4);
        net.corrupt(1);
        let (a, b) = net.two_blocks();
        let new_view = Message::NewView(net.new_view(1, net.changes(&a)));
        let commit = net.commit(1, ballot(&b, 1));
        let [earlier, later] = if commit_first { [commit, new_view] } else { [new_view, commit] };
        for message in [earlier, later] {
            assert_eq!(net.accused(2), [], "one statement is no evidence");
            net.inject(1, 2, message);
            net.deliver_all();
        }
        for node in [0, 2, 3] {
            assert_eq!(crossed(&net, node), [("PRE-PREPARE", 1, 1, 1)], "member {node}");
        }
        assert_eq!(net.departures(2), [], "COMMIT first: {commit_first}");
    }
}

/// R22a, R24b: the replica knows the first vote from before a restart, because it was the furthest
/// one of its member.
#[test]
fn votes_on_both_sides_of_a_restart_cross() {
    for commit_first in [true, false] {
        let mut net = Net::of(4);
        net.corrupt(3);
        let (_, b) = net.two_blocks();
        net.links.hold(|envelope| envelope.is_commit() && envelope.from != id(3));
        let parent = net::root(&net.config);
        let other = block(&parent, "other", net.now(0).wall, id(0));
        let votes = [net.prepare(3, ballot(&b, 0)), net.commit(3, ballot(&other, 0))];
        let [earlier, later] = if commit_first { [votes[1].clone(), votes[0].clone()] } else { votes };
        net.inject(3, 1, earlier);
        net.deliver_all();
        net.propose("C"); // replica 1 accepts it, and writes the marks of others with that record
        net.deliver_all();
        net.crash(1);
        net.restart(1);
        net.deliver_all();
        net.inject(3, 1, later);
        net.deliver_all();
        assert_eq!(crossed(&net, 1), [("PREPARE", 3, 0, 1)], "COMMIT first: {commit_first}");
    }
}

/// R22c: two COMMITs and a PREPARE for a third block are two faults at one height. One proof about
/// the COMMIT of a view and height is kept.
#[test]
fn one_proof_about_a_commit_is_kept() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let (a, b) = net.two_blocks();
    let third = block(&net::root(&net.config), "third", net.now(0).wall, id(0));
    let votes =
        [net.commit(3, ballot(&a, 0)), net.commit(3, ballot(&b, 0)), net.prepare(3, ballot(&third, 0))];
    for vote in votes {
        net.inject(3, 1, vote);
    }
    net.deliver_all();
    assert!((0..3).all(|node| net.accused(node) == [3]));
    assert_eq!(net.counters(1).contradictions, 1);
}

/// R9, R22d: the replica ignores a PREPARE of the primary, so it crosses nothing.
#[test]
fn a_prepare_of_the_primary_crosses_nothing() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let (a, b) = net.two_blocks();
    for message in [net.prepare(0, ballot(&a, 0)), net.commit(0, ballot(&b, 0))] {
        net.inject(0, 1, message);
    }
    net.deliver_all();
    assert_eq!(net.accused(1), []);
    assert_eq!(net.counters(1).primary_prepares, 1);
}

/// R22a: votes in two views, or at two heights, do not cross. This is what a correct member sends
/// when the next view proposes another block.
#[test]
fn votes_of_two_views_or_heights_do_not_cross() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let (a, b) = net.two_blocks();
    let above = block(a.header(), "above", net.now(0).wall, id(0));
    let prepares = [net.prepare(3, ballot(&a, 0)), net.prepare(3, ballot(&b, 1))];
    let commits = [net.commit(3, ballot(&b, 1)), net.commit(3, ballot(&above, 0))];
    for message in prepares.into_iter().chain(commits) {
        net.inject(3, 1, message);
    }
    net.deliver_all();
    assert_eq!(net.accused(1), []);
}

/// R22: crossed votes that prove nothing are refused, and so are forged ones.
#[test]
fn crossed_votes_that_prove_nothing_are_refused() {
    let mut net = Net::of(4);
    let (a, b) = net.two_blocks();
    let (one, other) = (ballot(&a, 0), ballot(&b, 0));
    let prepare = |net: &Net, ballot: Ballot| net.sign(3, Prepare(ballot));
    let commit = |net: &Net, signer: usize, ballot: Ballot| net.sign(signer, Commit(ballot));
    let check = |net: &Net, accepted: Signed<Prepare>, commit: Signed<Commit>| {
        let evidence = Evidence::PrepareCommit(Crossed { accepted, commit });
        evidence.check(&net.config.context).map(|_| ())
    };
    assert_eq!(check(&net, prepare(&net, one), commit(&net, 3, other)), Ok(()));
    let proposed = Crossed { accepted: net.sign(3, PrePrepare(one)), commit: commit(&net, 3, other) };
    let evidence = Evidence::PrePrepareCommit(proposed);
    assert!(evidence.check(&net.config.context).is_ok());

    let rows = [
        ("the same block", 3, one),
        ("of two members", 2, other),
        ("in another view", 3, Ballot { view: View(1), ..other }),
        ("at another height", 3, Ballot { height: Height(2), ..other }),
    ];
    for (what, signer, ballot) in rows {
        let refused = check(&net, prepare(&net, one), commit(&net, signer, ballot));
        assert_eq!(refused, Err(Rejected::Evidence), "{what}");
    }
    let epoch = Epoch(1);
    let later = |ballot: Ballot| Ballot { epoch, ..ballot };
    let refused = check(&net, prepare(&net, later(one)), commit(&net, 3, later(other)));
    assert_eq!(refused, Err(Rejected::Epoch(epoch)));
    let refused = check(&net, prepare(&net, later(one)), commit(&net, 3, other));
    assert_eq!(refused, Err(Rejected::Evidence), "of two epochs");

    let bad = Err(Rejected::Signature(SignedError::BadSignature(id(3))));
    let forged = Signed { signature: commit(&net, 2, other).signature, ..commit(&net, 3, other) };
    assert_eq!(check(&net, prepare(&net, one), forged), bad);
    let forged = Signed { signature: net.sign(2, Prepare(one)).signature, ..prepare(&net, one) };
    assert_eq!(check(&net, forged, commit(&net, 3, other)), bad);
    let message = Message::Evidence(Evidence::PrepareCommit(Crossed {
        accepted: prepare(&net, one),
        commit: commit(&net, 3, one),
    }));
    assert_eq!(net.refusal(1, message), Rejected::Evidence);
}

/// R4, R22a: correct members vote for one block at a height in a view, also when a restart and a
/// view change come between their votes. The oracle compares all votes of each member.
#[test]
fn correct_members_do_not_cross_votes() {
    for crashing in 0..4 {
        let mut net = Net::of(4);
        net.links.hold(|envelope| envelope.is_commit());
        net.propose("A");
        net.deliver_all();
        net.crash(crashing);
        net.restart(crashing);
        net.deliver_all();
        net.all_report_censorship();
        net.deliver_all();
        net.crash(crashing);
        net.restart(crashing);
        net.links.release();
        net.deliver_all();
        net.pass(4 * STATUS);
        for node in 0..4 {
            assert_eq!(net.accused(node), [], "member {node}, after {crashing} crashed");
            assert_eq!(net.chain(node), ["A"]);
        }
    }
}
