//! Who may submit, and how much of a block a member's clients get (R26g).

use std::time::Duration;

use quorate_engine::{Event, Notice, Submission};
use quorate_governance::{Change, Name, Operation, ParameterName, Quota, Submit};
use quorate_ledger::{
    Height, NotPermitted, Payload, Refusal, SecretKey, Transaction, VerifiedTransaction, View,
};

use crate::net::{Net, id};

/// A network in which only one client may submit. Member 1 added it.
fn with_one_client() -> Net {
    let mut net = Net::of(4);
    net.commit_each(0..1);
    net.decide(1, vec![Change::SetSubmitMode { mode: Submit::Registry }]);
    let (key, client) = (net.governance[1].clone(), net.client.clone());
    let name: Name = "teller".parse().unwrap();
    let add = net.operation(&key, 5, &Operation::AddClient { name, key: client.public() });
    net.submit(0, &add).unwrap();
    net.pass(Duration::from_secs(1));
    net
}

/// The primary proposes a block with these transactions to all others, and then sends nothing more. The
/// block is refused, and the next primary orders the transaction of the client that waits.
fn refused_and_left(mut net: Net, transactions: &[VerifiedTransaction], reason: &str) {
    let waits = net.transaction(100);
    let tip = net.engine(1).reader().header(Height(net.height(1))).unwrap().unwrap();
    let block = net.block_on(&tip, transactions);
    net.power_loss(0);
    assert_eq!(net.submit(2, &waits), Ok(Submission::Pending));
    for member in 1..4 {
        net.nodes[member].notices.clear();
        let message = net.proposal(&block);
        net.handle(member, [Event::Consensus { from: id(0), message }]);
        // The pool refuses what no block may contain, but an answer or gossip may still bring it.
        net.handle(member, [Event::Gossiped(transactions.to_vec())]);
        let refused = |notice: &Notice| matches!(notice, Notice::BadProposal { reason: given, .. } if given.contains(reason));
        let notices = &net.nodes[member].notices;
        assert!(notices.iter().any(refused), "member {member}: {notices:?}");
    }
    net.pass(Duration::from_secs(5));
    for member in 1..4 {
        assert_eq!(net.departures(member)[0].0, View(1), "member {member}");
        assert_eq!(net.ids(member).last(), Some(&waits.id()), "member {member}");
        let committed = net.engine(member).reader().header(block.height()).unwrap().unwrap();
        assert_ne!(committed.hash(), block.hash(), "member {member}");
    }
}

#[test]
fn a_primary_that_includes_an_unknown_sender_is_refused_and_left() {
    let net = with_one_client();
    let stranger = SecretKey::from_bytes(&[77; 32]).unwrap();
    let transaction = net.transaction_of(&stranger, 1, net.wall().plus_ms(60_000));
    refused_and_left(net, &[transaction], "not registered");
}

#[test]
fn a_primary_that_includes_a_revoked_client_is_refused_and_left() {
    let mut net = with_one_client();
    let (key, teller) = (net.governance[2].clone(), SecretKey::from_bytes(&[78; 32]).unwrap());
    let name: Name = "second-teller".parse().unwrap();
    let add = net.operation(&key, 6, &Operation::AddClient { name, key: teller.public() });
    net.submit(0, &add).unwrap();
    net.pass(Duration::from_secs(1));
    let before = net.transaction_of(&teller, 1, net.wall().plus_ms(60_000));
    assert_eq!(net.submit(1, &before), Ok(Submission::Pending));
    net.pass(Duration::from_secs(1));
    assert!(net.ids(3).contains(&before.id()), "it may submit until then");
    net.decide(2, vec![Change::RevokeClient { key: teller.public() }]);
    let transaction = net.transaction_of(&teller, 2, net.wall().plus_ms(60_000));
    refused_and_left(net, &[transaction], "revoked this client");
}

/// A network in which a block may contain two transactions of a member's clients.
fn with_a_quota_of_two() -> Net {
    let mut net = with_one_client();
    let parameter = ParameterName::MaxTransactionsPerMember;
    net.decide(3, vec![Change::SetParameter { parameter, value: 2 }]);
    net
}

