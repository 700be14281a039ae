//! Memory stays bounded, whatever members and clients send.

use std::time::Duration;

use quorate_engine::{Event, FetchRequest, FetchResponse, Submission};
use quorate_ledger::{BlockHash, Height, Payload, Refusal, SecretKey, Transaction, VerifiedTransaction};

use crate::net::{Net, id};

const POOL: u64 = 40;
const QUOTA: u64 = 10;

fn small_pools() -> Net {
    Net::with(4, |parameters| {
        parameters.block.max_transactions = 5;
        parameters.consensus.window = 8;
        parameters.mempool.max_transactions = POOL;
        parameters.mempool.max_transactions_per_sender = QUOTA;
    })
}

fn of_sender(net: &Net, sender: u8, nonce: u64) -> VerifiedTransaction {
    let chain = net.genesis.chain_id();
    let key = SecretKey::from_bytes(&[sender; 32]).unwrap();
    let valid_until = net.wall().plus_ms(60_000);
    Transaction::sign(&chain, &key, nonce, valid_until, Payload::Data(vec![0; 10])).verify(&chain).unwrap()
}

#[test]
fn senders_and_the_pool_have_quotas_and_room_comes_back() {
    let mut net = small_pools();
    net.lose(|_, _, _| true);
    for sender in 1..=4 {
        for nonce in 0..QUOTA {
            let transaction = of_sender(&net, sender, nonce);
            assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending));
        }
        let transaction = of_sender(&net, sender, QUOTA);
        let refused = net.submit(1, &transaction);
        assert!(matches!(refused, Err(Refusal::SenderQuota { .. })), "{refused:?}");
    }
    let transaction = of_sender(&net, 5, 0);
    let refused = net.submit(1, &transaction);
    assert!(matches!(refused, Err(Refusal::PoolFull { .. })), "{refused:?}");
    assert_eq!(net.overview(1).mempool.transactions, POOL);
    net.lose_nothing();
    net.pass(Duration::from_secs(5));
    assert_eq!(net.ids(1).len() as u64, POOL);
    assert_eq!(net.submit(1, &transaction), Ok(Submission::Pending), "the same bytes, a little later");
}

#[test]
fn gossip_beyond_the_pool_is_dropped_and_counted() {
    let mut net = small_pools();
    net.lose(|_, _, _| true);
    for sender in 1..=20 {
        let batch = (0..20).map(|nonce| of_sender(&net, sender, nonce)).collect();
        net.handle(2, [Event::Gossiped(batch)]);
    }
    let stands = net.overview(2);
    assert_eq!(stands.mempool.transactions, POOL);
    assert_eq!(stands.counters.gossip_refused, 20 * 20 - POOL);
}

/// R5: a full pool does not prevent completing a proposal.
#[test]
fn a_proposal_is_completed_although_the_pool_is_full() {
    let mut net = small_pools();
    net.lose(|_, to, parcel| parcel.is_gossip() && to == id(3));
    for sender in 11..=14 {
        let batch = (0..QUOTA).map(|nonce| of_sender(&net, sender, nonce)).collect();
        net.handle(3, [Event::Gossiped(batch)]);
    }
    assert_eq!(net.overview(3).mempool.transactions, POOL);
    net.submit(0, &of_sender(&net, 1, 0)).unwrap();
    net.pass(Duration::from_millis(500));
    assert_eq!(net.height(3), 1);
}

/// R7: votes for far heights, and proposals that never become complete.
#[test]
fn slots_and_examinations_stay_within_the_window() {
    let mut net = Net::of(4);
    let window = net.genesis.consensus().window;
    net.lose(|_, _, _| true);
    let blocks = net.chain_of(100);
    for block in &blocks {
        let message = net.proposal(block);
        net.handle(1, [Event::Consensus { from: id(0), message }]);
        for member in [0, 2, 3] {
            let message = net.check(id(member), net.commit_vote(member, block));
            net.handle(1, [Event::Consensus { from: id(member), message }]);
        }
    }
    let stands = net.overview(1);
    assert_eq!(stands.pbft.slots.len() as u64, 2 * window);
    assert!(stands.examining as u64 <= 2 * window && stands.in_flight as u64 <= 2 * window);
}

/// A member may send any number of requests. Each answer has its limit, and no state is kept.
#[test]
fn requests_leave_no_state_behind() {
    let mut net = Net::of(4);
    net.commit_each(0..3);
    let before = format!("{:?}", net.overview(1));
    for number in 0..200 {
        let asks = [
            FetchRequest::Transactions {
                block: BlockHash::from_bytes([7; 32]),
                indices: (0..1000).collect(),
            },
            FetchRequest::Blocks { from: Height(number) },
            FetchRequest::Blocks { from: Height(u64::MAX) },
        ];
        for ask in asks {
            let ticket = net.ticket();
            let effects = net.outcome(1, [Event::Asked { ticket, ask }]);
            assert!(matches!(effects.answers[..], [(_, FetchResponse::Nothing | FetchResponse::Blocks(_))]));
        }
    }
    assert_eq!(format!("{:?}", net.overview(1)), before);
}
