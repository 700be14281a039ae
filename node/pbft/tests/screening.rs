//! What is not worth a signature is not checked (R25).
#![allow(clippy::unwrap_used)]

use quorate_ledger::{Height, View};
use quorate_pbft::{Dropped, Evidence, Input, Message, Pair, PrePrepare, Prepare, Screen, Seen, Status};

use net::{Net, STATUS, WINDOW, ballot, block, id, payload_of};

mod net;

/// The screen for what member 1 sends to member 3.
fn screen(net: &Net) -> Screen {
    Screen::new(net.config.clone(), id(3), id(1))
}

fn admit(screen: &mut Screen, net: &Net, message: &Message) -> Result<(), Dropped> {
    screen.admit(net.moment, &net.nodes[3].replica().position(), &mut message.clone())
}

/// A replayed proposal, valid and as large as may be, costs a comparison: whichever member sends it, before and after it is
/// final.
#[test]
fn a_replayed_proposal_is_not_checked() {
    let mut net = Net::of(4);
    net.links.hold(net::Envelope::is_commit);
    let outline = net.propose("A");
    net.deliver_all();
    let proposal = net.proposal(0, &outline, 0);
    for relay in 0..3 {
        let mut screen = Screen::new(net.config.clone(), id(3), id(relay));
        assert_eq!(admit(&mut screen, &net, &proposal), Err(Dropped::Useless), "in flight, from {relay}");
    }
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
    assert_eq!(admit(&mut screen(&net), &net, &proposal), Err(Dropped::Useless), "final");
}

/// R22: a superseded proposal in a STATUS costs a signature only if it would prove a fault that is not known yet.
#[test]
fn a_superseded_proposal_that_proves_nothing_is_taken_out_of_a_status() {
    let mut net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let outline = net.propose("A");
    let other = block(&root, "B", net.now(0).wall, id(0));
    let before = net.nodes[3].replica().position();
    net.deliver_all();
    let vote = |net: &Net, outline| match net.proposal(0, outline, 0) {
        Message::PrePrepare(proposal) => proposal.vote,
        other => panic!("{other:?} is no proposal"),
    };
    let shows = |net: &Net, outline| {
        let superseded = Some(vote(net, outline));
        Message::Status(Status { superseded, ..net.nodes[1].replica().status() })
    };
    let kept = |net: &Net, position, mut message: Message| {
        screen(net).admit(net.moment, position, &mut message).unwrap();
        matches!(message, Message::Status(Status { superseded: Some(_), .. }))
    };
    let position = net.nodes[3].replica().position();
    assert!(!kept(&net, &position, shows(&net, &outline)), "A is final");
    assert!(!kept(&net, &before, shows(&net, &other)), "nothing was final yet");
    assert!(kept(&net, &position, shows(&net, &other)), "B is not A");
    let proves = shows(&net, &other);
    net.corrupt(0);
    net.inject(1, 3, proves.clone());
    net.deliver_all();
    let position = net.nodes[3].replica().position();
    assert!(!kept(&net, &position, proves), "member 0 is proven faulty");
}

/// Before the replica has taken it there is no trace of a proposal but that this member has sent it.
#[test]
fn a_repetition_is_not_checked_until_the_replica_has_moved_on() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.to == id(3));
    let outline = net.propose("A");
    let (proposal, vote) = (net.proposal(0, &outline, 0), net.prepare(1, ballot(&outline, 0)));
    let mut screen = screen(&net);
    for message in [&proposal, &vote] {
        assert_eq!(admit(&mut screen, &net, message), Ok(()));
        assert_eq!(admit(&mut screen, &net, message), Err(Dropped::Repeated));
    }
    // Another member may have sent something else before.
    let mut other = Screen::new(net.config.clone(), id(3), id(2));
    assert_eq!(admit(&mut other, &net, &proposal), Ok(()));
    // A view was left since: what did not fit may fit now.
    net.input(3, Input::Starved);
    assert_eq!(admit(&mut screen, &net, &vote), Ok(()));
}

/// R7, R11: votes that the replica would not take, unless they are the furthest of their signer, which R24 remembers.
#[test]
fn votes_outside_the_window_are_not_checked() {
    let mut net = Net::of(4);
    for name in ["A", "B"] {
        net.propose(name);
        net.deliver_all();
    }
    let root = net.nodes[3].tip().clone();
    let far = block(&root, "far", net.now(0).wall, id(0));
    let at = |height: u64, view: u64| quorate_ledger::Ballot {
        height: Height(height),
        view: View(view),
        ..ballot(&far, 0)
    };
    let mut screen = screen(&net);
    for (height, view) in [(1, 0), (2, 0)] {
        let vote = net.prepare(1, at(height, view));
        assert_eq!(admit(&mut screen, &net, &vote), Err(Dropped::Useless), "final at {height}");
    }
    let furthest = net.prepare(1, at(u64::MAX, 9));
    assert_eq!(admit(&mut screen, &net, &furthest), Ok(()), "R24");
    net.receive(net::Envelope { from: id(1), to: id(3), message: furthest }).unwrap();
    for (height, view) in [(2 + 4 * WINDOW + 1, 0), (u64::MAX, 0), (u64::MAX, 9), (3, 5), (3, 9)] {
        let vote = net.prepare(1, at(height, view));
        assert_eq!(admit(&mut screen, &net, &vote), Err(Dropped::Useless), "{height} in view {view}");
    }
    for (height, view) in [(3, 0), (2 + 2 * WINDOW, 2)] {
        assert_eq!(
            admit(&mut screen, &net, &net.prepare(1, at(height, view))),
            Ok(()),
            "{height} in view {view}"
        );
    }
    assert_eq!(
        admit(&mut Screen::new(net.config.clone(), id(3), id(1)), &net, &net.prepare(0, at(3, 0))),
        Ok(()),
        "a vote on another's channel is for the check to refuse: it costs no signature"
    );
}

