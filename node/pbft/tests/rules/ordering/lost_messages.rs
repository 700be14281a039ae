//! Messages that are lost, late, repeated or out of order, and how replicas resend what is missing
//! (R14).

use std::time::Duration;

use quorate_ledger::Height;
use quorate_pbft::{Input, Message};

use crate::net::{self, Envelope, Net, Random, STATUS, id};

type Kind = fn(&Envelope) -> bool;

/// R14: all messages of one kind are lost, for several blocks. An exchange of STATUS brings them
/// again. With f members dead, every vote is needed.
#[test]
fn every_kind_of_message_is_resent() {
    let kinds: [(&str, Kind); 4] = [
        ("proposals", Envelope::is_proposal),
        ("prepares", Envelope::is_prepare),
        ("commits", Envelope::is_commit),
        ("everything", |_| true),
    ];
    for (what, kind) in kinds {
        let mut net = Net::of(4);
        net.crash(3);
        net.links.lose(kind);
        for name in ["A", "B", "C"] {
            net.propose(name);
        }
        net.deliver_all();
        net.assert_chain(&[]);
        net.links.heal();
        net.catching_up = false;
        // In each phase, replicas notice a lost message after an interval. A message that arrives
        // late needs another interval to appear in STATUS.
        net.pass(6 * STATUS);
        net.assert_chain(&["A", "B", "C"]);
        let repaired: u64 = (0..3).map(|node| net.nodes[node].replica().counters().repaired).sum();
        assert!(repaired >= 3, "{what}: {repaired} messages were resent");
    }
}

/// R14b: one COMMIT that was lost on one link makes the difference between a quorum and none.
#[test]
fn a_single_lost_vote_is_resent_to_the_member_that_lacks_it() {
    let mut net = Net::of(4);
    net.crash(3);
    net.links.lose(|envelope| envelope.is_commit() && envelope.is_between(1, 2));
    net.propose("A");
    net.deliver_all();
    assert_eq!(net.heights(), [1, 1, 0, 0]);
    net.links.heal();
    net.pass(3 * STATUS);
    net.assert_chain(&["A"]);
}

/// R12a, R14: replicas 0 and 2 lack the COMMIT of replica 1, which has committed and forgotten the
/// height. COMMITs for the next block replace it: they finalise the ancestors, too.
#[test]
fn the_next_block_makes_up_for_votes_that_are_gone() {
    let mut net = Net::of(4);
    net.crash(3);
    net.links.lose(|envelope| envelope.is_commit() && envelope.from == id(1));
    net.propose("A");
    net.deliver_all();
    assert_eq!(net.heights(), [0, 1, 0, 0]);
    net.links.heal();
    net.catching_up = false;
    net.propose("B");
    net.deliver_all();
    net.assert_chain(&["A", "B"]);
}

/// R12a: if no next block comes, the replicas fetch the certified block from the member that claims
/// to have it.
#[test]
fn a_block_whose_votes_are_gone_is_fetched() {
    let mut net = Net::of(4);
    net.crash(3);
    net.links.lose(|envelope| envelope.is_commit() && envelope.from == id(1));
    net.propose("A");
    net.deliver_all();
    net.links.heal();
    net.pass(3 * STATUS);
    net.assert_chain(&["A"]);
}

/// R2, R14b: the primary's proposal reaches two backups, and the primary dies. They relay it to the
/// third, and three are a quorum.
#[test]
fn a_proposal_outlives_its_primary() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_proposal() && envelope.to == id(3));
    net.links.lose(|envelope| !envelope.is_proposal());
    net.propose("A");
    net.deliver_all();
    net.crash(0);
    net.links.heal();
    net.pass(5 * STATUS);
    net.assert_chain(&["A"]);
}

/// The side of a partition without a quorum stops, and the other side makes progress. After the
/// partition, all have the same chain.
#[test]
fn a_partition_heals() {
    for side in [&[3][..], &[0, 1], &[0]] {
        let mut net = Net::of(4);
        net.propose("A");
        net.deliver_all();
        net.partition(side);
        net.propose("B");
        net.propose("C");
        net.pass(5 * STATUS);
        let majority = if side == [3] { 3 } else { 1 };
        assert_eq!(net.heights()[0], majority, "with {side:?} cut off");
        net.links.heal();
        net.pass(6 * STATUS);
        net.assert_chain(&["A", "B", "C"]);
    }
}

