//! Useless messages are dropped before their signatures are verified (R25).

use quorate_ledger::{Height, View};
use quorate_pbft::{Dropped, Evidence, Input, Message, Pair, PrePrepare, Prepare, Screen, Seen, Status};

use crate::net::{self, Net, STATUS, WINDOW, ballot, block, id, payload_of};

/// The screen of replica 3 for messages of member 1.
fn screen(net: &Net) -> Screen {
    Screen::new(net.config.clone(), id(3), id(1))
}

fn admit(screen: &mut Screen, net: &Net, message: &Message) -> Result<(), Dropped> {
    screen.admit(net.moment, &net.nodes[3].replica().position(), &mut message.clone())
}

/// R25b: a replayed proposal, valid and as large as permitted, costs one comparison. This is so for
/// every sender, before and after the block is final.
#[test]
fn a_replayed_proposal_is_not_checked() {
    let mut net = Net::of(4);
    net.links.hold(net::Envelope::is_commit);
    let skeleton = net.propose("A");
    net.deliver_all();
    let proposal = net.proposal(0, &skeleton, 0);
    for relay in 0..3 {
        let mut screen = Screen::new(net.config.clone(), id(3), id(relay));
        assert_eq!(admit(&mut screen, &net, &proposal), Err(Dropped::Useless), "in flight, from {relay}");
    }
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
    assert_eq!(admit(&mut screen(&net), &net, &proposal), Err(Dropped::Useless), "final");
}

/// R22, R25b: the signature of a superseded proposal in STATUS is verified only if it would prove a
/// fault that is not known yet.
#[test]
fn a_superseded_proposal_that_proves_nothing_is_taken_out_of_a_status() {
    let mut net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let skeleton = net.propose("A");
    let other = block(&root, "B", net.now(0).wall, id(0));
    let before = net.nodes[3].replica().position();
    net.deliver_all();
    let vote = |net: &Net, skeleton| match net.proposal(0, skeleton, 0) {
        Message::PrePrepare(proposal) => proposal.vote,
        other => panic!("{other:?} is no proposal"),
    };
    let shows = |net: &Net, skeleton| {
        let superseded = Some(vote(net, skeleton));
        Message::Status(Status { superseded, ..net.nodes[1].replica().status() })
    };
    let kept = |net: &Net, position, mut message: Message| {
        screen(net).admit(net.moment, position, &mut message).unwrap();
        matches!(message, Message::Status(Status { superseded: Some(_), .. }))
    };
    let position = net.nodes[3].replica().position();
    assert!(!kept(&net, &position, shows(&net, &skeleton)), "A is final");
    assert!(!kept(&net, &before, shows(&net, &other)), "nothing was final yet");
    assert!(kept(&net, &position, shows(&net, &other)), "B is not A");
    let proves = shows(&net, &other);
    net.corrupt(0);
    net.inject(1, 3, proves.clone());
    net.deliver_all();
    let position = net.nodes[3].replica().position();
    assert!(!kept(&net, &position, proves), "member 0 is proven faulty");
}

/// R25c: until the replica has processed a proposal, the only trace of it is that this member has
/// sent it.
#[test]
fn a_repetition_is_not_checked_until_the_replica_has_moved_on() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.to == id(3));
    let skeleton = net.propose("A");
    let (proposal, vote) = (net.proposal(0, &skeleton, 0), net.prepare(1, ballot(&skeleton, 0)));
    let mut screen = screen(&net);
    for message in [&proposal, &vote] {
        assert_eq!(admit(&mut screen, &net, message), Ok(()));
        assert_eq!(admit(&mut screen, &net, message), Err(Dropped::Repeated));
    }
    // Repetitions are remembered for each member separately.
    let mut other = Screen::new(net.config.clone(), id(3), id(2));
    assert_eq!(admit(&mut other, &net, &proposal), Ok(()));
    // The replica has left a view since then, so it may use the message now.
    net.input(3, Input::Censored);
    assert_eq!(admit(&mut screen, &net, &vote), Ok(()));
}

/// R7, R11, R25b: votes that the replica would not keep are dropped. The exception is a vote that
/// goes further than all known of its signer, which R24b remembers.
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
        "the check refuses a vote on another member's channel, without verifying a signature"
    );
}

/// R22a, R25b: a vote that crosses another one of its member is checked, in either order, although
/// votes at higher heights are known. It is not checked once the height is final.
#[test]
fn a_vote_that_crosses_another_is_checked() {
    for commit_first in [true, false] {
        let mut net = Net::of(4);
        net.corrupt(1);
        net.links.hold(|envelope| envelope.is_commit() && envelope.from != id(1));
        let root = net.nodes[3].tip().clone();
        let [a, b] = ["A", "B"].map(|name| block(&root, name, net.now(0).wall, id(0)));
        let above = block(a.header(), "above", net.now(0).wall, id(0));
        let votes = [net.prepare(1, ballot(&a, 0)), net.commit(1, ballot(&b, 0))];
        let [earlier, later] = if commit_first { [&votes[1], &votes[0]] } else { [&votes[0], &votes[1]] };
        let further = [net.prepare(1, ballot(&above, 0)), net.commit(1, ballot(&above, 0))];
        for message in further.iter().chain([earlier]) {
            net.inject(1, 3, message.clone());
        }
        net.deliver_all();
        assert_eq!(admit(&mut screen(&net), &net, later), Ok(()), "COMMIT first: {commit_first}");
        net.propose("C");
        net.links.release();
        net.deliver_all();
        assert_eq!(net.height(3), 1);
        assert_eq!(admit(&mut screen(&net), &net, later), Err(Dropped::Useless), "final");
    }
}

