//! Creating and opening files: missing, foreign and unusable ones each give a clear error.
#![allow(clippy::unwrap_used)]

use std::fs;

use quorate_ledger::{ChainId, Height};

use super::*;
use crate::fixtures::{Chain, identity, key, public_key, row};
use crate::{ForgetfulDisk, Journal, JournalIdentity, Ledger};

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
    let mut ledger = Ledger::create(&ledger_path, &chain.genesis, &chain.initial).unwrap();
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
    let report =
        Ledger::verify(&ledger_path, &chain.genesis, &chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
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
    let (home, chain) = (home(), Chain::of(0));
    let (ledger, journal) = (home.path().join("ledger"), home.path().join("journal"));
    let _ledger = Ledger::create(&ledger, &chain.genesis, &chain.initial).unwrap();
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
    let (home, chain) = (home(), Chain::of(0));
    let path = home.path().join("file");
    for content in [b"".as_slice(), b"precious"] {
        fs::write(&path, content).unwrap();
        let ledger = Ledger::create(&path, &chain.genesis, &chain.initial).unwrap_err();
        let journal = Journal::create(&path, &identity()).unwrap_err();
        assert!(matches!(ledger, StoreError::Exists { .. }), "{ledger}");
        assert!(matches!(journal, StoreError::Exists { .. }), "{journal}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    let disk = ForgetfulDisk::with_contents(b"precious");
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
    let ledger = Ledger::create(&ledger_path, &chain.genesis, &chain.initial).unwrap();
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
        Err(error) if error.kind() == ErrorKind::PermissionDenied => home.path(),
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
    drop(Ledger::create(&path, &chain.genesis, &chain.initial).unwrap());
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
    drop(Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap());
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

/// The chain of a file is read before it is known which chain was expected.
#[test]
fn a_file_says_of_which_chain_it_is() {
    let (home, chain) = (tempfile::tempdir().unwrap(), Chain::of(3));
    let (ledger, journal) = (home.path().join("ledger"), home.path().join("journal"));
    assert!(matches!(Ledger::chain_of(&ledger), Err(StoreError::Missing { .. })));
    chain.fill(&mut Ledger::create(&ledger, &chain.genesis, &chain.initial).unwrap());
    let other = JournalIdentity { chain_id: ChainId::from_bytes([2; 32]), ..identity() };
    let open = Journal::create(&journal, &other).unwrap();
    assert!(matches!(Journal::chain_of(&journal), Err(StoreError::InUse { .. })), "it is in use");
    drop(open);
    let before = (fs::read(&ledger).unwrap(), fs::read(&journal).unwrap());
    assert_eq!(Ledger::chain_of(&ledger).unwrap(), chain.genesis.chain_id);
    assert_eq!(Journal::chain_of(&journal).unwrap(), other.chain_id);
    assert_eq!((fs::read(&ledger).unwrap(), fs::read(&journal).unwrap()), before, "only read");
    assert!(matches!(Ledger::chain_of(&journal), Err(StoreError::Foreign { .. })));
    assert!(matches!(Journal::chain_of(&ledger), Err(StoreError::Foreign { .. })));
}

#[test]
fn another_format_version_is_refused_before_anything_is_read() {
    let versions = [
        (FORMAT_VERSION + 1, "or a newer one"),
        (FORMAT_VERSION - 1, "start a new network from a new genesis"),
    ];
    for (version, advice) in versions {
        let disk = ForgetfulDisk::new();
        drop(Journal::create_on(disk.attach(), &identity()).unwrap());
        let (storage, _) = open_on(FileKind::Journal, disk.attach(), no_path()).unwrap();
        let change = |transaction: &WriteTransaction| {
            let mut meta = transaction.open_table(META)?;
            let other = [b"quo-jour".as_slice(), &version.to_be_bytes()].concat();
            meta.insert("format", other.as_slice())?;
            meta.insert("identity", b"of another version".as_slice())?;
            Ok(())
        };
        storage.write(Durable::Now, change).unwrap();
        drop(storage);
        let error = Journal::open_on(disk.attach(), &identity()).unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
        assert!(
            matches!(error, StoreError::Format { found, supported, .. }
                if (found, supported) == (version, FORMAT_VERSION)),
            "{error}"
        );
    }
}
