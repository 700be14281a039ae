#![allow(clippy::unwrap_used)]
use quorate_ledger::{BlockHash, Hash, Timestamp, Transaction, TransactionId, View, decode};
use redb::ReadableTable;

use super::*;
use crate::ForgetfulDisk;
use crate::database::tables::SEGMENT_HEIGHTS;
use crate::fixtures::{Chain, transaction};

fn heights(reader: &LedgerReader) -> Vec<u64> {
    let stored = reader.blocks(Height(1), usize::MAX, usize::MAX).unwrap();
    stored.iter().map(|stored| stored.block.height().0).collect()
}

#[test]
fn a_new_ledger_holds_the_genesis() {
    let chain = Chain::of(0);
    let ledger = chain.ledger();
    let reader = ledger.reader();
    let head = Head::of(&chain.genesis);
    assert_eq!((reader.head().unwrap(), ledger.head()), (head, head));
    assert_eq!(ledger.durable_head(), Height(0));
    assert_eq!(reader.earliest().unwrap(), Height(0));
    assert_eq!(reader.header(Height(0)).unwrap().unwrap(), chain.genesis);
    assert_eq!(reader.block(Height(0)).unwrap().unwrap().body().count(), 0);
    assert_eq!(reader.height_of(&chain.genesis.hash()).unwrap(), Some(Height(0)));
    assert_eq!(reader.finality_proof(Height(0)).unwrap(), None);
    assert_eq!(reader.certified_at_or_above(Height(0)).unwrap(), None);
    assert!(reader.ids_since(Timestamp(0)).unwrap().is_empty());
}

#[test]
fn every_block_and_transaction_is_found_again_across_segments() {
    let length = 3 * SEGMENT_HEIGHTS + 1;
    let chain = Chain::of(length);
    let reader = chain.ledger().reader();
    assert_eq!(reader.head().unwrap(), Head::of(chain.block(length).header()));
    for block in &chain.blocks {
        let height = block.height();
        assert_eq!(reader.block(height).unwrap().as_ref(), Some(block));
        assert_eq!(reader.header(height).unwrap().as_ref(), Some(block.header()));
        assert_eq!(reader.height_of(&block.hash()).unwrap(), Some(height));
        for (index, id) in (0..).zip(block.body().ids()) {
            assert_eq!(reader.locate(id).unwrap(), Some((height, index)));
            let (transaction, at, place) = reader.transaction(id).unwrap().unwrap();
            assert_eq!((transaction.id(), at, place), (*id, height, index));
        }
    }
    let unknown = TransactionId::from_bytes([9; 32]);
    assert_eq!(reader.locate(&unknown).unwrap(), None);
    assert_eq!(reader.transaction(&unknown).unwrap(), None);
    assert_eq!(reader.receipt(&unknown).unwrap(), None);
    assert_eq!(reader.block(Height(length + 1)).unwrap(), None);
    assert_eq!(reader.header(Height(u64::MAX)).unwrap(), None);
    assert_eq!(reader.finality_proof(Height(length + 1)).unwrap(), None);
    assert_eq!(reader.height_of(&BlockHash(Hash::ZERO)).unwrap(), None);
}

#[test]
fn receipts_and_proofs_verify_with_and_without_a_certificate_of_their_own() {
    let chain = Chain::of(7);
    let reader = chain.ledger().reader();
    // Certificates are at heights 1, 4 and 7.
    for (height, descendants) in [(1, 0), (2, 2), (3, 1), (4, 0), (5, 2), (6, 1), (7, 0)] {
        let proof = reader.finality_proof(Height(height)).unwrap().unwrap();
        assert_eq!(proof.descendants.len(), descendants, "block {height}");
        proof.verify(&chain.anchor).unwrap();
        let own = reader.certificate(Height(height)).unwrap();
        assert_eq!(own.is_some(), descendants == 0);
        let (certified, certificate) = reader.certified_at_or_above(Height(height)).unwrap().unwrap();
        assert_eq!(certified.0, height + descendants as u64);
        assert_eq!(certificate, proof.certificate);
        for (index, id) in (0..).zip(chain.ids(height)) {
            let receipt = reader.receipt(&id).unwrap().unwrap();
            receipt.verify(&chain.anchor).unwrap();
            assert_eq!((receipt.transaction, receipt.index), (id, index));
            assert_eq!(receipt.proof, proof);
            assert_eq!(decode::<quorate_ledger::Receipt>(&encode(&receipt)).unwrap(), receipt);
        }
    }
}

