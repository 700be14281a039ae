//! A primary that sends different blocks to different members, so that no member receives two of
//! them (R14, R15, R22).

use quorate_ledger::{BlockSkeleton, Header};
use quorate_pbft::{Cause, Input, Message, Work};

use crate::net::{self, Net, STATUS, TIMEOUT, ballot, block, id};

fn named(net: &Net, parent: &Header, name: &str) -> BlockSkeleton {
    block(parent, name, net.now(0).wall, id(0))
}

/// Member 0 proposes this block to these members.
fn propose_to(net: &mut Net, skeleton: &BlockSkeleton, members: &[usize]) {
    let proposal = net.proposal(0, skeleton, 0);
    for member in members {
        net.inject(0, *member, proposal.clone());
    }
}

/// The primary sends A and its child A2 to member 3, and B to members 1 and 2, which commit to it.
/// Returns A2.
fn hide_b_from_member_3(net: &mut Net) -> BlockSkeleton {
    net.corrupt(0);
    let root = net::root(&net.config);
    let (a, b) = (named(net, &root, "A"), named(net, &root, "B"));
    let a2 = named(net, a.header(), "A2");
    propose_to(net, &a, &[3]);
    propose_to(net, &a2, &[3]);
    propose_to(net, &b, &[1, 2]);
    let commit = net.commit(0, ballot(&b, 0));
    for member in [1, 2] {
        net.inject(0, member, commit.clone());
    }
    net.deliver_all();
    assert_eq!(net.heights()[1..3], [1, 1], "B is final");
    assert_eq!(net.nodes[3].replica().in_flight(), 2, "A and A2 are accepted");
    a2
}

/// R14d, R22: nothing else is ordered, so the replicas never receive a second proposal. STATUS
/// brings both blocks together, and all replicas leave the view.
#[test]
fn a_superseded_proposal_proves_its_primary_faulty() {
    let mut net = Net::of(4);
    hide_b_from_member_3(&mut net);
    // Replica 3 learns of B by STATUS and fetches it. Its next STATUS contains A.
    net.pass(3 * STATUS);
    assert!(3 * STATUS < TIMEOUT);
    for member in 1..4 {
        assert_eq!(net.height(member), 1, "member {member}");
        assert_eq!(net.accused(member), [0], "member {member}");
        assert_eq!(net.departures(member).len(), 1, "member {member}");
    }
    assert!((1..4).any(|member| net.departures(member) == [Cause::Evidence]));
    net.assert_view(1);
    net.propose("C");
    net.deliver_all();
    assert!((1..4).all(|member| net.height(member) == 2));
}

/// R15b: here no replica gets evidence. A2 is no work of replica 3, because its parent was
/// superseded. Replica 3 does not leave its view alone, and does not send STATUS more often than
/// others (R14e).
#[test]
fn a_block_whose_parent_was_replaced_is_no_work() {
    let mut net = Net::of(4);
    // The messages of replica 3 that name A or A2 are lost.
    net.links.lose(|envelope| match &envelope.message {
        Message::Status(status) => envelope.from == id(3) && status.superseded.is_some(),
        Message::Prepare(_) => envelope.from == id(3),
        _ => false,
    });
    let a2 = hide_b_from_member_3(&mut net);
    net.pass(2 * STATUS);
    assert_eq!((net.height(3), net.nodes[3].replica().in_flight()), (1, 0), "it has fetched B");
    assert!(net.slots(3).is_empty(), "nothing is in flight");
    let slots = net.nodes[3].replica().status().slots;
    assert_eq!(slots[0].proposal, Some(a2.hash()), "its STATUS still names A2");
    let before = net.links.sent[3];
    net.pass(8 * STATUS);
    assert_eq!(net.links.sent[3] - before, 8 * 3 * 3, "three members send STATUS to three others");
    assert!((1..4).all(|member| net.view(member) == (0, true) && net.departures(member).is_empty()));
    // A pooled transaction is work as usual.
    net.input(3, Input::Pending(Work::Timely));
    net.pass(TIMEOUT);
    assert_eq!(net.departures(3), [Cause::NoProgress]);
}

/// R3: a replica accepts nothing on a block whose parent was superseded.
#[test]
fn nothing_is_accepted_on_a_block_whose_parent_was_replaced() {
    let mut net = Net::of(4);
    net.links.lose(|envelope| envelope.from == id(3));
    let a2 = hide_b_from_member_3(&mut net);
    net.pass(2 * STATUS);
    assert_eq!(net.height(3), 1);
    let a3 = named(&net, a2.header(), "A3");
    propose_to(&mut net, &a3, &[3]);
    net.deliver_all();
    assert_eq!(net.nodes[3].replica().status().mark.accepted.1, a2.height(), "no PREPARE for A3");
}

/// R14b, R22a: two blocks, neither of which gets a quorum. STATUS names the block of each replica,
/// so both proposals meet long before the timeout.
#[test]
fn open_proposals_of_one_height_meet_through_status() {
    let mut net = Net::of(4);
    net.corrupt(0);
    let root = net::root(&net.config);
    let (a, b) = (named(&net, &root, "A"), named(&net, &root, "B"));
    propose_to(&mut net, &a, &[1]);
    propose_to(&mut net, &b, &[2, 3]);
    net.deliver_all();
    assert!((1..4).all(|member| net.accused(member).is_empty()));
    net.pass(STATUS);
    assert!(STATUS < TIMEOUT);
    for member in 1..4 {
        assert_eq!(net.accused(member), [0], "member {member}");
    }
    net.assert_view(1);
}

/// R14d, R22a: a second proposal for a final height is evidence, too, however late it comes.
#[test]
fn a_second_proposal_for_a_final_height_accuses() {
    let mut net = Net::of(4);
    net.propose("A");
    net.propose("B");
    net.deliver_all();
    net.corrupt(0);
    let root = net::root(&net.config);
    let other = named(&net, &root, "other");
    propose_to(&mut net, &other, &[2]);
    net.deliver_all();
    assert!((1..4).all(|member| net.accused(member) == [0]));
    net.assert_view(1);
    // A repeated proposal of the final block itself is no evidence.
    let mut correct = Net::of(4);
    let a = correct.propose("A");
    correct.deliver_all();
    let again = correct.proposal(0, &a, 0);
    correct.inject(1, 2, again);
    correct.input(2, Input::Tick);
    correct.deliver_all();
    assert!(correct.accused(2).is_empty());
}
