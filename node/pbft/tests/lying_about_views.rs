//! Byzantine members in view changes (R19, R20): their messages are refused with a reason, or have
//! no effect.
#![allow(clippy::unwrap_used)]

use quorate_ledger::{Ballot, BlockSkeleton, Epoch, Hash, Signed, SignedError, View};
use quorate_pbft::{
    Input, Message, NewViewMessage, PrePrepare, PreparedError, Record, Rejected, Request, ViewChange,
    ViewChangeMessage, ViewChangePayload, Work,
};

use net::{Envelope, Net, STATUS, TIMEOUT, ballot, block, id, payload_of};

mod net;

fn first(net: &Net, name: &str, proposer: usize) -> BlockSkeleton {
    block(&net::root(&net.config), name, net.now(0).wall, id(proposer))
}

fn refused_change(net: &mut Net, change: ViewChangeMessage) -> String {
    let from = change.vote.signer.index();
    net.refusal(from, Message::ViewChange(change)).to_string()
}

// ---- VIEW-CHANGE

/// R19b: a VIEW-CHANGE is accepted as a whole or not at all. One bad certificate invalidates it.
#[test]
fn a_view_change_with_a_bad_certificate_is_refused() {
    let mut net = Net::of(4);
    let a = first(&net, "A", 0);
    let b = block(a.header(), "B", net.now(0).wall, id(0));
    let (good_a, good_b) = (net.prepared(&a, 0, &[1, 2]), net.prepared(&b, 0, &[1, 2]));
    let mut refused = |view: u64, payload: ViewChangePayload| {
        let change = net.view_change(3, view, payload);
        refused_change(&mut net, change)
    };
    assert!(refused(1, payload_of(vec![good_b, good_a.clone()])).contains("ascending"), "descending");
    assert!(
        refused(1, payload_of(vec![good_a.clone(), good_a.clone()])).contains("ascending"),
        "the same twice"
    );
    let forgeries = {
        let net = Net::of(4);
        [net.prepared(&a, 0, &[1]), net.prepared(&a, 0, &[1, 2, 3]), net.prepared(&a, 0, &[0, 1])]
    };
    for forged in forgeries {
        let text = refused(1, payload_of(vec![good_a.clone(), forged.clone()]));
        assert!(text.contains("ascending"), "the certificate is not verified: {text}");
        let text = refused(1, payload_of(vec![forged]));
        assert!(text.contains("a prepared certificate"), "{text}");
    }
    let later = Net::of(4).prepared(&a, 1, &[0, 2]);
    assert!(
        refused(1, payload_of(vec![later.clone()])).contains("later view"),
        "prepared in the view that it leaves for"
    );
    let change = Message::ViewChange(net.view_change(3, 2, payload_of(vec![later])));
    assert_eq!(net.receive(Envelope { from: id(3), to: id(2), message: change }), Ok(()));
}

