//! Power losses at every sync, with torn writes for all seeds, also during recovery.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use quorate_ledger::Height;

use crate::fixtures::{Chain, identity, key, row};
use crate::{ForgetfulDisk, Journal, Ledger, RowKey, StoreError};

/// Seeds tried for every sync.
const SEEDS: u64 = 6;

const BLOCKS: u64 = 14;

/// Each block changes the governance state, and every third one ends an epoch.
fn chain() -> Chain {
    Chain::with_epochs(BLOCKS, 3)
}

/// Appends the rest of the chain, and makes it durable after every third block. Returns the height
/// that was acknowledged as durable before the disk failed.
fn write_chain(chain: &Chain, ledger: &mut Ledger) -> Height {
    let mut durable = ledger.durable_head();
    for height in ledger.head().height.0 + 1..=BLOCKS {
        let block = chain.block(height).clone();
        if ledger.append(&[block], &chain.certificate(height)).is_err() {
            return durable;
        }
        if height % 3 == 0 || height == BLOCKS {
            match ledger.make_durable() {
                Ok(height) => durable = height,
                Err(_) => return durable,
            }
        }
    }
    durable
}

/// After any crash, the ledger must be a consistent prefix of the chain that contains every durable
/// block.
fn check_ledger(chain: &Chain, ledger: &Ledger, durable: Height, context: &str) {
    let report = ledger
        .reader()
        .verify(&chain.initial, None, |_, _| ())
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let head = report.head.height;
    assert!(head >= durable, "{context}: {durable} was durable, {head} is there");
    assert_eq!(ledger.durable_head(), head, "{context}");
    // Verification has compared the stored state with the blocks.
    assert_eq!(ledger.governance(), &ledger.reader().governance().unwrap(), "{context}");
    assert_eq!(ledger.governance().height(), head, "{context}");
    if head > Height(0) {
        assert_eq!(report.head.hash, chain.block(head.0).hash(), "{context}");
    }
}

#[test]
fn a_ledger_is_a_prefix_with_everything_durable_after_any_crash() {
    let chain = chain();
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    let created = disk.syncs();
    assert_eq!(write_chain(&chain, &mut ledger), Height(BLOCKS));
    let syncs = disk.syncs() - created;
    assert!(syncs >= 10, "{syncs} syncs to cut at");

    for cut in 0..syncs {
        for seed in 0..SEEDS {
            let context = format!("cut at sync {cut}, seed {seed}");
            let disk = ForgetfulDisk::new();
            let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
            disk.cut_power_after(cut);
            let durable = write_chain(&chain, &mut ledger);
            drop(ledger);
            disk.torn_power_loss(1000 * cut + seed);

            let mut ledger = Ledger::open_on(disk.attach(), &chain.genesis)
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            check_ledger(&chain, &ledger, durable, &context);
            assert_eq!(write_chain(&chain, &mut ledger), Height(BLOCKS), "{context}");
            disk.power_loss();
            Ledger::verify_on(disk.attach(), &chain.genesis, &chain.initial, Some(&chain.anchor), |_, _| ())
                .unwrap_or_else(|error| panic!("{context}, checked afterwards: {error}"));
        }
    }
}

/// The second power loss is at each sync that opening and the first writes after it make.
#[test]
fn a_ledger_survives_a_crash_while_it_recovers_from_a_crash() {
    let chain = chain();
    for first in [0, 1, 4, 5, 7] {
        for second in 0..4 {
            for seed in 0..SEEDS {
                let context = format!("cuts at syncs {first} and {second}, seed {seed}");
                let disk = ForgetfulDisk::new();
                let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
                disk.cut_power_after(first);
                let mut durable = write_chain(&chain, &mut ledger);
                drop(ledger);
                disk.torn_power_loss(seed);

                disk.cut_power_after(second);
                if let Ok(mut ledger) = Ledger::open_on(disk.attach(), &chain.genesis) {
                    check_ledger(&chain, &ledger, durable, &context);
                    durable = durable.max(write_chain(&chain, &mut ledger));
                }
                disk.torn_power_loss(seed + 100);

                let mut ledger = Ledger::open_on(disk.attach(), &chain.genesis)
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                check_ledger(&chain, &ledger, durable, &context);
                assert_eq!(write_chain(&chain, &mut ledger), Height(BLOCKS), "{context}");
            }
        }
    }
}