#[test]
fn a_primary_that_exceeds_a_quota_is_refused_and_left() {
    let net = with_a_quota_of_two();
    let transactions: Vec<_> = (10..13).map(|nonce| net.transaction(nonce)).collect();
    refused_and_left(net, &transactions, "quota");
}

/// Also when more transactions wait than a block may contain.
#[test]
fn the_quotas_of_member_and_client_hold_for_every_block() {
    for (of_client, expected) in [(None, 2), (Some(1), 1)] {
        let mut net = with_a_quota_of_two();
        if let Some(transactions) = of_client {
            let (member, client) = (net.governance[1].clone(), net.client.public());
            let quota = Some(Quota { transactions, bytes: 10_000 });
            let limit = net.operation(&member, 7, &Operation::SetClientQuota { key: client, quota });
            net.submit(0, &limit).unwrap();
            net.pass(Duration::from_secs(1));
        }
        let from = net.height(0);
        let submitted: Vec<_> = (10..21).map(|nonce| net.transaction(nonce)).collect();
        for transaction in &submitted {
            assert_eq!(net.submit(3, transaction), Ok(Submission::Pending));
        }
        net.pass(Duration::from_secs(3));
        for member in 0..4 {
            let reader = net.engine(member).reader();
            let counts: Vec<usize> = (from + 1..=net.height(member))
                .map(|height| reader.block(Height(height)).unwrap().unwrap().body().ids().len())
                .collect();
            assert_eq!(counts.iter().sum::<usize>(), submitted.len(), "member {member}: {counts:?}");
            assert_eq!(counts.iter().max(), Some(&expected), "member {member}: {counts:?}");
        }
        assert_eq!(net.departures(1), [], "waiting for the next block is no censorship");
    }
}

/// With a registry of clients, a transaction of an unknown or removed sender is refused, leaves the
/// pool, and is in no block.
#[test]
fn only_registered_clients_may_submit() {
    let mut net = Net::of(4);
    net.commit_each(0..1);
    net.decide(1, vec![Change::SetSubmitMode { mode: Submit::Registry }]);
    let unknown = net.transaction(10);
    let refused = Err(Refusal::NotPermitted(NotPermitted::SenderUnknown));
    assert_eq!(net.submit(1, &unknown), refused);
    let (keys, client) = (net.governance.clone(), net.client.clone());
    let name: Name = "teller".parse().unwrap();
    let add = net.operation(&keys[1], 5, &Operation::AddClient { name, key: client.public() });
    net.submit(0, &add).unwrap();
    net.pass(Duration::from_secs(1));
    assert_eq!(net.epoch(3), 0, "a client is no reason for an epoch");
    let known = net.transaction(11);
    assert_eq!(net.submit(1, &known), Ok(Submission::Pending));
    net.pass(Duration::from_secs(1));
    assert!(net.ids(2).contains(&known.id()));
    let remove = net.operation(&keys[1], 6, &Operation::RemoveClient { key: client.public() });
    net.submit(0, &remove).unwrap();
    net.deliver_all();
    // No message arrives until the removal is in force, so this one stays in the pool.
    net.lose(|_, _, parcel| parcel.is_gossip());
    let late = net.transaction(12);
    assert_eq!(net.submit(3, &late), Ok(Submission::Pending));
    net.lose(|_, _, parcel| parcel.is_transactions());
    net.pass(Duration::from_secs(1));
    assert_eq!(net.nodes[3].rejected, [(late.id(), NotPermitted::SenderUnknown)]);
    assert!(!net.ids(0).contains(&late.id()));
    assert_eq!(net.submit(0, &net.transaction(13)), refused);
}

/// A malformed operation is refused at the door, and one of a stranger as well.
#[test]
fn operations_are_checked_before_they_are_admitted() {
    let mut net = Net::of(4);
    let (chain, until) = (net.genesis.chain_id(), net.wall().plus_ms(60_000));
    let payload = Payload::Governance(vec![0xff]);
    let malformed = Transaction::sign(&chain, &net.keys[0], 1, until, payload).verify(&chain).unwrap();
    assert!(matches!(net.submit(0, &malformed), Err(Refusal::Operation(_))));
    let stranger = net.operation(&net.client, 1, &Operation::Renew);
    let refused = Err(Refusal::NotPermitted(NotPermitted::SenderUnknown));
    assert_eq!(net.submit(0, &stranger), refused);
}
