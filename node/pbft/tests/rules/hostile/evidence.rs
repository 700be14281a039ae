//! Evidence against faulty members, and what replicas do with it (R22).

use quorate_ledger::{Ballot, BlockSkeleton, Height, Signed, SignedError};
use quorate_pbft::{Cause, Evidence, Message, Pair, PrePrepare, Rejected, ViewChangePayload};

use crate::net::{self, Net, STATUS, ballot, block, id, payload_of};

/// R4, R22c: a replica that receives two proposals of the primary for one height broadcasts the
/// evidence, and all replicas leave the view at once.
#[test]
fn an_equivocating_primary_loses_its_view_at_once() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    for skeleton in [&a, &b] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    net.assert_view(1);
    for node in 1..4 {
        assert_eq!(net.accused(node), [0]);
        assert_eq!(net.departures(node), [Cause::Evidence]);
    }
    net.propose("C");
    net.deliver_all();
    assert!((1..4).all(|node| net.height(node) == 1));
}

/// R22c: a replica that leaves because of evidence resends it every status interval. If the first
/// copy is lost, the others still follow, although they have no pending work.
#[test]
fn lost_evidence_is_resent() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    net.links.lose(|envelope| envelope.from == id(1));
    for skeleton in [&a, &b] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    assert_eq!((net.view(1), net.view(2)), ((1, false), (0, true)));
    net.links.heal();
    net.pass(STATUS);
    net.assert_view(1);
}

/// R20, R22c: two different NEW-VIEWs of one view are evidence, although each one follows from its
/// VIEW-CHANGEs.
#[test]
fn two_new_views_for_one_view_end_it() {
    let mut net = Net::of(4);
    net.corrupt(1);
    let a = net.first_block("A", 0);
    let one = net.new_view(1, net.changes(&a));
    let changes: Vec<_> =
        [0, 1, 2].map(|signer| net.view_change(signer, 1, ViewChangePayload::default())).to_vec();
    let other = net.new_view(1, changes);
    net.inject(1, 0, Message::NewView(one.clone()));
    net.inject(1, 2, Message::NewView(other.clone()));
    net.deliver_all();
    assert_eq!((net.view(0), net.view(2)), ((1, true), (1, true)));
    // Replicas 0 and 2 have evidence once one of them relays its NEW-VIEW to the other. Here
    // replica 3 receives both.
    net.inject(1, 3, Message::NewView(one));
    net.inject(1, 3, Message::NewView(other));
    net.deliver_all();
    for node in [0, 2, 3] {
        assert_eq!(net.departures(node), [Cause::Evidence], "member {node}");
    }
    net.pass(STATUS);
    net.assert_view(2);
}

/// R22: evidence that does not prove itself is refused. Evidence about a vote, about another view
/// or against a backup does not end the view.
#[test]
fn evidence_that_proves_nothing_is_refused() {
    let mut net = Net::of(4);
    net.screening = false; // the rate limit of R25d would drop proofs
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    let vote = |net: &Net, signer: usize, skeleton: &BlockSkeleton, view: u64| {
        net.sign(signer, PrePrepare(ballot(skeleton, view)))
    };
    let pairs = [
        ("the same twice", vote(&net, 0, &a, 0), vote(&net, 0, &a, 0)),
        ("of two members", vote(&net, 0, &a, 0), vote(&net, 1, &b, 0)),
        ("of two views", vote(&net, 0, &a, 0), vote(&net, 0, &b, 4)),
    ];
    for (what, first, second) in pairs {
        let message = Message::Evidence(Evidence::PrePrepare(Pair { first, second }));
        assert_eq!(net.refusal(1, message), Rejected::Evidence, "{what}");
    }
    let second = Signed { signature: vote(&net, 1, &b, 0).signature, ..vote(&net, 0, &b, 0) };
    let forged = Evidence::PrePrepare(Pair { first: vote(&net, 0, &a, 0), second });
    let refused = net.refusal(1, Message::Evidence(forged));
    assert_eq!(refused, Rejected::Signature(SignedError::BadSignature(id(0))));

    net.corrupt(3);
    let prepare =
        |net: &Net, skeleton: &BlockSkeleton| net.sign(3, quorate_pbft::Prepare(ballot(skeleton, 0)));
    let of_a_vote = Evidence::Prepare(Pair { first: prepare(&net, &a), second: prepare(&net, &b) });
    let of_view_3 = Evidence::PrePrepare(Pair { first: vote(&net, 3, &a, 3), second: vote(&net, 3, &b, 3) });
    for evidence in [of_a_vote, of_view_3] {
        net.inject(3, 2, Message::Evidence(evidence));
    }
    net.deliver_all();
    assert_eq!(net.accused(2), [3, 3]);
    net.assert_view(0);
}