#[test]
fn a_killed_process_leaves_a_ledger_that_opens() {
    let chain = chain();
    let disk = ForgetfulDisk::new();
    let mut killed = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut killed, 1..=3);
    killed.make_durable().unwrap();
    chain.append(&mut killed, 4..=6);
    let mut next = Ledger::open_on(disk.attach(), &chain.genesis).unwrap();
    check_ledger(&chain, &next, Height(3), "killed");
    drop(killed);
    assert_eq!(write_chain(&chain, &mut next), Height(BLOCKS));
}

#[test]
fn after_a_failed_sync_a_ledger_makes_nothing_durable() {
    let chain = Chain::of(BLOCKS);
    for failing in 0..2 {
        let disk = ForgetfulDisk::new();
        let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
        chain.append(&mut ledger, 1..=2);
        ledger.make_durable().unwrap();
        chain.append(&mut ledger, 3..=4);
        disk.fail_sync_after(failing);
        let error = ledger.make_durable().unwrap_err();
        assert!(matches!(error, StoreError::Failed { .. }), "{error}");
        assert!(matches!(ledger.make_durable(), Err(StoreError::Poisoned { .. })));
        let refused = ledger.append(&[chain.block(5).clone()], &chain.certificate(5));
        assert!(matches!(refused, Err(StoreError::Poisoned { .. })));
        assert_eq!(ledger.durable_head(), Height(2));
        drop(ledger);
        disk.power_loss();
        let ledger = Ledger::open_on(disk.attach(), &chain.genesis).unwrap();
        check_ledger(&chain, &ledger, Height(2), "after a failed sync");
    }
}

/// The expected journal after each write. Rows are replaced, collected and span several sectors.
fn journal_states() -> Vec<BTreeMap<RowKey, Vec<u8>>> {
    let mut states = vec![BTreeMap::new()];
    for write in 1..=10u64 {
        let mut state = states.last().unwrap().clone();
        if let Some(through) = collected(write) {
            state.retain(|key: &RowKey, _| key.height == Height(0) || key.height > through);
        }
        state.extend(rows_of(write));
        states.push(state);
    }
    states
}

fn rows_of(write: u64) -> Vec<(RowKey, Vec<u8>)> {
    let byte = u8::try_from(write).unwrap();
    vec![
        (key(0, 1, 0), vec![byte; 40]),
        (key(write, 2, byte), vec![byte; 6000]),
        (key(write.div_ceil(2), 3, 0), vec![byte; 300]),
    ]
}

fn collected(write: u64) -> Option<Height> {
    write.is_multiple_of(4).then(|| Height(write - 3))
}

/// Makes the writes after number `done`. Returns the number of the last acknowledged one.
fn write_journal(journal: &mut Journal, done: u64) -> u64 {
    for write in done + 1..=10 {
        let rows = rows_of(write);
        let rows: Vec<_> = rows.iter().map(|(key, value)| row(*key, value)).collect();
        if journal.write(&rows, collected(write)).is_err() {
            return write - 1;
        }
    }
    10
}

/// The journal must be as after the last acknowledged write, or as after the one in progress.
/// Returns which.
fn check_journal(journal: &Journal, acknowledged: u64, context: &str) -> u64 {
    let states = journal_states();
    let found: BTreeMap<RowKey, Vec<u8>> = journal.rows().unwrap().into_iter().collect();
    let is = |write: u64| usize::try_from(write).is_ok_and(|write| states.get(write) == Some(&found));
    [acknowledged + 1, acknowledged]
        .into_iter()
        .find(|write| is(*write))
        .unwrap_or_else(|| panic!("{context}: neither write {acknowledged} nor the next, but {found:?}"))
}

