//! Damaged files: each gives a clear error, and none a panic.
#![allow(clippy::unwrap_used)]

use quorate_ledger::Height;

use crate::backends::forgetful_disk::Random;
use crate::fixtures::{Chain, identity, key, row, with_damaged_body};
use crate::{FileKind, ForgetfulDisk, Journal, Ledger, StoreError};

fn ledger_image(chain: &Chain, crash: bool) -> Vec<u8> {
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.fill(&mut ledger);
    ledger.make_durable().unwrap();
    if crash {
        disk.power_loss();
    }
    drop(ledger);
    disk.contents()
}

fn journal_image(crash: bool) -> Vec<u8> {
    let disk = ForgetfulDisk::new();
    let mut journal = Journal::create_on(disk.attach(), &identity()).unwrap();
    for height in 1..=20 {
        journal.write(&[row(key(height, 1, 1), &[7; 3000])], None).unwrap();
    }
    if crash {
        disk.power_loss();
    }
    drop(journal);
    disk.contents()
}

/// Copies of a file, each damaged in one way: bits flipped, a page zeroed, or the end cut off. Only
/// non-empty parts are flipped and zeroed; the beginning, which redb reads first, is among them.
fn damaged(image: &[u8], seed: u64) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut random = Random::new(seed);
    let used: Vec<usize> = (0..image.len().div_ceil(PAGE))
        .filter(|page| image[page * PAGE..].iter().take(PAGE).any(|byte| *byte != 0))
        .collect();
    let page = if seed.is_multiple_of(4) { 0 } else { used[random.below(used.len())] * PAGE };
    let reach = if page == 0 { 320 } else { PAGE };
    let mut copy = image.to_vec();
    match random.below(8) {
        0 => copy.truncate(random.below(image.len())),
        1 => copy[page..page + PAGE].fill(0),
        _ => {
            for _ in 0..=random.below(3) {
                copy[page + random.below(reach)] ^= 1 << random.below(8);
            }
        }
    }
    copy
}

const DAMAGED_COPIES: u64 = 250;

/// Whatever the damage, there is no panic, and a file that passes verification holds the chain.
#[test]
fn a_damaged_ledger_is_an_error_or_the_chain() {
    let chain = Chain::of(14);
    for crash in [false, true] {
        let image = ledger_image(&chain, crash);
        let (mut refused, mut found, mut harmless) = (0, 0, 0);
        for seed in 0..DAMAGED_COPIES {
            let copy = damaged(&image, seed);
            let Ok(ledger) =
                Ledger::open_on(ForgetfulDisk::with_contents(copy.clone()).attach(), &chain.genesis)
            else {
                refused += 1;
                continue;
            };
            // Readers of a running node encounter the damage during normal reads.
            let _ = ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ());
            drop(ledger);
            let disk = ForgetfulDisk::with_contents(copy);
            match Ledger::verify_on(
                disk.attach(),
                &chain.genesis,
                &chain.initial,
                Some(&chain.anchor),
                |_, _| (),
            ) {
                Err(_) => found += 1,
                Ok(report) => {
                    let height = report.head.height.0;
                    assert!(height == 14 || (crash && height == 0), "{height} with seed {seed}");
                    if height > 0 {
                        assert_eq!(report.head.hash, chain.block(height).hash(), "seed {seed}");
                    }
                    harmless += 1;
                }
            }
        }
        assert!(
            refused > 10 && found > 10 && harmless > 10,
            "the damage is varied: {refused} refused, {found} found, {harmless} harmless"
        );
    }
}

/// A journal that opens has every row. Only in a file that a crash left, damage to the newest pages
/// cannot be distinguished from a write in progress.
#[test]
fn a_damaged_journal_is_an_error_or_complete() {
    for crash in [false, true] {
        let image = journal_image(crash);
        let (mut refused, mut opened) = (0, 0);
        for seed in 0..DAMAGED_COPIES {
            let disk = ForgetfulDisk::with_contents(damaged(&image, seed));
            let Ok(journal) = Journal::open_on(disk.attach(), &identity()) else {
                refused += 1;
                continue;
            };
            opened += 1;
            let rows = journal.rows().unwrap();
            assert!(rows.len() == 20 || (crash && rows.len() == 19), "{} with seed {seed}", rows.len());
            for (height, (found, value)) in (1..).zip(rows) {
                assert_eq!((found, value), (key(height, 1, 1), vec![7; 3000]), "seed {seed}");
            }
        }
        assert!(refused > 10 && opened > 10, "{refused} refused, {opened} opened");
    }
}

#[test]
fn random_bytes_are_refused() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut bytes: Vec<u8> =
            (0..random.below(20_000) + 1).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        if seed.is_multiple_of(2) {
            // After the magic number of redb.
            let image = journal_image(false);
            bytes.splice(0..bytes.len().min(9), image[..9].iter().copied());
        }
        let disk = ForgetfulDisk::with_contents(bytes);
        assert!(Journal::open_on(disk.attach(), &identity()).is_err());
        assert!(Ledger::open_on(disk.attach(), &Chain::of(0).genesis).is_err());
    }
}

/// A bit of block 5 flips. All other blocks are served as before, and the damage that the first
/// failed read found is recorded.
#[test]
fn the_other_blocks_are_served_if_one_is_damaged() {
    let chain = Chain::of(14);
    let image = with_damaged_body(&chain, 5, ledger_image(&chain, false));
    let ledger = Ledger::open_on(ForgetfulDisk::with_contents(image).attach(), &chain.genesis).unwrap();
    let reader = ledger.reader();
    assert_eq!(reader.damage(), None, "nothing was read yet");
    for height in (0..=14).filter(|height| *height != 5) {
        assert!(reader.block(Height(height)).unwrap().is_some(), "block {height}");
        assert_eq!(reader.finality_proof(Height(height)).unwrap().is_some(), height > 0);
    }
    let before = reader.blocks(Height(2), 10, usize::MAX).unwrap();
    assert_eq!(before.iter().map(|stored| stored.block.height().0).collect::<Vec<_>>(), [2, 3, 4]);
    let first = reader.damage().unwrap();
    assert_eq!(first.failed_reads, 1);
    assert!(first.reason.contains("height 5"), "{}", first.reason);

    for _ in 0..2 {
        let error = reader.blocks(Height(5), 10, usize::MAX).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { what: FileKind::Ledger, .. }), "{error}");
        assert!(matches!(reader.block(Height(5)), Err(StoreError::Damaged { .. })));
    }
    assert_eq!(reader.blocks(Height(6), 3, usize::MAX).unwrap().len(), 3);
    let known = ledger.reader().damage().unwrap();
    assert_eq!((known.reason, known.failed_reads), (first.reason, 5), "all handles share it");
}

/// An older journal makes a validator contradict its votes, so no message may suggest using one.
#[test]
fn the_remedy_for_a_damaged_file_depends_on_its_kind() {
    let damaged = |what| {
        let reason = "a page".to_owned();
        StoreError::Damaged { path: "data/file".into(), what, reason }.to_string()
    };
    let missing = |what| StoreError::Missing { path: "data/file".into(), what }.to_string();
    assert!(damaged(FileKind::Ledger).contains("quorate ledger import"));
    for text in [damaged(FileKind::Journal), missing(FileKind::Journal)] {
        assert!(!text.contains("restore") && !text.contains("import"), "{text}");
        assert!(text.contains("an older copy must never take its place"), "{text}");
    }
}