/// One VIEW-CHANGE of a member in a status interval, and a later one at once.
#[test]
fn view_changes_are_checked_once_an_interval() {
    let mut net = Net::of(4);
    let change = |net: &Net, view| Message::ViewChange(net.view_change(1, view, payload_of(Vec::new())));
    let mut screen = screen(&net);
    assert_eq!(admit(&mut screen, &net, &change(&net, 5)), Ok(()));
    assert_eq!(
        admit(&mut screen, &net, &change(&net, 5)),
        Err(Dropped::TooOften),
        "not taken by the replica yet"
    );
    assert_eq!(admit(&mut screen, &net, &change(&net, 4)), Err(Dropped::TooOften));
    let prepared = net.prepared(&block(net.nodes[3].tip(), "A", net.now(0).wall, id(0)), 0, &[1, 2]);
    let contradiction = Message::ViewChange(net.view_change(1, 5, payload_of(vec![prepared])));
    let mut other = Screen::new(net.config.clone(), id(3), id(1));
    assert_eq!(admit(&mut other, &net, &change(&net, 5)), Ok(()));
    assert_eq!(admit(&mut other, &net, &contradiction), Ok(()), "nor is a proof of a lie");
    assert_eq!(admit(&mut screen, &net, &change(&net, 6)), Ok(()), "a later view is not held up");
    assert_eq!(admit(&mut screen, &net, &change(&net, 7)), Err(Dropped::TooOften), "but once");
    let message = change(&net, 6);
    net.receive(net::Envelope { from: id(1), to: id(3), message }).unwrap();
    net.moment = net.moment.after(STATUS);
    for view in [5, 6] {
        assert_eq!(
            admit(&mut screen, &net, &change(&net, view)),
            Err(Dropped::Useless),
            "the replica has {view}"
        );
    }
    assert_eq!(admit(&mut screen, &net, &change(&net, 7)), Ok(()), "it is repeated every interval");
}

/// A proof in a status interval, and one more that makes the view end; none that is known.
#[test]
fn evidence_is_checked_once_an_interval() {
    let mut net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let [one, two] = ["one", "two"].map(|name| block(&root, name, net.now(0).wall, id(0)));
    let of = |net: &Net, member: usize, view: u64| {
        let vote = |outline| net.sign(member, Prepare(ballot(outline, view)));
        Message::Evidence(Evidence::Prepare(Pair { first: vote(&one), second: vote(&two) }))
    };
    let primary = {
        let vote = |outline| net.sign(0, PrePrepare(ballot(outline, 0)));
        Message::Evidence(Evidence::PrePrepare(Pair { first: vote(&one), second: vote(&two) }))
    };
    let mut screen = screen(&net);
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 0)), Ok(()));
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 1)), Err(Dropped::TooOften));
    assert_eq!(admit(&mut screen, &net, &primary), Ok(()), "the view ends with it");
    assert_eq!(admit(&mut screen, &net, &primary), Err(Dropped::TooOften));
    let message = of(&net, 2, 0);
    net.receive(net::Envelope { from: id(1), to: id(3), message: message.clone() }).unwrap();
    net.moment = net.moment.after(STATUS);
    assert_eq!(admit(&mut screen, &net, &message), Err(Dropped::Useless), "it is known");
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 1)), Ok(()));
}

/// R24: SEEN is for members that ask, or have forgotten what they signed.
#[test]
fn seen_is_not_checked_when_it_says_nothing_new() {
    let mut net = Net::of(4);
    net.propose("A");
    net.deliver_all();
    let root = net.nodes[3].tip().clone();
    let next = block(&root, "next", net.now(0).wall, id(0));
    let seen = |net: &Net, signer: usize, view: u64| {
        let prepare = Some(net.sign(signer, Prepare(ballot(&next, view))));
        Message::Seen(Seen { prepare, ..Seen::default() })
    };
    let mut screen = screen(&net);
    let known = Message::Seen(Seen::default());
    assert_eq!(admit(&mut screen, &net, &known), Err(Dropped::Useless), "it does not ask");
    assert_eq!(admit(&mut screen, &net, &seen(&net, 2, 9)), Err(Dropped::Useless), "what another signed");
    assert_eq!(admit(&mut screen, &net, &seen(&net, 3, 9)), Ok(()), "it has not signed that");
    assert_eq!(admit(&mut screen, &net, &seen(&net, 3, 10)), Err(Dropped::TooOften));
}

/// What a message may cost is told from its fields: the share of a member is counted in it.
#[test]
fn messages_cost_what_their_signatures_do() {
    let net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let outline = block(&root, "A", net.now(0).wall, id(0));
    let prepared = net.prepared(&outline, 0, &[1, 2]);
    let change = net.view_change(1, 1, payload_of(vec![prepared]));
    assert_eq!(Message::ViewChange(change).cost(), 1 + 3);
    assert_eq!(net.prepare(1, ballot(&outline, 0)).cost(), 1);
    assert_eq!(net.proposal(0, &outline, 0).cost(), 1);
}
