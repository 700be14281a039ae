//! Faulty members that send COMMIT and leave the view without the prepared certificate (R19a,
//! R22b).

use quorate_ledger::{Ballot, BlockSkeleton, Epoch, Hash, Header, Height, Signed, SignedError};
use quorate_pbft::{
    Evidence, HiddenCertificate, Input, Message, Rejected, Request, ViewChangeMessage, ViewChangePayload,
};

use crate::net::{self, Net, STATUS, ballot, block, id, payload_of};

/// A block at any height, whose parent no member has.
fn at(net: &Net, height: u64, name: &str) -> BlockSkeleton {
    let parent = Header { height: Height(height - 1), ..net::root(&net.config) };
    block(&parent, name, net.now(0).wall, id(0))
}

fn commit_of(net: &Net, signer: usize, ballot: Ballot) -> Signed<quorate_ledger::Commit> {
    net.sign(signer, quorate_ledger::Commit(ballot))
}

/// The proofs of hidden certificates that a node has: the faulty member, and view and height of the
/// COMMIT.
fn hidden(net: &Net, node: usize) -> Vec<(u16, u64, u64)> {
    let proofs = net.requests(node).iter().filter_map(|request| match request {
        Request::Evidence(evidence) => match &**evidence {
            Evidence::Hidden(_) => {
                Some((evidence.culprit().0, evidence.subject().view.0, evidence.subject().height.0))
            }
            _ => None,
        },
        _ => None,
    });
    proofs.collect()
}

/// R22b: COMMIT and VIEW-CHANGE of the faulty member arrive in either order. The replica that
/// received them broadcasts the proof, and no replica leaves its view for it.
#[test]
fn a_member_that_hides_the_certificate_of_its_commit_is_proven_faulty() {
    for commit_first in [true, false] {
        let mut net = Net::of(4);
        net.corrupt(3);
        let commit = net.commit(3, ballot(&net.first_block("A", 0), 0));
        let change = Message::ViewChange(net.view_change(3, 1, ViewChangePayload::default()));
        let [earlier, later] = if commit_first { [commit, change] } else { [change, commit] };
        net.inject(3, 1, earlier);
        net.deliver_all();
        assert_eq!(hidden(&net, 1), [], "one statement is no evidence");
        net.inject(3, 1, later.clone());
        net.deliver_all();
        for node in 0..3 {
            assert_eq!(hidden(&net, node), [(3, 1, 1)], "member {node}");
        }
        net.assert_view(0);
        // The proof survives a restart, and the repeated message is not reported again.
        net.crash(1);
        net.restart(1);
        net.inject(3, 1, later);
        net.deliver_all();
        assert_eq!(hidden(&net, 1), [(3, 1, 1)]);
        assert_eq!(net.counters(1).contradictions, 0, "since the restart");
    }
}

/// R22b: the faulty member sends its VIEW-CHANGE to the new primary alone. The NEW-VIEW carries it
/// to all others.
#[test]
fn a_certificate_hidden_in_a_new_view_is_proven() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let commit = net.commit(3, ballot(&net.first_block("A", 0), 0));
    net.inject(3, 2, commit);
    net.deliver_all();
    net.links.lose(|envelope| envelope.to == id(2) && envelope.from == id(0));
    for (signer, change) in
        [0, 1, 3].map(|signer| (signer, net.view_change(signer, 1, ViewChangePayload::default())))
    {
        if signer == 3 {
            net.inject(3, 1, Message::ViewChange(change));
        }
    }
    net.all_report_censorship_but(2);
    net.deliver_all();
    net.links.heal();
    net.pass(STATUS);
    net.assert_view(1);
    assert_eq!(hidden(&net, 2), [(3, 1, 1)]);
    assert_eq!(hidden(&net, 0), [(3, 1, 1)]);
}

/// R22b: the replica fetched a final block with its certificate. The certificate contains the
/// COMMIT of the faulty member, which never arrived by itself.
#[test]
fn a_certificate_holds_the_commits_of_its_signers() {
    let mut net = Net::of(4);
    net.corrupt(2);
    let skeleton = net.first_block("A", 0);
    net.name(&skeleton, "A");
    let fetched = net.fetched(&[&skeleton]);
    assert!(
        matches!(&fetched, Input::CaughtUp { certificate, .. } if certificate.commit_of(id(2)).is_some())
    );
    net.input(1, fetched);
    assert_eq!(net.nodes[1].replica().tip().hash(), skeleton.hash());
    net.inject(2, 1, Message::ViewChange(net.view_change(2, 3, ViewChangePayload::default())));
    net.deliver_all();
    assert_eq!(hidden(&net, 1), [(2, 3, 1)]);
}

/// R22c: one VIEW-CHANGE can omit the certificates of many heights. The proof contains all of it,
/// so a replica keeps one proof of this kind against one member.
#[test]
fn one_hidden_certificate_proof_is_kept_against_each_member() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let skeleton = net.first_block("A", 0);
    for (height, view) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        let commit = net.commit(3, Ballot { height: Height(height), ..ballot(&skeleton, view) });
        net.inject(3, 1, commit);
    }
    for view in 1..6 {
        let change = net.view_change(3, view, ViewChangePayload::default());
        net.inject(3, 1, Message::ViewChange(change));
    }
    net.deliver_all();
    assert_eq!(hidden(&net, 1).len(), 1);
    assert_eq!(net.counters(1).contradictions, 1);
}

