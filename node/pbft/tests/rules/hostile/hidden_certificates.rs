//! Faulty members that keep prepared certificates to themselves, and show them when every correct
//! member has dropped the body (R20e).

use std::time::Duration;

use quorate_ledger::{BlockSkeleton, View};
use quorate_pbft::{Message, PreparedCertificate, Record, ViewChangeMessage, Work};

use crate::net::{self, Envelope, Net, STATUS, TIMEOUT_CAP, block, id, payload_of};

/// A prepared certificate that only a faulty member has, and its block.
struct Hidden {
    faulty_member: usize,
    certificate: PreparedCertificate,
    skeleton: BlockSkeleton,
}

/// A network with a window of one height, whose first `faulty` members are faulty.
fn network(size: usize, faulty: usize) -> Net {
    let mut net = Net::with(size, |config| config.context.window = 1);
    (0..faulty).for_each(|faulty_member| net.corrupt(faulty_member));
    net.all_have_work(Work::Timely);
    net.links.lose(|envelope| envelope.is_prepare() || envelope.is_commit());
    net
}

fn correct(net: &Net) -> Vec<usize> {
    (0..net.size()).filter(|node| net.nodes[*node].runs()).collect()
}

/// The last VIEW-CHANGE that this member has written.
fn last_view_change(net: &Net, node: usize) -> ViewChangeMessage {
    let written = net.nodes[node].journal.iter().rev().find_map(|record| match record {
        Record::ViewChange(change) => Some(change.message().clone()),
        _ => None,
    });
    written.expect("it left a view")
}

/// Lets the correct members reach this view. All that is proposed before stays unprepared.
fn reach(net: &mut Net, view: u64) {
    for round in 0.. {
        assert!(round < 1000, "the members do not reach view {view}");
        let views: Vec<u64> = correct(net).into_iter().map(|node| net.view(node).0).collect();
        if views.iter().all(|reached| *reached == view) {
            return;
        }
        match net.try_propose(&format!("B{round} before {view}")) {
            Some(_) => {
                net.deliver_all();
                net.all_report_censorship();
                net.deliver_all();
            }
            None => net.pass(STATUS),
        }
    }
}

/// The faulty primary of this view proposes a block to these members and keeps their PREPAREs.
fn hide(net: &mut Net, view: u64, name: &str, backups: &[usize]) -> Hidden {
    let faulty_member = net.primary_of(view);
    let correct = correct(net);
    if view > 0 {
        reach(net, view);
        let changes = correct.iter().map(|node| last_view_change(net, *node)).collect();
        let new_view = Message::NewView(net.new_view(view, changes));
        correct.iter().for_each(|node| net.inject(faulty_member, *node, new_view.clone()));
        net.deliver_all();
    }
    let skeleton = block(&net::root(&net.config), name, net.now(correct[0]).wall, id(faulty_member));
    net.name(&skeleton, name);
    let proposal = net.proposal(faulty_member, &skeleton, view);
    for node in backups.iter().filter(|node| correct.contains(node)) {
        net.inject(faulty_member, *node, proposal.clone());
    }
    net.deliver_all();
    let accepted = |node: &&usize| net.nodes[**node].bodies.contains_key(&skeleton.hash());
    assert!(backups.iter().filter(|node| correct.contains(node)).all(|node| accepted(&node)), "PREPAREs");
    let certificate = net.prepared(&skeleton, view, backups);
    Hidden { faulty_member, certificate, skeleton }
}

/// Lets views fail until no correct member holds any of these blocks. Then no message is lost any
/// more. The last view is one of member 0, which is faulty and does not begin it.
fn until_bodies_are_dropped(net: &mut Net, hidden: &[Hidden]) {
    let holds = |net: &Net| {
        let nodes = correct(net);
        let blocks = || hidden.iter().map(|hidden| hidden.skeleton.hash());
        nodes.iter().any(|node| blocks().any(|block| net.nodes[*node].bodies.contains_key(&block)))
    };
    loop {
        let view = net.view(net.size() - 1).0 + 1;
        if !holds(net) && net.primary_of(view - 1) == 0 {
            break;
        }
        assert!(view < 200, "correct members never drop the blocks");
        reach(net, view);
    }
    net.links.heal();
}

/// From now on, the faulty members answer the first VIEW-CHANGE for each view with theirs. These
/// arrive before all others and carry hidden certificates. `show` selects which, for each view.
fn show_late(net: &mut Net, hidden: Vec<Hidden>, show: impl Fn(&Hidden, u64) -> bool + 'static) {
    let mut answered = View(0);
    net.byzantine = Some(Box::new(move |net, envelope| {
        let Message::ViewChange(change) = &envelope.message else { return Vec::new() };
        let view = change.vote.body.view;
        if view <= answered {
            return Vec::new();
        }
        answered = view;
        let mut answers = Vec::new();
        for hidden in hidden.iter().filter(|hidden| show(hidden, view.0)) {
            let known = payload_of(vec![hidden.certificate.clone()]);
            let message = Message::ViewChange(net.view_change(hidden.faulty_member, view.0, known));
            let to =
                |node| Envelope { from: id(hidden.faulty_member), to: id(node), message: message.clone() };
            answers.extend(correct(net).into_iter().map(to));
        }
        answers
    }));
}

