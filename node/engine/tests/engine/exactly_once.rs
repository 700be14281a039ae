//! A transaction is ordered once, however often and wherever it is submitted (R16).

use std::time::Duration;

use quorate_engine::{Event, Notice, Submission};
use quorate_ledger::{BlockSkeleton, Body, Header, Height, ReplicaId};

use crate::net::{Net, id};

#[test]
fn a_transaction_submitted_to_two_members_is_in_the_chain_once() {
    let mut net = Net::of(4);
    let transaction = net.transaction(1);
    assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending));
    assert_eq!(net.submit(2, &transaction), Ok(Submission::Pending));
    assert_eq!(net.submit(2, &transaction), Ok(Submission::Pending), "and again to the same");
    net.deliver_all();
    net.pass(Duration::from_secs(5));
    for member in 0..4 {
        assert_eq!(net.ids(member), [transaction.id()], "member {member}");
    }
}

#[test]
fn submitting_a_committed_transaction_again_returns_its_place() {
    let mut net = Net::of(4);
    net.commit_each(0..2);
    let transaction = net.transaction_until(2, net.wall().plus_ms(3000));
    net.submit(3, &transaction).unwrap();
    net.deliver_all();
    let place = Submission::Committed { height: Height(3), index: 0 };
    for member in 0..4 {
        assert_eq!(net.submit(member, &transaction), Ok(place), "member {member}");
    }
    // Also after it has expired, and when its id is no longer kept.
    net.pass(Duration::from_secs(4));
    assert_eq!(net.submit(1, &transaction), Ok(place));
    net.pass(Duration::from_secs(200));
    net.commit_each(10..12);
    assert!(net.overview(1).remembered_ids <= 2, "the id is no longer kept");
    assert_eq!(net.submit(1, &transaction), Ok(place));
    assert_eq!(net.ids(0).iter().filter(|id| **id == transaction.id()).count(), 1);
}

#[test]
fn a_proposal_that_repeats_a_committed_transaction_is_refused() {
    let mut net = Net::of(4);
    net.commit_each(0..1);
    let tip = net.engine(1).reader().header(Height(1)).unwrap().unwrap();
    let again = net.block_on(
        &tip,
        &[net.nodes[1].committed[0].body().transaction(0).unwrap()]
            .map(|known| known.verify(&net.genesis.chain_id()).unwrap()),
    );
    refuses(&mut net, &again, "is in the chain already");
}

/// R16: after a restart, a member still knows the ids of a whole lifetime.
#[test]
fn a_restarted_member_refuses_a_transaction_that_was_committed_almost_a_lifetime_ago() {
    let mut net = Net::of(4);
    let lifetime_ms = net.genesis.block_limits().transaction.max_lifetime_ms;
    let transaction = net.transaction_until(1, net.wall().plus_ms(lifetime_ms));
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    net.pass(Duration::from_millis(lifetime_ms * 3 / 4));
    net.commit_each(5..6);
    net.power_loss(1);
    net.open(1);
    net.deliver_all();
    let tip = net.engine(1).reader().header(Height(net.height(1))).unwrap().unwrap();
    assert_eq!(net.ids(1)[0], transaction.id());
    let again = net.block_on(&tip, &[transaction]);
    refuses(&mut net, &again, "is in the chain already");
}

#[test]
fn a_proposal_that_repeats_a_transaction_of_its_uncommitted_parent_is_refused() {
    let mut net = Net::of(4);
    let transaction = net.transaction(1);
    net.submit(1, &transaction).unwrap();
    net.queue.clear();
    let first = net.block_on(net.genesis.header(), std::slice::from_ref(&transaction));
    let message = net.proposal(&first);
    net.handle(1, [Event::Consensus { from: id(0), message }]);
    assert_eq!(net.overview(1).in_flight, 1, "the first is accepted");
    let second = net.block_on(first.header(), &[transaction]);
    refuses(&mut net, &second, "is in the chain already");
}

fn refuses(net: &mut Net, block: &quorate_ledger::Block, reason: &str) {
    net.nodes[1].notices.clear();
    let message = net.proposal(block);
    net.log.clear();
    net.handle(1, [Event::Consensus { from: id(0), message }]);
    let [Notice::BadProposal { primary: ReplicaId(0), height, reason: given }] = &net.nodes[1].notices[..]
    else {
        panic!("{:?}", net.nodes[1].notices);
    };
    assert_eq!(*height, block.height());
    assert!(given.contains(reason), "{given}");
    assert!(net.log.iter().all(|(.., parcel)| !parcel.is_vote()), "no vote for it");
}

/// Such a block is no valid proposal: header and ids do not make a block skeleton.
#[test]
fn a_block_that_contains_a_transaction_twice_cannot_be_proposed() {
    let net = Net::of(1);
    let transaction = net.transaction(1);
    let twice = [transaction.clone(), transaction];
    let header = Header::after(net.genesis.header(), &Body::of(&twice), net.wall(), ReplicaId(0));
    let ids: Vec<_> = twice.iter().map(|transaction| transaction.id()).collect();
    assert!(BlockSkeleton::new(header, ids).is_err());
}

/// The primary has committed a transaction, and late gossip brings it again.
#[test]
fn a_committed_transaction_that_arrives_again_does_not_enter_the_pool() {
    let mut net = Net::of(4);
    let transaction = net.transaction(1);
    net.submit(0, &transaction).unwrap();
    net.deliver_all();
    net.handle(0, [Event::Gossiped(vec![transaction.clone()])]);
    assert!(!net.engine(0).is_pending(&transaction.id()));
    net.pass(Duration::from_secs(5));
    assert_eq!(net.ids(0), [transaction.id()]);
}

#[test]
fn a_member_alone_orders_by_itself() {
    let mut net = Net::of(1);
    net.commit_each(0..3);
    assert_eq!((net.height(0), net.ids(0).len()), (3, 3));
}