/// R22c: a replica keeps 16 proofs against one member, and only counts further ones. A further
/// proof still ends the view of a faulty primary.
#[test]
fn proofs_against_one_member_are_bounded() {
    let mut net = Net::of(4);
    net.screening = false; // the rate limit of R25d would drop proofs
    net.corrupt(0);
    let root = net::root(&net.config);
    let proof = |net: &Net, height: u64| {
        let vote = |name: &str| {
            let skeleton = block(&root, name, net.now(0).wall, id(0));
            net.sign(0, quorate_ledger::Commit(Ballot { height: Height(height), ..ballot(&skeleton, 0) }))
        };
        Message::Evidence(Evidence::Commit(Pair { first: vote("A"), second: vote("B") }))
    };
    for height in 1..=20 {
        let message = proof(&net, height);
        for node in 1..4 {
            net.inject(0, node, message.clone());
        }
    }
    net.deliver_all();
    assert_eq!(net.accused(1).len(), 16);
    assert_eq!(net.counters(1).contradictions, 20);
    net.assert_view(0);
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    for skeleton in [&a, &b] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    net.assert_view(1);
}

/// R22c, R24a: evidence against the primary that arrives while the replica is probing does not make
/// it leave. The replica leaves when it receives the evidence again.
#[test]
fn evidence_received_while_probing_counts_when_it_is_resent() {
    let mut net = Net::of(4);
    net.corrupt(0);
    net.crash(1);
    net.links.hold(|envelope| envelope.is_seen() && envelope.to == id(1));
    net.restart(1);
    net.deliver_all();
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    let vote = |skeleton: &BlockSkeleton| net.sign(0, PrePrepare(ballot(skeleton, 0)));
    let evidence = Message::Evidence(Evidence::PrePrepare(Pair { first: vote(&a), second: vote(&b) }));
    net.inject(3, 1, evidence.clone());
    net.deliver_all();
    assert_eq!((net.accused(1), net.view(1)), (vec![0], (0, true)));
    net.links.release();
    net.deliver_all();
    for node in [1, 2, 3] {
        net.inject(3, node, evidence.clone());
    }
    net.deliver_all();
    assert_eq!(net.departures(1), [Cause::Evidence]);
    net.assert_view(1);
}

/// R22c: evidence survives a restart, and is not reported twice.
#[test]
fn evidence_survives_a_restart() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 0));
    let prepare =
        |net: &Net, skeleton: &BlockSkeleton| net.sign(3, quorate_pbft::Prepare(ballot(skeleton, 0)));
    let evidence = Evidence::Prepare(Pair { first: prepare(&net, &a), second: prepare(&net, &b) });
    net.inject(3, 1, Message::Evidence(evidence.clone()));
    net.deliver_all();
    net.crash(1);
    net.restart(1);
    net.inject(3, 1, Message::Evidence(evidence));
    net.deliver_all();
    assert_eq!(net.accused(1), [3]);
}

/// R19, R22a: two different VIEW-CHANGEs of one member for one view are evidence. They make no
/// replica leave its view.
#[test]
fn two_view_changes_for_one_view_are_evidence() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let a = net.first_block("A", 0);
    let hiding = net.view_change(3, 1, ViewChangePayload::default());
    let telling = net.view_change(3, 1, payload_of(vec![net.prepared(&a, 0, &[1, 2])]));
    for change in [&hiding, &telling, &hiding] {
        net.inject(3, 1, Message::ViewChange(change.clone()));
    }
    net.deliver_all();
    assert!((0..3).all(|node| net.accused(node) == [3]));
    net.assert_view(0);
}

/// R19, R22a: the faulty member sends one VIEW-CHANGE to replica 2 and another one to the new
/// primary, whose NEW-VIEW carries it.
#[test]
fn a_second_view_change_inside_a_new_view_is_evidence() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let a = net.first_block("A", 0);
    let one = net.view_change(3, 1, ViewChangePayload::default());
    let other = net.view_change(3, 1, payload_of(vec![net.prepared(&a, 0, &[1, 2])]));
    net.links.lose(|envelope| envelope.to == id(2) && envelope.from == id(0));
    net.inject(3, 2, Message::ViewChange(one));
    net.inject(3, 1, Message::ViewChange(other));
    net.deliver_all();
    assert_eq!(net.accused(2), [], "one statement is no evidence");
    net.all_report_censorship_but(2);
    net.deliver_all();
    net.links.heal();
    net.pass(STATUS);
    net.assert_view(1);
    for node in 0..3 {
        assert_eq!(net.accused(node), [3], "member {node}");
    }
}