/// R25d: one VIEW-CHANGE of a member is checked in a status interval. One for a later view is
/// checked at once.
#[test]
fn view_changes_are_checked_once_an_interval() {
    let mut net = Net::of(4);
    let change = |net: &Net, view| Message::ViewChange(net.view_change(1, view, payload_of(Vec::new())));
    let mut screen = screen(&net);
    assert_eq!(admit(&mut screen, &net, &change(&net, 5)), Ok(()));
    assert_eq!(
        admit(&mut screen, &net, &change(&net, 5)),
        Err(Dropped::TooOften),
        "the replica has not processed it yet"
    );
    assert_eq!(admit(&mut screen, &net, &change(&net, 4)), Err(Dropped::TooOften));
    let prepared = net.prepared(&block(net.nodes[3].tip(), "A", net.now(0).wall, id(0)), 0, &[1, 2]);
    let contradiction = Message::ViewChange(net.view_change(1, 5, payload_of(vec![prepared])));
    let mut other = Screen::new(net.config.clone(), id(3), id(1));
    assert_eq!(admit(&mut other, &net, &change(&net, 5)), Ok(()));
    assert_eq!(admit(&mut other, &net, &contradiction), Ok(()), "a contradicting one is urgent");
    assert_eq!(admit(&mut screen, &net, &change(&net, 6)), Ok(()), "one for a later view is urgent");
    assert_eq!(
        admit(&mut screen, &net, &change(&net, 7)),
        Err(Dropped::TooOften),
        "only one urgent message is checked"
    );
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
    assert_eq!(admit(&mut screen, &net, &change(&net, 7)), Ok(()), "one is checked in every interval");
}

/// R25d: one proof is checked in a status interval, and one more that ends the view. Known proofs
/// are dropped.
#[test]
fn evidence_is_checked_once_an_interval() {
    let mut net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let [one, two] = ["one", "two"].map(|name| block(&root, name, net.now(0).wall, id(0)));
    let of = |net: &Net, member: usize, view: u64| {
        let vote = |skeleton| net.sign(member, Prepare(ballot(skeleton, view)));
        Message::Evidence(Evidence::Prepare(Pair { first: vote(&one), second: vote(&two) }))
    };
    let primary = {
        let vote = |skeleton| net.sign(0, PrePrepare(ballot(skeleton, 0)));
        Message::Evidence(Evidence::PrePrepare(Pair { first: vote(&one), second: vote(&two) }))
    };
    let mut screen = screen(&net);
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 0)), Ok(()));
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 1)), Err(Dropped::TooOften));
    assert_eq!(admit(&mut screen, &net, &primary), Ok(()), "the proof ends the view");
    assert_eq!(admit(&mut screen, &net, &primary), Err(Dropped::TooOften));
    let message = of(&net, 2, 0);
    net.receive(net::Envelope { from: id(1), to: id(3), message: message.clone() }).unwrap();
    net.moment = net.moment.after(STATUS);
    assert_eq!(admit(&mut screen, &net, &message), Err(Dropped::Useless), "the proof is known");
    assert_eq!(admit(&mut screen, &net, &of(&net, 2, 1)), Ok(()));
}

/// R24, R25b: SEEN is useful only to a replica that is probing, or if it goes further than the
/// replica's records.
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
    assert_eq!(admit(&mut screen, &net, &known), Err(Dropped::Useless), "the replica is not probing");
    assert_eq!(
        admit(&mut screen, &net, &seen(&net, 2, 9)),
        Err(Dropped::Useless),
        "statements of another member"
    );
    assert_eq!(admit(&mut screen, &net, &seen(&net, 3, 9)), Ok(()), "it goes further than the records");
    assert_eq!(admit(&mut screen, &net, &seen(&net, 3, 10)), Err(Dropped::TooOften));
}

/// The cost of a message, in signatures, follows from its fields. It counts towards the share of
/// its member.
#[test]
fn messages_cost_what_their_signatures_do() {
    let net = Net::of(4);
    let root = net.nodes[3].tip().clone();
    let skeleton = block(&root, "A", net.now(0).wall, id(0));
    let prepared = net.prepared(&skeleton, 0, &[1, 2]);
    let change = net.view_change(1, 1, payload_of(vec![prepared]));
    assert_eq!(Message::ViewChange(change).cost(), 1 + 3);
    assert_eq!(net.prepare(1, ballot(&skeleton, 0)).cost(), 1);
    assert_eq!(net.proposal(0, &skeleton, 0).cost(), 1);
}
