//! NEW-VIEWs and early proposals of Byzantine members (R20). Replicas refuse them with a reason, or
//! they have no effect.

use quorate_ledger::{Ballot, Hash, Signed, SignedError, View};
use quorate_pbft::{Message, NewViewMessage, PrePrepare, Record, Rejected, Request, ViewChangePayload};

use crate::net::{Envelope, Net, STATUS, TIMEOUT, ballot, block, id, payload_of};

fn refused_new_view(net: &mut Net, message: NewViewMessage) -> String {
    net.refusal(1, Message::NewView(message)).to_string()
}

/// R20b: every replica selects again. The NEW-VIEW must propose again the blocks that its
/// VIEW-CHANGEs require, and no others.
#[test]
fn a_new_view_that_proposes_something_else_is_refused() {
    let mut net = Net::of(4);
    let (a, b) = (net.first_block("A", 0), net.first_block("B", 1));
    let good = net.new_view(1, net.changes(&a));
    let vote = |net: &Net, signer: usize, ballot: Ballot| net.sign(signer, PrePrepare(ballot));
    let next = block(a.header(), "C", net.now(0).wall, id(1));
    let others = [
        ("nothing", vec![]),
        ("another block", vec![vote(&net, 1, ballot(&b, 1))]),
        ("the block in another view", vec![vote(&net, 1, ballot(&a, 5))]),
        ("one more", vec![vote(&net, 1, ballot(&a, 1)), vote(&net, 1, ballot(&next, 1))]),
    ];
    for (what, pre_prepares) in others {
        let bad = net.new_view_of(1, good.view_changes.clone(), pre_prepares);
        assert!(refused_new_view(&mut net, bad).contains("does not propose again"), "{what}");
    }
    let not_signed = net.new_view_of(1, good.view_changes.clone(), vec![vote(&net, 2, ballot(&a, 1))]);
    let refused = net.refusal(1, Message::NewView(not_signed));
    assert_eq!(refused, Rejected::NotPrimary { signer: id(2), view: View(1) });
    net.inject(1, 2, Message::NewView(good));
    net.deliver_all();
    assert_eq!(net.view(2), (1, true));
}

/// R20a: the certificate of the highest view counts. A NEW-VIEW that takes one of an earlier view
/// is refused.
#[test]
fn a_new_view_that_takes_an_old_certificate_is_refused() {
    let mut net = Net::of(4);
    // The second NEW-VIEW of the member follows at once, and the screen would drop it (R25d).
    net.screening = false;
    let (old, new) = (net.first_block("A", 0), net.first_block("B", 1));
    let view_changes = vec![
        net.view_change(0, 2, payload_of(vec![net.prepared(&old, 0, &[1, 3])])),
        net.view_change(1, 2, payload_of(vec![net.prepared(&new, 1, &[0, 3])])),
        net.view_change(2, 2, ViewChangePayload::default()),
    ];
    let vote = net.sign(2, PrePrepare(ballot(&old, 2)));
    let stale = net.new_view_of(2, view_changes.clone(), vec![vote]);
    let refused = net.receive(Envelope { from: id(2), to: id(3), message: Message::NewView(stale) });
    assert!(refused.unwrap_err().to_string().contains("does not propose again"));
    let good = net.new_view(2, view_changes);
    assert_eq!(good.pre_prepares[0].body.0, ballot(&new, 2));
    net.inject(2, 3, Message::NewView(good));
    net.deliver_all();
    assert_eq!(net.view(3), (2, true));
}

/// R20a: the highest committed anchor counts. Blocks prepared at its height or below are not
/// proposed again.
#[test]
fn a_new_view_that_begins_below_its_anchor_is_refused() {
    let mut net = Net::of(4);
    let a = net.first_block("A", 0);
    let anchor = Some(net.certificate(ballot(&a, 0), &[0, 1, 3]));
    let mut view_changes = net.changes(&a);
    view_changes[0] = net.view_change(0, 1, ViewChangePayload { anchor, prepared: Vec::new() });
    let vote = net.sign(1, PrePrepare(ballot(&a, 1)));
    let below = net.new_view_of(1, view_changes.clone(), vec![vote]);
    assert!(refused_new_view(&mut net, below).contains("does not propose again"));
    assert!(net.new_view(1, view_changes).pre_prepares.is_empty());
}

/// R20a: a NEW-VIEW has exactly a quorum of VIEW-CHANGEs, of distinct members in ascending order,
/// for its view.
#[test]
fn a_new_view_needs_exactly_a_quorum_for_this_view() {
    let mut net = Net::of(4);
    let a = net.first_block("A", 0);
    let good = net.changes(&a);
    let change = |net: &Net, signer, view| net.view_change(signer, view, ViewChangePayload::default());
    let two = good[..2].to_vec();
    let four = vec![change(&net, 0, 1), change(&net, 1, 1), change(&net, 2, 1), change(&net, 3, 1)];
    let twice = vec![good[0].clone(), good[1].clone(), good[1].clone()];
    let swapped = vec![good[1].clone(), good[0].clone(), good[2].clone()];
    let of_another = vec![good[0].clone(), good[1].clone(), change(&net, 3, 2)];
    let cases = [
        (two, "exactly a quorum"),
        (four, "exactly a quorum"),
        (twice, "ascending"),
        (swapped, "ascending"),
        (of_another, "another view"),
    ];
    for (view_changes, expected) in cases {
        let bad = net.new_view(1, view_changes);
        let text = refused_new_view(&mut net, bad);
        assert!(text.contains(expected), "{text}");
    }
    let mut forged = good;
    forged[0].vote =
        Signed { signature: net.sign(3, forged[0].vote.body).signature, ..forged[0].vote.clone() };
    let bad = net.new_view(1, forged);
    let refused = net.refusal(1, Message::NewView(bad));
    assert_eq!(refused, Rejected::Signature(SignedError::BadSignature(id(0))));
}

