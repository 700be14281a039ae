//! Evidence is kept, relayed, and bounded (R4, R22).

use std::time::Duration;

use quorate_engine::{Event, Notice};
use quorate_ledger::{Domain, View};
use quorate_pbft::{Cause, Evidence, Message, Phase};

use crate::net::{Net, Parcel, id};

/// The most pieces of evidence that are kept against one member (R22c).
const PROOFS: usize = 16;

fn told(net: &Net, member: usize) -> usize {
    let about_0 =
        |notice: &&Notice| matches!(notice, Notice::Equivocation { replica, .. } if *replica == id(0));
    net.nodes[member].notices.iter().filter(about_0).count()
}

#[test]
fn a_primary_that_proposes_twice_is_proven_faulty_and_deposed_at_once() {
    let mut net = Net::of(4);
    net.power_loss(0);
    for nonce in 1..=2 {
        let transaction = net.transaction(nonce);
        for member in 1..4 {
            net.handle(member, [Event::Gossiped(vec![transaction.clone()])]);
        }
        let block = net.block_on(net.genesis.header(), &[transaction]);
        // Only this member receives both proposals.
        let message = net.proposal(&block);
        net.handle(1, [Event::Consensus { from: id(0), message }]);
    }
    net.pass(Duration::from_millis(500));
    for member in 1..4 {
        let [evidence] = net.engine(member).evidence() else { panic!("member {member} has no evidence") };
        assert!(matches!(**evidence, Evidence::PrePrepare(_)));
        assert_eq!((evidence.culprit(), evidence.subject().kind), (id(0), Domain::PrePrepare));
        assert_eq!(told(&net, member), 1, "member {member}");
        assert_eq!(net.overview(member).evidence, 1);
        let departures = net.departures(member);
        assert!(matches!(departures[..], [(View(1), Cause::Evidence | Cause::Joined)]), "{departures:?}");
        assert_eq!(net.ids(member).len(), 2, "member {member}: the next primary orders both");
    }
    // The evidence survives a restart, and is not reported again.
    let proof = net.engine(1).evidence().to_vec();
    net.power_loss(1);
    net.open(1);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.engine(1).evidence(), proof);
    let again = net.check(id(2), Message::Evidence((*proof[0]).clone()));
    net.handle(1, [Event::Consensus { from: id(2), message: again }]);
    assert_eq!((net.engine(1).evidence().len(), told(&net, 1)), (1, 1));
    // A member that has the evidence sends it to others.
    let passed_on =
        net.log.iter().any(|(.., parcel)| matches!(parcel, Parcel::Consensus(Message::Evidence(_))));
    assert!(passed_on);
}

#[test]
fn proofs_against_one_member_are_bounded_in_memory_and_on_disk() {
    let mut net = Net::of(4);
    net.power_loss(2);
    let chains = [0, 1].map(|ahead| {
        net.now += Duration::from_millis(ahead);
        net.chain_of(16)
    });
    let rows = net.overview(1).journal_rows;
    let mut lies = 0;
    for chain in &chains {
        for block in chain {
            for message in [net.commit_vote(2, block), net.prepare_vote(2, block)] {
                let message = net.check(id(2), message);
                net.handle(1, [Event::Consensus { from: id(2), message }]);
                lies += 1;
            }
        }
    }
    assert_eq!(lies, 2 * 32, "thirty-two contradictions");
    net.deliver_all();
    assert_eq!(net.engine(1).evidence().len(), PROOFS);
    assert_eq!(net.overview(1).pbft_counters.contradictions, 32, "all of them are counted");
    // The own high-water mark and that of member 2 are written with them.
    assert!(net.overview(1).journal_rows <= rows + PROOFS as u64 + 3);
    assert_eq!(net.engine(0).evidence().len(), PROOFS, "others keep the same");
    let before = net.engine(1).evidence().to_vec();
    net.power_loss(1);
    net.open(1);
    let mut after = net.engine(1).evidence().to_vec();
    let key = |evidence: &quorate_ledger::Verified<Evidence>| evidence.subject();
    let mut sorted = before;
    sorted.sort_by_key(key);
    after.sort_by_key(key);
    assert_eq!(after, sorted);
    assert_eq!(net.departures(1), [], "evidence against a backup does not end the view");
}

/// R15b, R21: the primary sends member 3 a block and its child, and sends the others another block,
/// which becomes final. The transactions of the child return to the pool at member 3. If they still
/// counted as in flight there, they would be neither ordered, nor watched, nor expired.
#[test]
fn transactions_of_a_block_whose_parent_was_replaced_return_to_the_pool() {
    let mut net = Net::of(4);
    net.power_loss(0);
    // Evidence would make all members leave the view at once. These losses prevent it.
    net.lose(|from, _, parcel| match parcel {
        Parcel::Consensus(Message::Status(status)) => from == id(3) && status.superseded.is_some(),
        Parcel::Consensus(Message::Prepare(_)) => from == id(3),
        _ => false,
    });
    let [first, second, third, other] = [1, 2, 3, 4].map(|nonce| net.transaction(nonce));
    let a = net.block_on(net.genesis.header(), std::slice::from_ref(&first));
    let a2 = net.block_on(a.header(), std::slice::from_ref(&second));
    // No member can supply the transactions of this block.
    let a3 = net.block_on(a2.header(), std::slice::from_ref(&third));
    let b = net.block_on(net.genesis.header(), std::slice::from_ref(&other));
    net.handle(3, [Event::Gossiped(vec![first, second.clone()])]);
    for block in [&a, &a2, &a3] {
        let message = net.proposal(block);
        net.handle(3, [Event::Consensus { from: id(0), message }]);
    }
    assert_eq!((net.overview(3).mempool.in_flight, net.overview(3).examining), (2, 1));
    let commit = net.commit_vote(0, &b);
    for member in [1, 2] {
        net.handle(member, [Event::Gossiped(vec![other.clone()])]);
        for message in [net.proposal(&b), net.check(id(0), commit.clone())] {
            net.handle(member, [Event::Consensus { from: id(0), message }]);
        }
    }
    // Member 3 learns that the others are ahead, waits for a status interval, and fetches.
    net.pass(Duration::from_millis(2900));
    assert_eq!([1, 2, 3].map(|member| net.height(member)), [1, 1, 1], "B is final everywhere");
    let overview = net.overview(3);
    assert_eq!(overview.mempool.in_flight, 0, "nothing is in flight");
    assert_eq!(overview.examining, 0, "and no request is left");
    let phases: Vec<Phase> = overview.pbft.slots.iter().map(|slot| slot.phase).collect();
    assert_eq!(phases, [Phase::Refused]);
    net.lose_nothing();
    net.pass(Duration::from_secs(6));
    for member in 1..4 {
        assert_eq!(net.departures(member).len(), 1, "all leave the view of the dead primary together");
        assert!(net.ids(member).contains(&second.id()), "the next primary orders it");
    }
}
