//! Who may hold how many places in the pool (D137).

use std::time::Duration;

use quorate_engine::{Event, Submission};
use quorate_governance::{Change, Name, Operation, Submit};
use quorate_ledger::{Refusal, SecretKey, TransactionId, VerifiedTransaction};

use crate::net::{Net, id};

const POOL: u64 = 40;
const QUOTA: u64 = 10;
/// The places of one of four members.
const SHARE: u64 = POOL / 4;

fn small_pools(submit: Submit) -> Net {
    Net::with(4, |parameters| {
        parameters.block.max_transactions = 5;
        parameters.consensus.window = 8;
        parameters.mempool.max_transactions = POOL;
        parameters.mempool.max_transactions_per_sender = QUOTA;
        parameters.clients.submit = submit;
    })
}

fn client(number: u8) -> SecretKey {
    SecretKey::from_bytes(&[number; 32]).unwrap()
}

fn data(net: &Net, sender: u8, nonce: u64) -> VerifiedTransaction {
    net.transaction_of(&client(sender), nonce, net.wall().plus_ms(60_000))
}

/// Registers clients 10 to 15 of member 0, and client 20 of member 1.
fn with_clients() -> Net {
    let mut net = small_pools(Submit::Registry);
    let name: Name = "teller".parse().unwrap();
    for (member, number) in (10..16).map(|number| (0, number)).chain([(1, 20)]) {
        let key = client(number).public();
        let add = Operation::AddClient { name: name.clone(), key };
        let add = net.operation(&net.governance[member], number.into(), &add);
        net.submit(0, &add).unwrap();
    }
    net.pass(Duration::from_secs(2));
    net
}

fn is_share_full(refused: &Result<Submission, Refusal>) -> bool {
    matches!(refused, Err(Refusal::MemberShare { .. }))
}

#[test]
fn the_clients_of_a_member_cannot_fill_the_pool_for_those_of_another() {
    let mut net = with_clients();
    net.lose(|_, _, _| true);
    let before = net.ids(2).len() as u64;
    let mut admitted = 0;
    for sender in 10..16 {
        for nonce in 0..QUOTA {
            let transaction = data(&net, sender, nonce);
            match net.submit(2, &transaction) {
                Ok(outcome) => assert_eq!(outcome, Submission::Pending),
                refused => assert!(is_share_full(&refused), "{refused:?}"),
            }
            admitted += u64::from(net.engine(2).is_pending(&transaction.id()));
        }
    }
    assert_eq!(admitted, SHARE);
    for nonce in 0..QUOTA {
        let transaction = data(&net, 20, nonce);
        assert_eq!(net.submit(2, &transaction), Ok(Submission::Pending), "the other member has its share");
    }
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.ids(2).len() as u64, before + SHARE + QUOTA);
    let again = data(&net, 15, 0);
    assert_eq!(net.submit(2, &again), Ok(Submission::Pending), "the share has room again");
}

#[test]
fn gossip_of_one_member_fills_only_the_share_of_its_clients() {
    let mut net = with_clients();
    net.lose(|_, _, _| true);
    for sender in 10..16 {
        let batch = (0..QUOTA).map(|nonce| data(&net, sender, nonce)).collect();
        net.handle(3, [Event::Gossiped(batch)]);
    }
    assert_eq!(net.overview(3).mempool.transactions, SHARE);
    assert_eq!(net.overview(3).counters.gossip_refused, 6 * QUOTA - SHARE);
    net.handle(3, [Event::Gossiped(vec![data(&net, 20, 0)])]);
    assert_eq!(net.overview(3).mempool.transactions, SHARE + 1);
}