#[test]
fn blocks_stop_at_the_limits_but_give_at_least_one() {
    let chain = Chain::of(6);
    let reader = chain.ledger().reader();
    let taken = |from, count, bytes| -> Vec<u64> {
        let stored = reader.blocks(Height(from), count, bytes).unwrap();
        stored.iter().map(|stored| stored.block.height().0).collect()
    };
    let bytes = |height| chain.block(height).body().as_bytes().len();
    assert_eq!(taken(2, 3, usize::MAX), [2, 3, 4]);
    assert_eq!(taken(2, 9, usize::MAX), [2, 3, 4, 5, 6]);
    assert_eq!(taken(2, 9, bytes(2) + bytes(3)), [2, 3]);
    assert_eq!(taken(2, 9, bytes(2) + bytes(3) - 1), [2]);
    assert_eq!(taken(2, 9, 0), [2], "at least one block if there is one");
    assert_eq!(taken(2, 0, 9), [0; 0]);
    assert_eq!(taken(7, 9, 9), [0; 0]);
    let certified: Vec<bool> = reader
        .blocks(Height(0), 9, usize::MAX)
        .unwrap()
        .iter()
        .map(|stored| stored.certificate.is_some())
        .collect();
    assert_eq!(certified, [false, true, false, false, true, false, true]);
}

#[test]
fn recent_ids_come_in_order_and_only_from_the_time_asked_for() {
    let chain = Chain::of(7);
    let reader = chain.ledger().reader();
    for (since, first) in [(0, 1), (1000, 1), (1001, 2), (4000, 4), (4001, 5), (7001, 8)] {
        let found = reader.ids_since(Timestamp(since)).unwrap();
        let expected: Vec<_> = (first..=7)
            .map(|height| crate::BlockIds {
                height: Height(height),
                timestamp: Timestamp(1000 * height),
                ids: chain.ids(height),
            })
            .collect();
        assert_eq!(found, expected, "since {since}");
    }
}

#[test]
fn blocks_stored_already_are_skipped() {
    let chain = Chain::of(6);
    let mut ledger = chain.ledger();
    let before = ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
    for (first, last) in [(1, 1), (2, 3), (1, 6), (6, 6)] {
        chain.append(&mut ledger, first..=last);
    }
    assert_eq!(ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap(), before);

    let mut short = Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut short, 1..=2);
    chain.append(&mut short, 1..=5);
    assert_eq!(heights(&short.reader()), [1, 2, 3, 4, 5]);
    short.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
}

/// A fork needs more than a third of the members to be faulty. Even then the ledger must refuse it.
#[test]
fn a_fork_is_refused_at_every_height() {
    let chain = Chain::of(4);
    let other = Chain::from_nonce(6, 1_000_000);
    let mut ledger = chain.ledger();
    let offer = |ledger: &mut Ledger, first: u64, last: u64| {
        let blocks: Vec<Block> = (first..=last).map(|height| other.block(height).clone()).collect();
        ledger.append(&blocks, &other.certificate(last)).unwrap_err()
    };
    for (first, last, at) in [(1, 2, 1), (3, 6, 3), (4, 4, 4), (5, 6, 4)] {
        let error = offer(&mut ledger, first, last);
        let StoreError::Fork { height, stored, offered } = error else {
            panic!("{error}");
        };
        assert_eq!((height, stored, offered), (Height(at), chain.block(at).hash(), other.block(at).hash()));
    }
    assert_eq!(heights(&ledger.reader()), [1, 2, 3, 4]);
    ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
}