#[test]
fn a_journal_has_every_acknowledged_write_and_no_partial_one() {
    for cut in 0..10 {
        for seed in 0..2 * SEEDS {
            let context = format!("cut at sync {cut}, seed {seed}");
            let disk = ForgetfulDisk::new();
            let mut journal = Journal::create_on(disk.attach(), &identity()).unwrap();
            disk.cut_power_after(cut);
            let acknowledged = write_journal(&mut journal, 0);
            assert_eq!(acknowledged, cut, "one sync for each write");
            drop(journal);
            disk.torn_power_loss(1000 * cut + seed);

            let mut journal = Journal::open_on(disk.attach(), &identity())
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            let found = check_journal(&journal, acknowledged, &context);
            assert_eq!(write_journal(&mut journal, found), 10, "{context}");
            disk.power_loss();
            let journal = Journal::open_on(disk.attach(), &identity()).unwrap();
            assert_eq!(check_journal(&journal, 10, &context), 10);
        }
    }
}

#[test]
fn a_journal_survives_a_crash_while_it_recovers_from_a_crash() {
    for first in 0..10 {
        for second in 0..4 {
            for seed in 0..SEEDS {
                let context = format!("cuts at syncs {first} and {second}, seed {seed}");
                let disk = ForgetfulDisk::new();
                let mut journal = Journal::create_on(disk.attach(), &identity()).unwrap();
                disk.cut_power_after(first);
                let mut acknowledged = write_journal(&mut journal, 0);
                drop(journal);
                disk.torn_power_loss(seed);

                disk.cut_power_after(second);
                if let Ok(mut journal) = Journal::open_on(disk.attach(), &identity()) {
                    let found = check_journal(&journal, acknowledged, &context);
                    acknowledged = write_journal(&mut journal, found);
                }
                disk.torn_power_loss(seed + 100);

                let journal = Journal::open_on(disk.attach(), &identity())
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                check_journal(&journal, acknowledged, &context);
            }
        }
    }
}

/// On a backend, a crash may leave an unfinished database (a file gets its name only when it is
/// complete). It must never be accepted as a journal or ledger with content, and never cause a
/// panic.
#[test]
fn a_crash_during_creation_leaves_nothing_that_looks_like_more() {
    let chain = Chain::of(0);
    for cut in 0..4 {
        for seed in 0..2 * SEEDS {
            let disk = ForgetfulDisk::new();
            disk.cut_power_after(cut);
            let created = Journal::create_on(disk.attach(), &identity()).is_ok();
            disk.torn_power_loss(seed);
            match Journal::open_on(disk.attach(), &identity()) {
                Ok(journal) => assert_eq!(journal.row_count(), 0),
                Err(error) => assert!(!created, "{error}"),
            }

            let disk = ForgetfulDisk::new();
            disk.cut_power_after(cut);
            let created = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).is_ok();
            disk.torn_power_loss(seed);
            match Ledger::open_on(disk.attach(), &chain.genesis) {
                Ok(ledger) => assert_eq!(ledger.head().height, Height(0)),
                Err(error) => assert!(!created, "{error}"),
            }
        }
    }
}

/// A repair scans the whole file, which takes minutes on a long chain. No crash may leave a ledger
/// that needs one.
#[test]
fn a_ledger_opens_after_any_crash_without_a_repair() {
    let chain = chain();
    for cut in 0..10 {
        for seed in 0..SEEDS {
            let disk = ForgetfulDisk::new();
            let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
            disk.cut_power_after(cut);
            write_chain(&chain, &mut ledger);
            drop(ledger);
            disk.torn_power_loss(seed);
            let opened = redb::Builder::new()
                .set_repair_callback(redb::RepairSession::abort)
                .create_with_backend(disk.attach());
            assert!(opened.is_ok(), "cut at sync {cut}, seed {seed}: {}", opened.unwrap_err());
        }
    }
}