/// The transactions of accepted blocks count for their member after a restart.
#[test]
fn transactions_that_return_to_the_pool_take_the_share_of_their_member() {
    let mut net = with_clients();
    net.lose(|_, _, parcel| parcel.is_commit() || parcel.is_gossip());
    let ordered = 6;
    for nonce in 0..ordered {
        net.submit(0, &data(&net, 10, nonce)).unwrap();
    }
    net.pass(Duration::from_millis(300));
    net.lose(|_, to, _| to == id(1));
    net.power_loss(1);
    net.open(1);
    assert_eq!(net.overview(1).mempool.transactions, ordered);
    for nonce in 0..SHARE - ordered {
        let transaction = data(&net, 11, nonce);
        assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending), "{nonce}");
    }
    let refused = net.submit(1, &data(&net, 12, 0));
    assert!(is_share_full(&refused), "{refused:?}");
    assert_eq!(net.submit(1, &data(&net, 20, 0)), Ok(Submission::Pending));
}

/// In the mode `open`, members have no shares, and data is limited by pool and sender only.
#[test]
fn a_full_pool_admits_operations_of_members() {
    let mut net = small_pools(Submit::Open);
    net.lose(|_, _, _| true);
    for (sender, nonce) in (10..14).flat_map(|sender| (0..QUOTA).map(move |nonce| (sender, nonce))) {
        assert_eq!(net.submit(1, &data(&net, sender, nonce)), Ok(Submission::Pending));
    }
    let more = data(&net, 14, 0);
    assert!(matches!(net.submit(1, &more), Err(Refusal::PoolFull { .. })));
    let keys = net.governance.clone();
    let withdraw = Operation::Withdraw(TransactionId::from_bytes([7; 32]));
    let mut operations = Vec::new();
    for nonce in 0..64 {
        let operation = net.operation(&keys[0], nonce, &withdraw);
        assert_eq!(net.submit(1, &operation), Ok(Submission::Pending), "{nonce}");
        operations.push(operation.id());
    }
    let refused = net.submit(1, &net.operation(&keys[0], 64, &withdraw));
    assert!(matches!(refused, Err(Refusal::SenderQuota { transactions: 65, .. })), "{refused:?}");
    let of_another = net.operation(&keys[3], 1, &withdraw);
    assert_eq!(net.submit(1, &of_another), Ok(Submission::Pending), "it has places of its own");
    net.lose_nothing();
    net.pass(Duration::from_secs(10));
    let ids = net.ids(2);
    assert!(operations.iter().chain([&of_another.id()]).all(|id| ids.contains(id)));
    assert_eq!(net.submit(1, &more), Ok(Submission::Pending));
}

#[test]
fn operations_take_no_places_of_data() {
    let mut net = small_pools(Submit::Open);
    net.lose(|_, _, _| true);
    let withdraw = Operation::Withdraw(TransactionId::from_bytes([7; 32]));
    for (key, nonce) in net.governance.clone().iter().flat_map(|key| (0..64).map(move |nonce| (key, nonce))) {
        net.submit(1, &net.operation(key, nonce, &withdraw)).unwrap();
    }
    for (sender, nonce) in (10..14).flat_map(|sender| (0..QUOTA).map(move |nonce| (sender, nonce))) {
        assert_eq!(net.submit(1, &data(&net, sender, nonce)), Ok(Submission::Pending));
    }
    assert_eq!(net.overview(1).mempool.transactions, 4 * 64 + POOL);
}

#[test]
fn a_candidate_holds_at_most_its_places() {
    let mut net = small_pools(Submit::Open);
    let candidate = client(50);
    let (consensus_key, governance_key) = (candidate.public(), candidate.public());
    let name: Name = "bank-e".parse().unwrap();
    let add = Change::AddMember { name, consensus_key, governance_key };
    let proposal = net.operation(&net.governance[0], 1, &Operation::Propose { changes: vec![add] });
    net.submit(0, &proposal).unwrap();
    net.pass(Duration::from_secs(2));
    net.lose(|_, _, _| true);
    let head = net.engine(1).reader().head().unwrap();
    let ready = Operation::Ready { height: head.height, block: head.hash };
    for nonce in 0..4 {
        let ready = net.operation(&candidate, nonce, &ready);
        assert_eq!(net.submit(1, &ready), Ok(Submission::Pending), "{nonce}");
    }
    let refused = net.submit(1, &net.operation(&candidate, 4, &ready));
    assert!(matches!(refused, Err(Refusal::SenderQuota { transactions: 5, .. })), "{refused:?}");
}