/// R19a, R22b: what a COMMIT in view 2 at height 3 obliges its signer to, in one table.
#[test]
fn a_view_change_that_accounts_for_a_commit_is_no_evidence() {
    let mut net = Net::of(4);
    net.corrupt(3);
    let given = ballot(&at(&net, 3, "A"), 2);
    let prepared = |height: u64, view: u64| {
        let backups: Vec<usize> = (0..4).filter(|member| *member != net.primary_of(view)).take(2).collect();
        payload_of(vec![net.prepared(&at(&net, height, "A"), view, &backups)])
    };
    let other_prepared = payload_of(vec![net.prepared(&at(&net, 3, "B"), 2, &[0, 1])]);
    let based = |height: u64| ViewChangePayload {
        anchor: Some(net.certificate(ballot(&at(&net, height, "A"), 0), &[0, 1, 2])),
        prepared: Vec::new(),
    };
    let rows = [
        ("left before", 1, ViewChangePayload::default(), false),
        ("left for its own view", 2, ViewChangePayload::default(), false),
        ("left with nothing", 3, ViewChangePayload::default(), true),
        ("left for a far view with nothing", u64::MAX, ViewChangePayload::default(), true),
        ("the same view", 4, prepared(3, 2), false),
        ("another block in the same view", 4, other_prepared, true),
        ("a later view", 4, prepared(3, 3), false),
        ("an earlier view", 4, prepared(3, 1), true),
        ("the height above", 4, prepared(4, 3), true),
        ("the height below", 4, prepared(2, 3), true),
        ("committed", 4, based(3), false),
        ("committed above", 4, based(9), false),
        ("committed below", 4, based(2), true),
    ];
    let check = |net: &Net, commit, view_change: ViewChangeMessage| {
        let evidence = Evidence::Hidden(HiddenCertificate { commit, view_change });
        evidence.check(&net.config.context).map(|_| ())
    };
    for (what, view, payload, proven) in rows {
        let change = net.view_change(3, view, payload);
        let expected = if proven { Ok(()) } else { Err(Rejected::Evidence) };
        assert_eq!(check(&net, commit_of(&net, 3, given), change), expected, "{what}");
    }

    let change = net.view_change(3, 4, ViewChangePayload::default());
    let others = commit_of(&net, 2, given);
    assert_eq!(check(&net, others, change.clone()), Err(Rejected::Evidence), "of two members");
    let later = commit_of(&net, 3, Ballot { epoch: Epoch(1), ..given });
    assert_eq!(check(&net, later, change.clone()), Err(Rejected::Epoch(Epoch(1))));
    let emptied =
        ViewChangeMessage { payload: ViewChangePayload::default(), ..net.view_change(3, 4, prepared(3, 2)) };
    assert!(matches!(check(&net, commit_of(&net, 3, given), emptied), Err(Rejected::ViewChange(_))));
    let mut body = change.vote.body;
    body.content = Hash::from_bytes([7; 32]);
    let resigned = ViewChangeMessage { vote: net.sign(3, body), ..change.clone() };
    assert!(matches!(check(&net, commit_of(&net, 3, given), resigned), Err(Rejected::ViewChange(_))));
    let forged = Signed { signature: commit_of(&net, 2, given).signature, ..commit_of(&net, 3, given) };
    let bad = Err(Rejected::Signature(SignedError::BadSignature(id(3))));
    assert_eq!(check(&net, forged, change.clone()), bad);
    let mut forged = change;
    forged.vote.signature = net.sign(2, forged.vote.body).signature;
    assert_eq!(check(&net, commit_of(&net, 3, given), forged), bad);
}

/// R22b: correct members carry the certificates of their COMMITs through view changes and restarts.
/// At every step, all others compare their VIEW-CHANGEs with their COMMITs, and find no evidence.
/// The oracle fails the test when a correct member is accused.
#[test]
fn correct_members_account_for_their_commits() {
    for (crashing, held) in [(0, 1), (1, 2), (2, 1), (3, 0)] {
        let mut net = Net::of(4);
        net.propose("A");
        net.deliver_all();
        // All replicas prepare B. Only replica `held` receives COMMITs of others for it.
        net.links.hold(move |envelope| envelope.is_commit() && envelope.to != id(held));
        net.propose("B");
        net.deliver_all();
        assert!(net.heights().contains(&1));
        net.crash(crashing);
        net.restart(crashing);
        net.deliver_all();
        net.all_report_censorship();
        net.deliver_all();
        net.crash(held);
        net.restart(held);
        net.links.release();
        net.deliver_all();
        net.pass(4 * STATUS);
        net.all_report_censorship();
        net.pass(4 * STATUS);
        for node in 0..4 {
            assert_eq!(net.accused(node), [], "member {node}, after {crashing} crashed");
            assert_eq!(net.chain(node), ["A", "B"]);
        }
    }
}