/// R7, R19b: a correct replica prepares nothing beyond 2 W above its anchor. A VIEW-CHANGE with a
/// valid certificate of an old block there is refused before any signature is verified. So recorded
/// certificates make no VIEW-CHANGE longer.
#[test]
fn a_view_change_that_reaches_beyond_its_window_is_refused() {
    let mut net = Net::of(4);
    let mut blocks = vec![first(&net, "1", 0)];
    for height in 2..=10 {
        let next = block(blocks.last().unwrap().header(), &height.to_string(), net.now(0).wall, id(0));
        blocks.push(next);
    }
    let old: Vec<_> = blocks.iter().map(|block| net.prepared(block, 0, &[1, 2])).collect();
    let beyond = "beyond the window";
    let full = net.view_change(3, 1, payload_of(old[..8].to_vec()));
    assert_eq!(net.receive(Envelope { from: id(3), to: id(2), message: Message::ViewChange(full) }), Ok(()));
    for known in [old[..9].to_vec(), vec![old[8].clone()]] {
        let change = net.view_change(3, 1, payload_of(known));
        let unsigned = ViewChangeMessage {
            vote: Signed { signature: net.sign(1, change.vote.body).signature, ..change.vote.clone() },
            ..change.clone()
        };
        for change in [change, unsigned] {
            let refused = refused_change(&mut net, change);
            assert!(refused.contains(beyond), "{refused}");
        }
    }
    // The window begins at the committed anchor.
    let anchor = Some(net.certificate(ballot(&blocks[0], 0), &[0, 1, 2]));
    let above = |last: usize| ViewChangePayload { anchor: anchor.clone(), prepared: old[1..last].to_vec() };
    let refused = net.view_change(3, 1, above(10));
    let new_view = net.new_view(
        1,
        vec![
            net.view_change(0, 1, above(9)),
            net.view_change(1, 1, ViewChangePayload::default()),
            refused.clone(),
        ],
    );
    assert!(refused_change(&mut net, refused).contains(beyond));
    assert!(refused_new_view(&mut net, new_view).contains(beyond));
    let good = net.view_change(3, 2, above(9));
    assert_eq!(net.receive(Envelope { from: id(3), to: id(2), message: Message::ViewChange(good) }), Ok(()));
}

/// R19b: every signature in the certificates is verified, also those of the anchor.
#[test]
fn a_view_change_with_a_forged_signature_is_refused() {
    let mut net = Net::of(4);
    let a = first(&net, "A", 0);
    // Replace the signatures of the certificate for A by those of a certificate for another block.
    let other = first(&net, "B", 0);
    let mut forged = quorate_ledger::encode(&net.prepared(&a, 0, &[1, 2]));
    let swapped = quorate_ledger::encode(&net.prepared(&other, 0, &[1, 2]));
    let signatures = forged.len() - 128;
    forged[signatures..].copy_from_slice(&swapped[signatures..]);
    let forged = quorate_ledger::decode(&forged).unwrap();
    let change = net.view_change(3, 1, payload_of(vec![forged]));
    let refused = net.refusal(3, Message::ViewChange(change));
    assert!(matches!(refused, Rejected::Prepared(PreparedError::Prepares(_))), "{refused:?}");

    for signers in [&[0, 1][..], &[0, 1, 2, 3]] {
        let anchor = net.certificate(ballot(&a, 0), signers);
        let change = net.view_change(3, 1, ViewChangePayload { anchor: Some(anchor), prepared: Vec::new() });
        let refused = net.refusal(3, Message::ViewChange(change));
        assert!(matches!(refused, Rejected::Certificate(_)), "{signers:?}: {refused:?}");
    }
}

/// R19b: prepared certificates at or below the committed anchor are refused.
#[test]
fn a_view_change_with_a_certificate_at_its_anchor_is_refused() {
    let mut net = Net::of(4);
    let a = first(&net, "A", 0);
    let anchor = Some(net.certificate(ballot(&a, 0), &[0, 1, 2]));
    let change =
        net.view_change(3, 1, ViewChangePayload { anchor, prepared: vec![net.prepared(&a, 0, &[1, 2])] });
    assert!(refused_change(&mut net, change).contains("above its anchor"));
}