/// R14b: messages in flight are not lost. While a network is only slow, STATUS makes no replica
/// send a message twice.
#[test]
fn messages_in_flight_are_not_resent() {
    let mut net = Net::of(4);
    net.pass(STATUS - Duration::from_millis(10));
    net.links.hold(|envelope| !envelope.is_status());
    net.propose("A");
    net.pass(STATUS / 4);
    assert!(net.nodes.iter().all(|node| node.replica().counters().repaired == 0));
    net.links.release();
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R14e: votes that were lost at any time between two rounds of STATUS are resent within three
/// quarters of an interval. A replica with a stalled height sends STATUS as often as others answer
/// it.
#[test]
fn stalled_heights_are_repaired_soon() {
    for tenths in 0..10 {
        let mut net = Net::of(4);
        net.crash(3);
        net.pass(STATUS * tenths / 10);
        net.links.lose(Envelope::is_commit);
        net.propose("A");
        net.deliver_all();
        net.assert_chain(&[]);
        net.links.heal();
        net.pass(STATUS * 3 / 4);
        net.assert_chain(&["A"]);
    }
}

/// R14a, R14e: replicas send STATUS once an interval, whether they are idle or order blocks. They
/// send it four times an interval while a height is stalled at which f + 1 members have voted.
/// Claims of f members change nothing.
#[test]
fn claims_of_f_members_do_not_raise_the_status_rate() {
    fn rounds_after(event: impl FnOnce(&mut Net)) -> usize {
        let mut net = Net::of(4);
        event(&mut net);
        net.pass(STATUS * 3 / 4);
        let before = net.links.sent[3];
        net.pass(2 * STATUS);
        (net.links.sent[3] - before) / 3
    }
    assert_eq!(rounds_after(|_| {}), 4 * 2, "four members for two intervals");
    let stalled = rounds_after(|net| {
        net.links.lose(Envelope::is_commit);
        net.propose("A");
    });
    assert_eq!(stalled, 4 * 8);
    let claimed = rounds_after(|net| {
        net.corrupt(3);
        let made_up = net::block(&net::root(&net.config), "X", net.now(0).wall, id(0));
        let vote = net.prepare(3, net::ballot(&made_up, 0));
        for to in 0..3 {
            net.inject(3, to, vote.clone());
        }
    });
    assert_eq!(claimed, 3 * 2, "three members for two intervals");
}

/// R14b: a replica that had to fetch blocks missed the messages of that time, so a fetched block is
/// no activity. Here the primary dies while replica 3 fetches, and all three others are needed.
/// They need not wait again before they resend.
#[test]
fn a_replica_that_fetched_blocks_repairs_without_another_wait() {
    let mut net = Net::of(4);
    net.crash(3);
    net.propose("A");
    net.deliver_all();
    net.catching_up = false;
    net.restart(3);
    net.deliver_all();
    net.links.lose(|envelope| envelope.from == id(0) && (!envelope.is_proposal() || envelope.to == id(3)));
    net.propose("B");
    net.deliver_all();
    net.crash(0);
    assert_eq!(net.heights()[1..], [1, 1, 0]);
    net.pass(STATUS * 2 / 5);
    net.catching_up = true;
    net.nodes[3].heads.remove(&id(0));
    net.nodes[3].certain = Height(1);
    net.catch_up();
    assert_eq!(net.heights()[1..], [1, 1, 1]);
    net.pass(STATUS * 3 / 4 - STATUS * 2 / 5);
    net.assert_chain(&["A", "B"]);
}

/// R14b: a replica does not resend what the other has, and cannot send what it lacks itself.
#[test]
fn only_missing_messages_are_resent() {
    let mut net = Net::of(4);
    net.crash(3);
    net.links.lose(|envelope| envelope.is_prepare() && envelope.to == id(0));
    net.links.lose(|envelope| envelope.is_commit() || envelope.is_status());
    net.propose("A");
    net.deliver_all();
    let before = net.links.sent;
    net.moment = net.moment.after(STATUS * 3 / 4);
    for (from, to) in [(0, 1), (1, 0), (2, 1)] {
        let message = Message::Status(net.nodes[from].replica().status());
        net.receive(Envelope { from: id(from), to: id(to), message }).unwrap();
    }
    net.deliver_all();
    let after = net.links.sent;
    let sent: Vec<usize> = after[..3].iter().zip(before).map(|(after, before)| after - before).collect();
    // Replica 1 sends its PREPARE to replica 0, which lacks it, and its COMMIT to replicas 0 and 2.
    // Replica 0 has nothing to send.
    assert_eq!(sent, [0, 1, 2]);
}

/// R14b: votes of one view are useless in another, so replicas do not answer STATUS of another view
/// with votes.
#[test]
fn a_status_of_another_view_is_not_answered() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit() || envelope.is_status());
    net.propose("A");
    net.deliver_all();
    net.moment = net.moment.after(STATUS * 3 / 4);
    for (view, repaired) in [(1, 0), (0, 3)] {
        let status = net.nodes[3].replica().status();
        let status = quorate_pbft::Status { view: quorate_ledger::View(view), slots: Vec::new(), ..status };
        let (from, message) = (id(if view == 1 { 2 } else { 3 }), Message::Status(status));
        net.receive(Envelope { from, to: id(1), message }).unwrap();
        assert_eq!(net.nodes[1].replica().counters().repaired, repaired, "in view {view}");
    }
}

