//! VIEW-CHANGEs of Byzantine members (R19). Replicas refuse them with a reason, or they have no
//! effect.

use quorate_ledger::{Epoch, Signed, SignedError, View};
use quorate_pbft::{
    Input, Message, PreparedError, Rejected, ViewChange, ViewChangeMessage, ViewChangePayload, Work,
};

use crate::net::{Envelope, Net, STATUS, TIMEOUT, ballot, block, id, payload_of};

fn refused_change(net: &mut Net, change: ViewChangeMessage) -> String {
    let from = change.vote.signer.index();
    net.refusal(from, Message::ViewChange(change)).to_string()
}

/// R19b: a VIEW-CHANGE is accepted as a whole or not at all. One bad certificate invalidates it.
#[test]
fn a_view_change_with_a_bad_certificate_is_refused() {
    let mut net = Net::of(4);
    let a = net.first_block("A", 0);
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
    let mut blocks = vec![net.first_block("1", 0)];
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
    assert!(net.refusal(1, Message::NewView(new_view)).to_string().contains(beyond));
    let good = net.view_change(3, 2, above(9));
    assert_eq!(net.receive(Envelope { from: id(3), to: id(2), message: Message::ViewChange(good) }), Ok(()));
}

/// R19b: every signature in the certificates is verified, also those of the anchor.
#[test]
fn a_view_change_with_a_forged_signature_is_refused() {
    let mut net = Net::of(4);
    let a = net.first_block("A", 0);
    // Replace the signatures of the certificate for A by those of a certificate for another block.
    let other = net.first_block("B", 0);
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
    let a = net.first_block("A", 0);
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

    let a = net.first_block("A", 0);
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