/// R2, R19b: refused are a VIEW-CHANGE for view 0, one of another epoch, one with other content
/// than was signed, and one on another member's channel.
#[test]
fn an_altered_or_relayed_view_change_is_refused() {
    let mut net = Net::of(4);
    let zero = net.view_change(3, 0, ViewChangePayload::default());
    assert!(refused_change(&mut net, zero).contains("view 0"));

    let body = ViewChange { epoch: Epoch(1), view: View(1), content: ViewChangePayload::default().hash() };
    let later = ViewChangeMessage { vote: net.sign(3, body), payload: ViewChangePayload::default() };
    assert_eq!(net.refusal(3, Message::ViewChange(later)), Rejected::Epoch(Epoch(1)));

    let a = first(&net, "A", 0);
    let whole = net.view_change(3, 1, payload_of(vec![net.prepared(&a, 0, &[1, 2])]));
    let hiding = ViewChangeMessage { payload: ViewChangePayload::default(), ..whole.clone() };
    assert!(refused_change(&mut net, hiding).contains("not what was signed"));

    let refused = net.refusal(1, Message::ViewChange(whole.clone()));
    assert_eq!(refused, Rejected::Relayed { from: id(1), signer: id(3) });

    let vote = Signed { signer: id(1), ..whole.vote };
    let refused = net.refusal(1, Message::ViewChange(ViewChangeMessage { vote, ..whole }));
    assert_eq!(refused, Rejected::Signature(SignedError::BadSignature(id(1))));
}

/// R12e, R19b: the anchor may be certified in a later view than the one that the replica leaves
/// for, since it may have fetched certified blocks. A VIEW-CHANGE of a correct replica is never
/// refused.
#[test]
fn a_view_change_with_an_anchor_of_a_later_view_is_accepted() {
    let mut net = Net::of(4);
    net.partition(&[3]);
    for _ in 0..3 {
        for node in 0..3 {
            net.input(node, Input::Censored);
        }
        net.pass(2 * STATUS);
    }
    assert_eq!(net.view(0), (3, false), "the primary of view 3 is cut off");
    net.pass(6 * TIMEOUT);
    assert_eq!(net.view(0), (4, true));
    net.propose("A");
    net.deliver_all();
    net.links.heal();
    net.links.lose(|envelope| envelope.is_new_view());
    net.pass(3 * STATUS);
    assert_eq!((net.height(3), net.view(3)), (1, (0, true)));
    net.input(3, Input::Pending(Work::Timely));
    net.pass(TIMEOUT + STATUS);
    assert_eq!(net.view(3), (1, false), "no member refused its VIEW-CHANGE");
    net.links.heal();
    net.pass(2 * STATUS);
    net.assert_view(4);
}

// ---- NEW-VIEW

fn refused_new_view(net: &mut Net, message: NewViewMessage) -> String {
    net.refusal(1, Message::NewView(message)).to_string()
}

/// R20b: every replica selects again. The NEW-VIEW must propose again the blocks that its
/// VIEW-CHANGEs require, and no others.
#[test]
fn a_new_view_that_proposes_something_else_is_refused() {
    let mut net = Net::of(4);
    let (a, b) = (first(&net, "A", 0), first(&net, "B", 1));
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
    let (old, new) = (first(&net, "A", 0), first(&net, "B", 1));
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
    let a = first(&net, "A", 0);
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
    let a = first(&net, "A", 0);
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
    let a = first(&net, "A", 0);
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
    let other_block = first(&net, "X", 1);
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
    let other_block = first(&net, "X", 1);
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
    let other_block = first(&net, "X", 1);
    let early = net.proposal(1, &other_block, 1);
    net.inject(1, 2, early);
    net.all_report_censorship();
    net.deliver_all();
    assert_eq!(net.accused(2), [1]);
    net.pass(2 * TIMEOUT);
    net.assert_chain(&["A"]);
}

/// R19a: a faulty member omits its prepared certificate. This changes nothing, since the quorum
/// contains a correct member that carries one.
#[test]
fn a_hidden_certificate_comes_from_another_member() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_in_view(0) && envelope.is_commit());
    net.propose("A");
    net.deliver_all();
    net.corrupt(3);
    net.crash(0);
    for node in [1, 2] {
        let hiding = Message::ViewChange(net.view_change(3, 1, ViewChangePayload::default()));
        net.inject(3, node, hiding);
    }
    net.all_report_censorship();
    net.deliver_all();
    assert_eq!(net.view(1), (1, true));
    net.restart(0);
    net.pass(2 * STATUS);
    assert!([0, 1, 2].iter().all(|node| net.chain(*node) == ["A"]));
}
