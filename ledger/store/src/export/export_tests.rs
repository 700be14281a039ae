#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use quorate_ledger::{Block, ChainId, Height, encode};
use tempfile::TempDir;

use super::range::{CertifiedRange, RangeBuilder};
use super::reader::ExportReader;
use super::record::{HEAD_BYTES, MAX_RECORD_BYTES, head_of};
use super::writer::ExportWriter;
use crate::error::StoreError;
use crate::fixtures::Chain;

/// Ranges of different lengths: one certificate for the first block, one for the next two, and so
/// on.
fn ranges(chain: &Chain) -> Vec<CertifiedRange> {
    let mut ranges = RangeBuilder::default();
    let certified = |height: u64| [1, 3, 6, 10, 15, 21].contains(&height);
    let each = chain.blocks.iter().filter_map(|block| {
        let certificate = certified(block.height().0).then(|| chain.certificate(block.height().0));
        ranges.push(block.clone(), certificate)
    });
    each.collect()
}

fn written(chain: &Chain) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chain.export");
    let (mut writer, cut) = opened(&path, chain).unwrap();
    assert_eq!((writer.head().height, cut), (Height(0), 0));
    for range in ranges(chain) {
        writer.write(range).unwrap();
    }
    writer.sync().unwrap();
    (directory, path)
}

fn opened(path: &Path, chain: &Chain) -> Result<(ExportWriter, u64), StoreError> {
    ExportWriter::open(path, &chain.genesis, &chain.initial, &chain.anchor, |_, _| {})
}

fn read(path: &Path, chain: &Chain) -> Result<Vec<CertifiedRange>, StoreError> {
    ExportReader::open(path, &chain.genesis)?.collect()
}

/// Reads and verifies everything.
fn proven(path: &Path, chain: &Chain) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    for range in read(path, chain).map_err(|error| error.to_string())? {
        range.verify(&chain.anchor)?;
        blocks.extend(range.blocks);
    }
    Ok(blocks)
}

#[test]
fn a_written_export_is_read_and_verified() {
    let chain = Chain::of(15);
    let (_directory, path) = written(&chain);
    assert_eq!(read(&path, &chain).unwrap(), ranges(&chain));
    assert_eq!(proven(&path, &chain).unwrap(), chain.blocks);
}

/// A change of any byte is detected, by the format, the links, the bodies or the signatures.
#[test]
fn a_changed_byte_anywhere_is_detected() {
    let chain = Chain::of(3);
    let (_directory, path) = written(&chain);
    let bytes = std::fs::read(&path).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        std::fs::write(&path, &changed).unwrap();
        let found = proven(&path, &chain);
        assert!(found.is_err(), "byte {place} of {}: {} blocks", bytes.len(), found.unwrap().len());
    }
}

/// An export that is cut anywhere continues after its last complete range, and in the end is the
/// same as one that was never interrupted.
#[test]
fn an_interrupted_export_continues_after_its_last_complete_run() {
    let chain = Chain::of(15);
    let (_directory, path) = written(&chain);
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(13) {
        for unwritten in [0, 8, 100] {
            let end = [&whole[..length], &vec![0; unwritten]].concat();
            std::fs::write(&path, &end).unwrap();
            let again = opened(&path, &chain);
            if length < HEAD_BYTES && unwritten > 0 {
                // It may be a file of another program.
                assert!(matches!(
                    again,
                    Err(StoreError::Foreign { .. }
                        | StoreError::Format { .. }
                        | StoreError::OtherChain { .. })
                ));
                continue;
            }
            let (mut writer, cut) = again.unwrap();
            let kept = std::fs::metadata(&path).unwrap().len();
            assert!(cut + kept >= end.len() as u64, "{cut} cut, {kept} kept of {}", end.len());
            for range in ranges(&chain) {
                writer.write(range).unwrap();
            }
            writer.sync().unwrap();
            assert!(std::fs::read(&path).unwrap() == whole, "cut at {length}, {unwritten} unwritten");
        }
    }
}

#[test]
fn damage_before_the_end_is_not_cut_off() {
    let chain = Chain::of(15);
    let (_directory, path) = written(&chain);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEAD_BYTES + 100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = opened(&path, &chain).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_file_that_is_not_an_export_of_this_chain_stays_unchanged() {
    let chain = Chain::of(3);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("precious");
    let mut other = head_of(&ChainId::from_bytes([9; 32]));
    other[9] = 2;
    for precious in [b"my letters".to_vec(), b"x".repeat(5000), head_of(&ChainId::from_bytes([9; 32])), other]
    {
        std::fs::write(&path, &precious).unwrap();
        let error = opened(&path, &chain).unwrap_err();
        assert!(!matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), precious);
        assert!(ExportReader::open(&path, &chain.genesis).is_err());
    }
    let missing = ExportReader::open(&directory.path().join("none"), &chain.genesis).unwrap_err();
    assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
}

#[test]
fn a_file_has_one_writer() {
    let chain = Chain::of(1);
    let (_directory, path) = written(&chain);
    let _first = opened(&path, &chain).unwrap();
    let second = opened(&path, &chain).unwrap_err();
    assert!(matches!(second, StoreError::InUse { .. }), "{second}");
}

#[test]
fn a_run_that_does_not_follow_is_refused_and_changes_nothing() {
    let (chain, other) = (Chain::of(10), Chain::from_nonce(10, 1000));
    let (_directory, path) = written(&chain);
    let before = std::fs::read(&path).unwrap();
    let (mut writer, _) = opened(&path, &chain).unwrap();
    let range =
        |blocks: &[Block]| CertifiedRange { blocks: blocks.to_vec(), certificate: other.certificate(10) };
    let longer = Chain::of(12);
    let refused = [
        (range(&other.blocks[9..]), "fork"),
        (range(&longer.blocks[11..]), "does not follow the head"),
        (range(&longer.blocks[10..11]), "the certificate is for"),
    ];
    for (range, reason) in refused {
        let error = writer.write(range).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    writer.write(range(&[])).unwrap();
    writer.sync().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn records_with_too_large_a_length_are_refused_before_they_are_read() {
    let chain = Chain::of(1);
    let (_directory, path) = written(&chain);
    for claimed in [0, u32::try_from(MAX_RECORD_BYTES).unwrap() + 1, u32::MAX] {
        let bytes =
            [head_of(&chain.genesis.chain_id), claimed.to_be_bytes().to_vec(), vec![7; 5000]].concat();
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path, &chain).unwrap_err().to_string();
        assert!(error.contains(&format!("a record claims {claimed} bytes")), "{error}");
    }
}

/// The bytes of the smallest export, so that no change of the format is accidental.
#[test]
fn the_format_is_as_documented() {
    let chain = Chain::of(1);
    let (_directory, path) = written(&chain);
    let bytes = std::fs::read(&path).unwrap();
    let block = &chain.blocks[0];
    let (header, body, certificate) =
        (encode(block.header()), block.body().as_bytes(), encode(&chain.certificate(block.height().0)));
    let length = 4 + header.len() + 4 + body.len() + certificate.len();
    let expected = [
        b"quo-expo",
        &[0, 1][..],
        &[1; 32],
        &u32::try_from(length).unwrap().to_be_bytes(),
        &[1, 0, 0, 0],
        &header,
        &u32::try_from(body.len()).unwrap().to_le_bytes(),
        body,
        &certificate,
    ];
    assert_eq!(bytes, expected.concat());
}
