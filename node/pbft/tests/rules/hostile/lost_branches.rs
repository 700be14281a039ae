//! Blocks on a branch that lost: another block is final at a height below them (R3, R7, R12).

use crate::net::{self, Net, ballot, block, id};

/// R3, R12: another block than the accepted one was certified. The replica votes for no descendant
/// of the accepted one any more.
#[test]
fn a_branch_that_lost_is_not_continued() {
    let mut net = Net::of(4);
    let (a, b) = net.two_blocks();
    net.corrupt(0);
    let on_a = block(a.header(), "on A", net.now(0).wall, id(0));
    net.nodes[1].withheld.insert(on_a.hash());
    for skeleton in [&a, &on_a] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    assert_eq!(net.height_records(1).len(), 1, "A is accepted, the block on it waits for its body");
    let chain = [net::root(&net.config), b.header().clone()];
    let certificate = net.certificate(ballot(&b, 0), &[0, 2, 3]);
    let (now, certificate) = (net.now(1), certificate.verify(&net::CHAIN, &net.config.context).unwrap());
    net.nodes[1].catch_up_from(now, &chain, certificate);
    net.supply(1);
    assert_eq!(net.height_records(1).len(), 1, "no record for the superseded branch");
    assert_eq!(net.bad_proposals(1).len(), 1);
    assert_eq!(net.nodes[1].replica().in_flight(), 0);
}

/// R4, R7: others may have ordered blocks in another view without this primary. It proposes no
/// second block at heights where it has proposed. Above them, it proposes on the certified chain.
#[test]
fn a_primary_that_was_overtaken_does_not_propose_twice() {
    let mut net = Net::of(4);
    net.links.lose(|_| true);
    net.propose("A");
    net.propose("on A");
    let root = net::root(&net.config);
    let x = block(&root, "X", net.now(0).wall, id(1));
    let y = block(x.header(), "Y", net.now(0).wall, id(1));
    let fetched = net.fetched(&[&x]);
    net.input(0, fetched);
    let replica = net.nodes[0].replica();
    assert_eq!(replica.in_flight(), 0, "A and its child were superseded");
    assert_eq!(replica.proposal_parent(), None, "it has proposed at height 2");
    let fetched = net.fetched(&[&y]);
    net.input(0, fetched);
    assert_eq!(net.nodes[0].replica().proposal_parent(), Some(y.header()));
}

/// R12d: more than f Byzantine members can make two blocks final at one height. A node that sees
/// both stops, since it must not choose.
#[test]
#[should_panic(expected = "FORK")]
fn a_certificate_for_a_branch_that_lost_stops_the_node() {
    let mut net = Net::of(4);
    let (a, b) = net.two_blocks();
    let on_a = block(a.header(), "on A", net.now(0).wall, id(0));
    for member in [0, 2, 3] {
        net.corrupt(member);
    }
    for skeleton in [&a, &on_a] {
        let proposal = net.proposal(0, skeleton, 0);
        net.inject(0, 1, proposal);
    }
    net.deliver_all();
    let fetched = net.fetched(&[&b]);
    net.input(1, fetched);
    for member in [0, 2, 3] {
        let commit = net.commit(member, ballot(&on_a, 0));
        net.inject(member, 1, commit);
    }
    net.deliver_all();
}

/// R12d: the node also stops if its engine fetched both blocks.
#[test]
#[should_panic(expected = "FORK")]
fn two_certified_blocks_at_one_height_stop_the_node() {
    let mut net = Net::of(4);
    let (a, b) = net.two_blocks();
    for block in [&a, &b] {
        let fetched = net.fetched(&[block]);
        net.input(1, fetched);
    }
}
