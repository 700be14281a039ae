//! Missing, foreign and damaged files: each gives a clear error, and none a panic.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::path::Path;

use quorate_ledger::{ChainId, Height};

use crate::disk::Random;
use crate::file::{self, FORMAT_VERSION};
use crate::fixtures::{Chain, identity, key, public_key, row, with_damaged_body};
use crate::storage::Durable;
use crate::tables::META;
use crate::{FileKind, ForgetfulDisk, Journal, JournalIdentity, Ledger, StoreError};

fn home() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn open_error(path: &Path) -> (StoreError, StoreError) {
    let chain = Chain::of(0);
    (Ledger::open(path, &chain.genesis).unwrap_err(), Journal::open(path, &identity()).unwrap_err())
}

#[test]
fn files_have_their_name_and_content() {
    let (home, chain) = (home(), Chain::of(3));
    let (ledger_path, journal_path) = (home.path().join("ledger"), home.path().join("journal"));
    let mut ledger = Ledger::create(&ledger_path, &chain.genesis).unwrap();
    chain.fill(&mut ledger);
    ledger.make_durable().unwrap();
    let mut journal = Journal::create(&journal_path, &identity()).unwrap();
    journal.write(&[row(key(1, 1, 1), b"promise")], None).unwrap();
    drop((ledger, journal));

    let mut names: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["journal", "ledger"], "no unfinished file remains");
    let ledger = Ledger::open(&ledger_path, &chain.genesis).unwrap();
    assert_eq!(ledger.durable_head(), Height(3));
    drop(ledger);
    let report = Ledger::verify(&ledger_path, &chain.genesis, Some(&chain.anchor), |_, _| ()).unwrap();
    assert_eq!(report.head.height, Height(3));
    assert_eq!(
        Journal::open(&journal_path, &identity()).unwrap().rows().unwrap(),
        [(key(1, 1, 1), b"promise".to_vec())]
    );
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let (ledger, journal) = (home.path().join("ledger"), home.path().join("journal"));
    let _ledger = Ledger::create(&ledger, &Chain::of(0).genesis).unwrap();
    let _journal = Journal::create(&journal, &identity()).unwrap();
    for path in [ledger, journal] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_missing_file_is_missing_and_is_not_made() {
    let home = home();
    let path = home.path().join("none");
    let (ledger, journal) = open_error(&path);
    assert!(matches!(ledger, StoreError::Missing { what: FileKind::Ledger, .. }));
    assert!(matches!(journal, StoreError::Missing { what: FileKind::Journal, .. }));
    assert!(journal.to_string().contains("none"), "{journal}");
    assert!(!path.exists());
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let home = home();
    let path = home.path().join("file");
    for content in [b"".as_slice(), b"precious"] {
        fs::write(&path, content).unwrap();
        let ledger = Ledger::create(&path, &Chain::of(0).genesis).unwrap_err();
        let journal = Journal::create(&path, &identity()).unwrap_err();
        assert!(matches!(ledger, StoreError::Exists { .. }), "{ledger}");
        assert!(matches!(journal, StoreError::Exists { .. }), "{journal}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    let disk = ForgetfulDisk::with_contents(b"precious".to_vec());
    let error = Journal::create_on(disk.attach(), &identity()).unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(disk.contents(), b"precious");
}

#[test]
fn files_of_an_interrupted_creation_do_not_block_a_new_one() {
    let home = home();
    let path = home.path().join("journal");
    fs::write(home.path().join("journal.unfinished"), b"half a journal").unwrap();
    assert!(matches!(Journal::open(&path, &identity()), Err(StoreError::Missing { .. })));
    drop(Journal::create(&path, &identity()).unwrap());
    Journal::open(&path, &identity()).unwrap();
}

#[test]
fn a_file_has_one_user() {
    let (home, chain) = (home(), Chain::of(0));
    let (ledger_path, journal_path) = (home.path().join("ledger"), home.path().join("journal"));
    let ledger = Ledger::create(&ledger_path, &chain.genesis).unwrap();
    let journal = Journal::create(&journal_path, &identity()).unwrap();
    let busy = Journal::open(&journal_path, &identity()).unwrap_err();
    assert!(matches!(busy, StoreError::InUse { .. }), "{busy}");
    drop(journal);
    Journal::open(&journal_path, &identity()).unwrap();

    let reader = ledger.reader();
    drop(ledger);
    let busy = Ledger::open(&ledger_path, &chain.genesis).unwrap_err();
    assert!(matches!(busy, StoreError::InUse { .. }), "a reader keeps it open: {busy}");
    drop(reader);
    Ledger::open(&ledger_path, &chain.genesis).unwrap();
}

#[test]
fn errors_name_paths_that_cannot_be_used() {
    let home = home();
    let gone = home.path().join("gone").join("journal");
    let error = Journal::create(&gone, &identity()).unwrap_err();
    assert!(matches!(error, StoreError::Access { .. }), "{error}");
    assert!(error.to_string().contains("gone"), "{error}");
    let (ledger, journal) = open_error(home.path());
    assert!(matches!(ledger, StoreError::Access { .. }), "a directory: {ledger}");
    assert!(matches!(journal, StoreError::Access { .. }), "a directory: {journal}");
}

#[cfg(unix)]
#[test]
fn an_error_names_a_directory_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o500)).unwrap();
    // The administrator may write there nevertheless, but not where the kernel shows its state.
    let denied = match fs::write(home.path().join("probe"), b"") {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => home.path(),
        _ => Path::new("/proc"),
    };
    let error = Journal::create(denied.join("journal"), &identity()).unwrap_err();
    assert!(matches!(error, StoreError::Access { .. }), "{error}");
    assert!(error.to_string().contains("journal"), "{error}");
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn errors_describe_foreign_files() {
    let home = home();
    let says = |path: &Path, expected: &str| {
        let (ledger, journal) = open_error(path);
        for error in [ledger, journal] {
            assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    };
    let path = home.path().join("empty");
    fs::write(&path, b"").unwrap();
    says(&path, "an empty file");
    for (name, content) in [("short", vec![b'x'; 5]), ("long", vec![b'x'; 100_000])] {
        let path = home.path().join(name);
        fs::write(&path, &content).unwrap();
        says(&path, "something else");
        assert_eq!(fs::read(&path).unwrap(), content, "left as it was");
    }
    let path = home.path().join("other");
    let database = redb::Database::create(&path).unwrap();
    let write = database.begin_write().unwrap();
    let table: redb::TableDefinition<'_, u8, u8> = redb::TableDefinition::new("theirs");
    write.open_table(table).unwrap().insert(1, 1).unwrap();
    write.commit().unwrap();
    drop(database);
    says(&path, "another program");
}

#[test]
fn ledger_and_journal_are_not_taken_for_each_other() {
    let (home, chain) = (home(), Chain::of(0));
    let path = home.path().join("ledger");
    drop(Ledger::create(&path, &chain.genesis).unwrap());
    let error = Journal::open(&path, &identity()).unwrap_err().to_string();
    assert!(error.contains("not a Quorate journal but a ledger"), "{error}");
    let path = home.path().join("journal");
    drop(Journal::create(&path, &identity()).unwrap());
    let error = Ledger::open(&path, &chain.genesis).unwrap_err().to_string();
    assert!(error.contains("not a Quorate ledger but a journal"), "{error}");
}

#[test]
fn another_chain_genesis_or_validator_is_refused() {
    let chain = Chain::of(0);
    let disk = ForgetfulDisk::new();
    drop(Ledger::create_on(disk.attach(), &chain.genesis).unwrap());
    let mut other = chain.genesis.clone();
    other.chain_id = ChainId::from_bytes([2; 32]);
    let error = Ledger::open_on(disk.attach(), &other).unwrap_err();
    assert!(matches!(error, StoreError::OtherChain { .. }), "{error}");
    let mut other = chain.genesis.clone();
    other.timestamp.0 += 1;
    let error = Ledger::open_on(disk.attach(), &other).unwrap_err();
    assert!(matches!(error, StoreError::OtherGenesis { .. }), "{error}");
    Ledger::open_on(disk.attach(), &chain.genesis).unwrap();

    let disk = ForgetfulDisk::new();
    drop(Journal::create_on(disk.attach(), &identity()).unwrap());
    let open = |identity: JournalIdentity| Journal::open_on(disk.attach(), &identity).map(|_| ());
    let chain_id = ChainId::from_bytes([2; 32]);
    let other = JournalIdentity { chain_id, ..identity() };
    assert!(matches!(open(other), Err(StoreError::OtherChain { found, expected, .. })
        if (found, expected) == (identity().chain_id, chain_id)));
    let validator = public_key(2);
    let other = JournalIdentity { validator, ..identity() };
    assert!(matches!(open(other), Err(StoreError::OtherValidator { found, expected, .. })
        if (found, expected) == (identity().validator, validator)));
    open(identity()).unwrap();
}

#[test]
fn another_format_version_is_refused_before_anything_is_read() {
    let disk = ForgetfulDisk::new();
    drop(Journal::create_on(disk.attach(), &identity()).unwrap());
    let (storage, _) = file::open_on(FileKind::Journal, disk.attach(), file::no_path()).unwrap();
    storage
        .write(Durable::Now, |transaction| {
            let mut meta = transaction.open_table(META)?;
            let newer = [b"quo-jour".as_slice(), &(FORMAT_VERSION + 1).to_be_bytes()].concat();
            meta.insert("format", newer.as_slice())?;
            meta.insert("identity", b"of the future".as_slice())?;
            Ok(())
        })
        .unwrap();
    drop(storage);
    let error = Journal::open_on(disk.attach(), &identity()).unwrap_err();
    assert!(
        matches!(error, StoreError::Format { found, supported, .. }
            if (found, supported) == (FORMAT_VERSION + 1, FORMAT_VERSION)),
        "{error}"
    );
}

fn ledger_image(chain: &Chain, crash: bool) -> Vec<u8> {
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis).unwrap();
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
            let _ = ledger.reader().verify(Some(&chain.anchor), |_, _| ());
            drop(ledger);
            let disk = ForgetfulDisk::with_contents(copy);
            match Ledger::verify_on(disk.attach(), &chain.genesis, Some(&chain.anchor), |_, _| ()) {
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