#[test]
fn refused_blocks_change_nothing() {
    let chain = Chain::of(8);
    let mut ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut ledger, 1..=2);
    let blocks = |heights: &[u64]| -> Vec<Block> {
        heights.iter().map(|height| chain.block(*height).clone()).collect()
    };
    let mut refused = |heights: &[u64], certified: u64| {
        ledger.append(&blocks(heights), &chain.certificate(certified)).unwrap_err()
    };
    assert!(matches!(refused(&[], 3), StoreError::Batch { count: 0, .. }));
    assert!(matches!(refused(&[3, 4], 3), StoreError::Uncertified { .. }));
    assert!(matches!(refused(&[4], 4), StoreError::Gap { head: Height(2), got: Height(4) }));
    assert!(matches!(refused(&[3, 5], 5), StoreError::Invalid { height: Height(5), .. }));
    assert!(matches!(refused(&[3, 2], 2), StoreError::Invalid { height: Height(2), .. }));
    assert!(matches!(refused(&[4, 3], 3), StoreError::Gap { .. }));
    assert_eq!(heights(&ledger.reader()), [1, 2]);
    chain.append(&mut ledger, 3..=8);
    ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
}

/// With one more block, the first of them could not be proven final: a proof has at most 64
/// descendants.
#[test]
fn a_certificate_finalises_as_many_blocks_as_a_proof_can_carry() {
    let mut chain = Chain::of(0);
    for height in 1..=MAX_BATCH_BLOCKS as u64 + 2 {
        chain.extend(&[], Timestamp(height));
    }
    let mut ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    let over = MAX_BATCH_BLOCKS + 1;
    let error = ledger.append(&chain.blocks[..over], &chain.certificate(over as u64)).unwrap_err();
    assert!(
        matches!(error, StoreError::Batch { count, limit } if (count, limit) == (over, MAX_BATCH_BLOCKS))
    );
    chain.append(&mut ledger, 1..=MAX_BATCH_BLOCKS as u64);
    let proof = ledger.reader().finality_proof(Height(1)).unwrap().unwrap();
    assert_eq!(proof.descendants.len(), MAX_BATCH_BLOCKS - 1);
    proof.verify(&chain.anchor).unwrap();
}

#[test]
fn heights_at_the_end_of_the_numbers_do_not_overflow() {
    let chain = Chain::of(2);
    let mut ledger = chain.ledger();
    let mut header = chain.block(2).header().clone();
    header.height = Height(u64::MAX);
    let block = Block::new(header, chain.block(2).body().clone()).unwrap();
    let ballot = quorate_ledger::Ballot {
        epoch: block.header().epoch,
        view: View(0),
        height: block.height(),
        block: block.hash(),
    };
    let certificate = CommitCertificate::claimed(ballot, chain.certificate(2).votes().clone());
    let error = ledger.append(&[block.clone(), block], &certificate).unwrap_err();
    assert!(matches!(error, StoreError::Gap { .. }), "{error}");
}

#[test]
fn only_a_genesis_begins_a_ledger() {
    let chain = Chain::of(1);
    let create = |header: &Header| {
        Ledger::create_on(ForgetfulDisk::new().attach(), header, &chain.initial).unwrap_err()
    };
    assert!(matches!(create(chain.block(1).header()), StoreError::NotGenesis { height: Height(1) }));
    let mut full = chain.genesis;
    full.transaction_count = 1;
    assert!(matches!(create(&full), StoreError::NotGenesis { .. }));
}

