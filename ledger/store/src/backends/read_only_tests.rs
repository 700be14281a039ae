#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use quorate_ledger::Height;

use super::*;
use crate::backends::forgetful_disk::Random;
use crate::fixtures::{Chain, with_damaged_body};
use crate::{ForgetfulDisk, Ledger, StoreError};

/// A ledger of 14 blocks whose file and directory cannot be written: closed cleanly, or as a crash
/// leaves it.
fn written(home: &Path, crash: bool) -> (Chain, PathBuf) {
    let chain = Chain::of(14);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.fill(&mut ledger);
    ledger.make_durable().unwrap();
    if crash {
        disk.power_loss();
    }
    drop(ledger);
    let path = home.join("ledger");
    fs::write(&path, disk.contents()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    (chain, path)
}

#[test]
fn verifying_and_reading_do_not_change_the_file() {
    for crash in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let (chain, path) = written(home.path(), crash);
        let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());

        let report =
            Ledger::verify(&path, &chain.genesis, &chain.initial, Some(&chain.anchor), |_, _| ()).unwrap();
        assert_eq!(report.head.height, Height(14));
        let reader = Ledger::open_read_only(&path, &chain.genesis).unwrap();
        assert_eq!(reader.block(Height(7)).unwrap().as_ref(), Some(chain.block(7)));
        let other = Ledger::open_read_only(&path, &chain.genesis).unwrap();
        assert_eq!(other.head().unwrap(), reader.head().unwrap(), "readers do not exclude each other");
        drop((reader, other));

        let after = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
        assert!(before == after, "crash: {crash}");
    }
}

#[test]
fn a_reader_and_a_writer_exclude_each_other() {
    let home = tempfile::tempdir().unwrap();
    let (chain, path) = written(home.path(), false);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let reader = Ledger::open_read_only(&path, &chain.genesis).unwrap();
    let error = Ledger::open(&path, &chain.genesis).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(reader);
    let writer = Ledger::open(&path, &chain.genesis).unwrap();
    let error = Ledger::open_read_only(&path, &chain.genesis).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(writer);
    Ledger::open_read_only(&path, &chain.genesis).unwrap();
}

#[test]
fn verifying_a_damaged_file_again_finds_the_same_damage() {
    let home = tempfile::tempdir().unwrap();
    let (chain, path) = written(home.path(), false);
    let bytes = with_damaged_body(&chain, 2, fs::read(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        let error = Ledger::verify(&path, &chain.genesis, &chain.initial, None, |_, _| ()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
    assert!(fs::read(&path).unwrap() == bytes);
}

/// Compares the backend with a plain file, with the same calls.
#[test]
fn the_backend_behaves_like_a_writable_file() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("file");
        let content: Vec<u8> =
            (0..random.below(20_000)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        fs::write(&path, &content).unwrap();
        let ours = ReadOnlyFile::new(File::open(&path).unwrap()).unwrap();
        let disk = ForgetfulDisk::with_contents(content.clone());
        let theirs = disk.attach();
        for step in 0..60 {
            let context = format!("seed {seed}, step {step}");
            let offset = random.below(24_000) as u64;
            match random.below(6) {
                0 => {
                    ours.set_len(offset).unwrap();
                    theirs.set_len(offset).unwrap();
                }
                1..=3 => {
                    let data = vec![u8::try_from(random.below(256)).unwrap(); random.below(9_000)];
                    let (ours, theirs) = (ours.write(offset, &data), theirs.write(offset, &data));
                    assert_eq!(ours.is_ok(), theirs.is_ok(), "{context}");
                }
                _ => {
                    let (mut our, mut their) = (vec![1; random.below(9_000)], Vec::new());
                    their.resize(our.len(), 1);
                    let read = (ours.read(offset, &mut our), theirs.read(offset, &mut their));
                    assert_eq!(read.0.is_ok(), read.1.is_ok(), "{context}");
                    assert!(read.0.is_err() || our == their, "{context}");
                }
            }
            assert_eq!(ours.len().unwrap(), theirs.len().unwrap(), "{context}");
        }
        assert_eq!(fs::read(&path).unwrap(), content, "seed {seed}");
    }
}
