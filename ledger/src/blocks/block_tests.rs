#![allow(clippy::unwrap_used)]
use super::*;
use crate::transaction::{Payload, Transaction, TransactionLimits};
use crate::{ChainId, Epoch, Hash, MAX_TRANSACTIONS, SecretKey, TransactionError};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

fn limits() -> BlockLimits {
    BlockLimits {
        max_transactions: 3,
        max_body_bytes: 1000,
        transaction: TransactionLimits { max_bytes: 400, max_lifetime_ms: 1000 },
        empty_block_gap_ms: 500,
    }
}

fn root() -> Header {
    Header::genesis(CHAIN, Hash::from_bytes([2; 32]), Timestamp(10_000))
}

fn transaction(nonce: u64, valid_until: u64, payload: Payload) -> VerifiedTransaction {
    let key = SecretKey::from_bytes(&[5; 32]).unwrap();
    Transaction::sign(&CHAIN, &key, nonce, Timestamp(valid_until), payload).verify(&CHAIN).unwrap()
}

fn data(nonce: u64, valid_until: u64) -> VerifiedTransaction {
    transaction(nonce, valid_until, Payload::Data(vec![0; 10]))
}

fn block_of(transactions: &[VerifiedTransaction]) -> Header {
    Header::after(&root(), &Body::of(transactions), Timestamp(11_000), ReplicaId(1))
}

/// Checks a proposal as a backup does.
fn fill(header: &Header, transactions: &[VerifiedTransaction]) -> Result<Block, BlockError> {
    let ids: Vec<_> = transactions.iter().map(VerifiedTransaction::id).collect();
    BlockSkeleton::new(header.clone(), ids)?.fill(transactions, &limits())
}

#[test]
fn a_valid_block_passes_every_check() {
    let transactions = [data(1, 11_000), data(2, 12_000)];
    let header = block_of(&transactions);
    header.check_follows(&root()).unwrap();
    header.check_limits(&limits()).unwrap();
    header.check_gap(&root(), &limits()).unwrap();
    let block = fill(&header, &transactions).unwrap();
    assert_eq!(block.hash(), header.hash());
    assert_eq!(Block::new(header, Body::of(&transactions)).unwrap(), block);
}