#[test]
fn readers_see_appended_blocks_before_they_are_durable() {
    let chain = Chain::of(3);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    let reader = ledger.reader();
    let syncs = disk.syncs();
    chain.append(&mut ledger, 1..=3);
    assert_eq!(heights(&reader), [1, 2, 3]);
    assert_eq!((disk.syncs(), ledger.durable_head()), (syncs, Height(0)));
    assert_eq!(ledger.make_durable().unwrap(), Height(3));
    assert_eq!((disk.syncs(), ledger.durable_head()), (syncs + 2, Height(3)));
    assert_eq!(ledger.make_durable().unwrap(), Height(3));
    assert_eq!(disk.syncs(), syncs + 2, "nothing new, nothing to sync");
}

#[test]
fn closing_in_good_order_loses_nothing() {
    let chain = Chain::of(5);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.fill(&mut ledger);
    drop(ledger);
    disk.power_loss();
    let ledger = Ledger::open_on(disk.attach(), &chain.genesis).unwrap();
    assert_eq!(ledger.durable_head(), Height(5));
    assert_eq!(heights(&ledger.reader()), [1, 2, 3, 4, 5]);
}

/// A wrong index entry must not result in a receipt or a transaction for another id.
#[test]
fn a_wrong_index_entry_is_reported_as_damage() {
    let chain = Chain::of(5);
    let ledger = chain.ledger();
    let stray = transaction(&chain.keys[0], 77).id();
    for place in [(5, 0), (5, 9), (3, 0), (99, 0)] {
        ledger
            .storage
            .write(Durable::Later, |t| {
                let name = Segment::of(Height(5)).table_name();
                t.open_table(index_table(&name))?.insert(stray.as_bytes(), place)?;
                Ok(())
            })
            .unwrap();
        let reader = ledger.reader();
        assert!(matches!(reader.receipt(&stray), Err(StoreError::Damaged { .. })));
        assert!(matches!(reader.transaction(&stray), Err(StoreError::Damaged { .. })));
    }
}

/// Looking up one transaction skips the others, so it succeeds although another one in the block
/// does not decode.
#[test]
fn one_transaction_is_read_without_decoding_the_others() {
    let chain = Chain::of(5);
    let ledger = chain.ledger();
    let ids = chain.ids(5);
    let reader = ledger.reader();
    let all = reader.transactions(Height(5), &[1, 0, 7, u32::MAX], usize::MAX).unwrap().unwrap();
    assert_eq!(
        all.iter().map(Transaction::id).collect::<Vec<_>>(),
        [ids[1], ids[0]],
        "in the order asked for"
    );
    let one = reader.transactions(Height(5), &[1, 0], 1).unwrap().unwrap();
    assert_eq!(one.len(), 1, "at least one, however little room there is");
    assert_eq!(reader.transactions(Height(6), &[0], usize::MAX).unwrap(), None);
    assert_eq!(reader.ids(Height(5)).unwrap().unwrap(), ids);
    assert_eq!((reader.ids(Height(0)).unwrap(), reader.ids(Height(6)).unwrap()), (Some(Vec::new()), None));

    // The first transaction gets a payload of a kind that does not exist.
    ledger
        .storage
        .write(Durable::Later, |t| {
            let mut bodies = t.open_table(BODIES)?;
            let mut body = bodies.get(5)?.unwrap().value().to_vec();
            body[4 + 49] = 9;
            bodies.insert(5, body.as_slice())?;
            Ok(())
        })
        .unwrap();
    assert!(matches!(reader.block(Height(5)), Err(StoreError::Damaged { .. })));
    let (found, ..) = reader.transaction(&ids[1]).unwrap().unwrap();
    assert_eq!(found.id(), ids[1]);
    assert_eq!(reader.transactions(Height(5), &[1], usize::MAX).unwrap().unwrap(), [found]);
    assert!(matches!(reader.transactions(Height(5), &[0], usize::MAX), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_reader_goes_to_other_threads() {
    let chain = Chain::of(4);
    let ledger = chain.ledger();
    let reader = ledger.reader();
    let asked = reader.clone();
    let found = std::thread::spawn(move || asked.head().unwrap()).join().unwrap();
    assert_eq!(found, ledger.head());
    assert_eq!(found, reader.head().unwrap());
}