/// R20a: only the primary of the view begins it, and its signature covers the whole NEW-VIEW.
#[test]
fn an_altered_new_view_or_one_of_a_backup_is_refused() {
    let mut net = Net::of(4);
    let a = net.first_block("A", 0);
    let good = net.new_view(1, net.changes(&a));
    let mut of_another = good.clone();
    of_another.vote = net.sign(3, good.vote.body);
    let refused = net.refusal(3, Message::NewView(of_another));
    assert_eq!(refused, Rejected::NotPrimary { signer: id(3), view: View(1) });
    let mut changed = good.clone();
    changed.vote = net.sign(1, quorate_pbft::NewView { content: Hash::ZERO, ..good.vote.body });
    assert!(refused_new_view(&mut net, changed).contains("not what was signed"));
    let mut stripped = good.clone();
    stripped.pre_prepares.clear();
    assert!(refused_new_view(&mut net, stripped).contains("not what was signed"));
    let mut unsigned = good;
    unsigned.vote.signature = net.sign(3, unsigned.vote.body).signature;
    let refused = net.refusal(3, Message::NewView(unsigned));
    assert_eq!(refused, Rejected::Signature(SignedError::BadSignature(id(1))));
}

/// R20b: a valid NEW-VIEW of an earlier view takes no replica back.
#[test]
fn a_new_view_of_an_earlier_view_is_not_entered() {
    let mut net = Net::of(4);
    net.all_report_censorship();
    net.deliver_all();
    net.assert_view(1);
    let begun = net.nodes[1].journal.iter().find_map(|record| match record {
        Record::NewView(new_view) => Some(new_view.message().clone()),
        _ => None,
    });
    net.all_report_censorship();
    net.deliver_all();
    net.assert_view(2);
    let again = Message::NewView(begun.expect("member 1 began view 1"));
    net.receive(Envelope { from: id(1), to: id(3), message: again }).unwrap();
    net.deliver_all();
    net.assert_view(2);
}

/// R20b: the faulty primary sends a proposal before its NEW-VIEW, at a height that the anchor of
/// the NEW-VIEW covers. Only the primary holds a certificate for that height; all replicas have
/// sent COMMIT for another block there. A vote for the early proposal would make two blocks final
/// at one height.
#[test]
fn an_early_proposal_below_the_anchor_of_its_view_is_not_voted_for() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    let a = net.propose("A");
    net.deliver_all();
    net.corrupt(1);
    let other_block = net.first_block("X", 1);
    let early = net.proposal(1, &other_block, 1);
    for node in [0, 2, 3] {
        net.inject(1, node, early.clone());
    }
    net.all_report_censorship();
    net.deliver_all();
    let changes = [0, 2].map(|node| {
        let own = net.nodes[node].journal.iter().rev().find_map(|record| match record {
            Record::ViewChange(change) => Some(change.message().clone()),
            _ => None,
        });
        own.unwrap()
    });
    let anchor = Some(net.certificate(ballot(&a, 0), &[0, 1, 2]));
    let late = net.view_change(1, 1, ViewChangePayload { anchor, prepared: Vec::new() });
    let [zero, two] = changes;
    let new_view = Message::NewView(net.new_view(1, vec![zero, late, two]));
    for node in [0, 2, 3] {
        net.inject(1, node, new_view.clone());
    }
    net.links.heal();
    net.deliver_all();
    // The NEW-VIEW contains the certificate that only the primary had, and all replicas hold the
    // block. No replica has to fetch it.
    net.assert_view(1);
    net.assert_chain(&["A"]);
    assert!(net.nodes.iter().all(|node| node.caught_up == 0));
}

/// R20b: a replica that has to fetch the anchor does not vote below it either.
#[test]
fn no_vote_is_sent_below_a_fetched_anchor() {
    let mut net = Net::of(4);
    net.catching_up = false;
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.to == id(3));
    let a = net.propose("A");
    net.deliver_all();
    net.corrupt(1);
    let other_block = net.first_block("X", 1);
    let early = net.proposal(1, &other_block, 1);
    net.inject(1, 3, early);
    net.all_report_censorship();
    net.deliver_all();
    let anchor = Some(net.certificate(ballot(&a, 0), &[0, 1, 2]));
    let view_changes = [0, 1, 2].map(|node| {
        net.view_change(node, 1, ViewChangePayload { anchor: anchor.clone(), prepared: Vec::new() })
    });
    let new_view = Message::NewView(net.new_view(1, view_changes.to_vec()));
    net.inject(1, 3, new_view);
    net.links.heal();
    net.deliver_all();
    assert_eq!(net.view(3), (1, true));
    assert!(net.height_records(3).is_empty(), "no vote for X");
    assert!(net.bad_proposals(3)[0].contains("began with another block"));
    assert_eq!(
        net.requests(3).iter().filter(|request| matches!(request, Request::CatchUp { .. })).count(),
        1
    );
    net.catching_up = true;
    net.pass(2 * STATUS);
    assert_eq!(net.chain(3), ["A"]);
}

/// R20b, R20c: the view discards an early proposal at a height that it proposes again. The proposal
/// proves that the primary is faulty.
#[test]
fn an_early_proposal_gives_way_to_the_block_that_is_proposed_again() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    let other_block = net.first_block("X", 1);
    let early = net.proposal(1, &other_block, 1);
    net.inject(1, 2, early);
    net.all_report_censorship();
    net.deliver_all();
    assert_eq!(net.accused(2), [1]);
    net.pass(2 * TIMEOUT);
    net.assert_chain(&["A"]);
}