#[test]
fn every_field_that_follows_from_the_parent_is_checked() {
    let good = block_of(&[data(1, 11_500)]);
    type Change = fn(&mut Header);
    let changes: [(&'static str, Change); 6] = [
        ("version", |h| h.version += 1),
        ("chain_id", |h| h.chain_id = ChainId::from_bytes([9; 32])),
        ("epoch", |h| h.epoch.0 += 1),
        ("height", |h| h.height.0 += 1),
        ("parent", |h| h.parent = BlockHash(Hash::ZERO)),
        ("committee", |h| h.committee = Hash::ZERO),
    ];
    for (field, change) in changes {
        let mut header = good.clone();
        change(&mut header);
        assert_eq!(header.check_follows(&root()), Err(BlockError::Field { field }));
        assert_ne!(header.hash(), good.hash(), "{field} is hashed");
    }
    let mut late = good;
    late.timestamp = root().timestamp;
    assert!(matches!(late.check_follows(&root()), Err(BlockError::Time { .. })));
}

/// The next committee does not follow from the parent. It decides what follows from this block.
#[test]
fn the_child_of_the_last_block_of_an_epoch_begins_the_next_one() {
    let next = Hash::from_bytes([3; 32]);
    let mut last = block_of(&[]);
    assert!(!last.ends_epoch());
    last.next_committee = next;
    last.check_follows(&root()).unwrap();
    assert!(last.ends_epoch());
    let child = Header::after(&last, &Body::of(&[]), Timestamp(12_000), ReplicaId(0));
    assert_eq!((child.epoch, child.committee, child.next_committee), (Epoch(1), next, next));
    child.check_follows(&last).unwrap();
    type Change = fn(&mut Header);
    let changes: [(&'static str, Change); 4] = [
        ("epoch", |h| h.epoch = Epoch(0)),
        ("epoch", |h| h.epoch = Epoch(2)),
        ("committee", |h| h.committee = root().committee),
        ("committee", |h| h.committee = Hash::ZERO),
    ];
    for (field, change) in changes {
        let mut header = child.clone();
        change(&mut header);
        assert_eq!(header.check_follows(&last), Err(BlockError::Field { field }), "{header:?}");
    }
    last.epoch = Epoch(u64::MAX);
    let child = Header::after(&last, &Body::of(&[]), Timestamp(12_000), ReplicaId(0));
    assert_eq!(child.check_follows(&last), Err(BlockError::Field { field: "epoch" }), "no epoch follows");
}

#[test]
fn a_clock_behind_the_parent_still_gives_increasing_time() {
    let header = Header::after(&root(), &Body::of(&[]), Timestamp(0), ReplicaId(0));
    assert_eq!(header.timestamp, Timestamp(10_001));
}

#[test]
fn lifetimes_hold_at_both_ends_to_the_millisecond() {
    for (valid_until, fits) in [(10_999, false), (11_000, true), (12_000, true), (12_001, false)] {
        let transactions = [data(1, valid_until)];
        let result = fill(&block_of(&transactions), &transactions);
        assert_eq!(result.is_ok(), fits, "valid until {valid_until}: {result:?}");
    }
}

#[test]
fn limits_are_checked_before_a_body_is_fetched() {
    let four: Vec<_> = (0..4).map(|nonce| data(nonce, 11_500)).collect();
    assert!(matches!(
        block_of(&four).check_limits(&limits()),
        Err(BlockError::Limit { what: "transaction_count", got: 4, limit: 3 })
    ));
    let long = [transaction(1, 11_500, Payload::Data(vec![0; 900]))];
    assert!(matches!(
        block_of(&long).check_limits(&limits()),
        Err(BlockError::Limit { what: "body_bytes", .. })
    ));
    assert!(matches!(
        fill(&block_of(&long), &long),
        Err(BlockError::Transaction { error: TransactionError::TooLarge { bytes: 1018, limit: 400 }, .. })
    ));
}

#[test]
fn an_empty_block_needs_its_gap() {
    let empty = |now| Header::after(&root(), &Body::of(&[]), Timestamp(now), ReplicaId(0));
    assert_eq!(empty(10_499).check_gap(&root(), &limits()), Err(BlockError::Empty { gap_ms: 500 }));
    empty(10_500).check_gap(&root(), &limits()).unwrap();
}

#[test]
fn a_body_names_its_governance_transactions() {
    let operation = transaction(2, 11_500, Payload::Governance(vec![1]));
    let body = Body::of(&[data(1, 11_500), operation.clone(), data(3, 11_500)]);
    let found: Vec<_> = body.governance().collect();
    assert_eq!(found, [(1, operation.transaction().clone())]);
    assert_eq!(Body::of(&[data(1, 11_500)]).governance().count(), 0);
}

#[test]
fn repetitions_are_refused_in_proposals() {
    let twice = [data(1, 11_500), data(1, 11_500)];
    assert_eq!(fill(&block_of(&twice), &twice), Err(BlockError::Repeated(twice[0].id())));
}

#[test]
fn transactions_that_the_header_does_not_commit_to_are_refused() {
    let header = block_of(&[data(1, 11_500), data(2, 11_500)]);
    for other in [vec![data(2, 11_500), data(1, 11_500)], vec![data(1, 11_500)], vec![]] {
        assert!(matches!(fill(&header, &other), Err(BlockError::Body { .. })));
        let skeleton =
            BlockSkeleton::new(header.clone(), vec![data(1, 11_500).id(), data(2, 11_500).id()]).unwrap();
        assert!(skeleton.fill(&other, &limits()).is_err(), "others than the skeleton names");
        assert!(Block::new(header.clone(), Body::of(&other)).is_err());
    }
    let mut wrong_size = header;
    wrong_size.body_bytes += 1;
    assert_eq!(
        fill(&wrong_size, &[data(1, 11_500), data(2, 11_500)]),
        Err(BlockError::Body { field: "body_bytes" })
    );
}

#[test]
fn a_body_reads_back_as_it_was_written() {
    let transactions = [data(1, 1), transaction(2, 2, Payload::Data(Vec::new())), data(3, 3)];
    let body = Body::of(&transactions);
    let read = Body::decode(body.as_bytes().to_vec()).unwrap();
    assert_eq!(read, body);
    let originals: Vec<Transaction> = transactions.iter().map(|t| t.transaction().clone()).collect();
    assert_eq!(read.transactions().collect::<Vec<_>>(), originals);
    assert_eq!(read.transaction(1).as_ref(), Some(&originals[1]));
    assert_eq!(read.transaction(3), None);
    assert_eq!(read.ids()[2], transactions[2].id());
}

#[test]
fn damaged_bodies_do_not_decode() {
    let bytes = Body::of(&[data(1, 1)]).as_bytes().to_vec();
    for length in 0..bytes.len() {
        assert!(Body::decode(bytes[..length].to_vec()).is_err(), "cut at {length}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(Body::decode(longer).is_err());
    let mut many = bytes;
    many[..4].copy_from_slice(&(MAX_TRANSACTIONS + 1).to_le_bytes());
    assert!(Body::decode(many).is_err());
}