/// Lets time pass until a block is ordered. Returns the number of views that this took.
fn views_until_ordered(net: &mut Net) -> u64 {
    let first = net.view(net.size() - 1).0;
    for round in 0..4000 {
        net.pass(STATUS / 4);
        net.try_propose(&format!("fresh {round}"));
        net.deliver_all();
        let correct = correct(net);
        if correct.iter().all(|node| net.height(*node) > 0) {
            return net.view(correct[0]).0 - first;
        }
    }
    panic!("no block is ordered in 1,000 s without loss, up to view {:?}", net.view(3));
}

/// R20e: replicas suspect the member that showed a hidden certificate, and primaries take its
/// VIEW-CHANGE last. Here the certificate makes one view fail. One more view fails because its
/// primary is the faulty member.
#[test]
fn a_hidden_certificate_costs_one_view() {
    let mut net = network(4, 1);
    let hidden = vec![hide(&mut net, 0, "X", &[1, 2])];
    until_bodies_are_dropped(&mut net, &hidden);
    show_late(&mut net, hidden, |_, _| true);
    let views = views_until_ordered(&mut net);
    assert!(views <= 3, "{views} views");
    assert!(net.oracle.commits().all(|(_, ballot, _)| ballot.height.0 == 1));
}

/// R20e: one member shows another certificate each time. It costs one view, since replicas suspect
/// members, not certificates.
#[test]
fn two_hidden_certificates_of_one_member_cost_one_view() {
    let mut net = network(4, 1);
    let hidden = vec![hide(&mut net, 0, "X", &[1, 2]), hide(&mut net, 4, "Y", &[2, 3])];
    until_bodies_are_dropped(&mut net, &hidden);
    let later = hidden[1].certificate.view().0;
    show_late(&mut net, hidden, move |hidden, view| {
        (hidden.certificate.view().0 == later) == (view % 2 == 0)
    });
    let views = views_until_ordered(&mut net);
    assert!(views <= 3, "{views} views");
}

/// R20e: each of the f faulty members costs one view at most.
#[test]
fn hidden_certificates_of_two_members_cost_a_view_each() {
    let mut net = network(7, 2);
    let hidden = vec![hide(&mut net, 0, "X", &[1, 2, 3, 4]), hide(&mut net, 1, "Y", &[0, 4, 5, 6])];
    until_bodies_are_dropped(&mut net, &hidden);
    show_late(&mut net, hidden, |_, _| true);
    let views = views_until_ordered(&mut net);
    assert!(views <= 5, "{views} views: two with hidden blocks, two with a faulty primary, and the last");
}

/// R20e: if no other VIEW-CHANGE arrives, the primary takes that of a suspected member. It does so
/// after half of its new-view timeout.
#[test]
fn a_primary_accepts_a_suspected_member_after_half_its_timeout() {
    let mut net = network(4, 1);
    let hidden = vec![hide(&mut net, 0, "X", &[1, 2])];
    until_bodies_are_dropped(&mut net, &hidden);
    let hash = hidden[0].skeleton.hash();
    show_late(&mut net, hidden, |_, _| true);
    let first = net.view(3).0 + 1;
    reach_by_time(&mut net, first);
    let again = |net: &Net, view: u64| {
        let new_view = net.nodes[2].journal.iter().rev().find_map(|record| match record {
            Record::NewView(new_view) if new_view.view() == View(view) => Some(new_view.clone()),
            _ => None,
        });
        new_view
            .expect("replica 2 has entered the view")
            .chain()
            .iter()
            .any(|(header, _)| header.hash() == hash)
    };
    assert!(again(&net, first), "no member is suspected yet");
    net.links.lose(|envelope| envelope.is_view_change() && envelope.is_between(3, 2));
    while net.view(2).0 == first {
        net.pass(STATUS / 4);
    }
    let (mut waited, mut leaves_at) = (Duration::ZERO, None);
    while !net.view(2).1 {
        assert_eq!(net.view(2).0, first + 1, "its primary, replica 2, does not leave it");
        leaves_at = net.nodes[2].replica().overview(net.now(2)).leaves_at.or(leaves_at);
        net.pass(STATUS / 4);
        waited += STATUS / 4;
    }
    assert!(leaves_at > Some(net.now(2).moment), "it reports when it would leave, not when it opens");
    assert!(waited.abs_diff(TIMEOUT_CAP / 2) <= STATUS / 4, "{waited:?}");
    assert!(again(&net, first + 1));
    net.assert_view(first + 1);
    // Messages of replica 3 arrive again, so the next view needs no suspected member.
    net.links.heal();
    assert!(views_until_ordered(&mut net) <= 2);
}

fn reach_by_time(net: &mut Net, view: u64) {
    for _ in 0..1000 {
        if net.view(3).0 >= view && net.view(3).1 {
            return;
        }
        net.pass(STATUS / 4);
    }
    panic!("view {view} never begins");
}