/// R14c: a replica answers STATUS of one member at most four times an interval. The window bounds
/// each answer.
#[test]
fn a_flood_of_status_is_answered_at_a_bounded_rate() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.is_commit());
    for name in ["A", "B", "C", "D"] {
        net.propose(name);
    }
    net.deliver_all();
    net.moment = net.moment.after(STATUS);
    net.links.lose(|envelope| !envelope.is_status() || envelope.from != id(3));
    let empty = quorate_pbft::Status { slots: Vec::new(), ..net.nodes[3].replica().status() };
    let before = net.nodes[1].replica().counters().repaired;
    for _ in 0..400 {
        net.inject(3, 1, Message::Status(empty.clone()));
        net.deliver_all();
        net.moment = net.moment.after(STATUS / 400);
    }
    let repaired = net.nodes[1].replica().counters().repaired - before;
    assert_eq!(repaired, 4 * 4 * 3, "four answers of proposal, PREPARE and COMMIT for four heights");
}

/// R14a: a replica sends STATUS at once to a member that connects.
#[test]
fn a_new_connection_receives_status_at_once() {
    let mut net = Net::of(4);
    net.links.hold(|_| true);
    let before = net.links.sent[3];
    net.input(1, Input::PeerUp(id(2)));
    net.input(1, Input::PeerUp(id(2)));
    assert_eq!(net.links.sent[3] - before, 2, "a STATUS for each connection, to that member alone");
}

/// R14c: messages on a broken channel are lost, even if they are young. The replica answers the
/// first STATUS on the new channel at once.
#[test]
fn a_new_channel_repairs_at_once() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.to == id(3) || envelope.from == id(3));
    net.crash(2);
    net.propose("A");
    net.deliver_all();
    net.assert_chain(&[]);
    net.links.heal();
    for (node, peer) in [(3, 0), (3, 1), (0, 3), (1, 3)] {
        net.input(node, Input::PeerUp(id(peer)));
    }
    net.deliver_all();
    for (node, peer) in [(3, 0), (3, 1), (0, 3), (1, 3)] {
        net.input(node, Input::PeerUp(id(peer)));
    }
    net.deliver_all();
    net.assert_chain(&["A"]);
}

/// R14c: for its new channels, a member gets one additional answer in full in each status interval,
/// however often it connects.
#[test]
fn reconnecting_brings_no_more_answers() {
    let mut net = Net::of(4);
    net.links.lose(|_| true);
    net.propose("A");
    net.links.heal();
    net.links.hold(|_| true);
    let lacks_all = net.nodes[3].replica().status();
    let answers = |net: &mut Net, times: usize| {
        let before = net.links.sent[0];
        for _ in 0..times {
            net.input(0, Input::PeerDown(id(3)));
            net.input(0, Input::PeerUp(id(3)));
            net.receive(Envelope { from: id(3), to: id(0), message: Message::Status(lacks_all.clone()) })
                .unwrap();
        }
        net.links.sent[0] - before
    };
    assert_eq!(answers(&mut net, 10), 1, "the proposal, although it is young");
    net.moment = net.moment.after(STATUS / 2);
    assert_eq!(answers(&mut net, 10), 1, "it is old enough for an ordinary answer");
    net.moment = net.moment.after(STATUS / 2);
    assert_eq!(answers(&mut net, 10), 2, "the next interval: one ordinary and one additional answer");
}

/// R14c: a replica sends its VIEW-CHANGE to a member that connects, at most once an interval.
#[test]
fn reconnecting_brings_no_more_view_changes() {
    let mut net = Net::of(4);
    net.links.hold(|_| true);
    net.input(0, Input::Censored);
    let before = net.links.sent[4];
    for _ in 0..5 {
        net.input(0, Input::PeerDown(id(3)));
        net.input(0, Input::PeerUp(id(3)));
    }
    assert_eq!(net.links.sent[4] - before, 1);
}

/// Repeated and reordered messages do not change the outcome, in any order.
#[test]
fn order_and_repetition_do_not_matter() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let mut net = Net::of(4);
        for name in ["A", "B", "C"] {
            net.propose(name);
        }
        while net.links.len() > 0 {
            let envelope = net.links.take(random.below(net.links.len())).unwrap();
            if random.chance(30) {
                net.links.send(envelope.clone());
            }
            net.receive(envelope).unwrap();
        }
        net.assert_chain(&["A", "B", "C"]);
        assert!(net.nodes.iter().all(|node| net.accused(node.me.index()).is_empty()), "seed {seed}");
    }
}
