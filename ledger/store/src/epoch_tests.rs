//! Ledgers and exports of chains with several epochs.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use quorate_ledger::{Block, ChainAnchor, Epoch, Height};

use crate::error::StoreError;
use crate::export::range::CertifiedRange;
use crate::export::reader::ExportReader;
use crate::export::writer::ExportWriter;
use crate::fixtures::Chain;
use crate::{ForgetfulDisk, Ledger};

/// Epochs 0 to 3: heights 1 to 3, 4 to 6, 7 to 9, and 10.
fn chain() -> Chain {
    Chain::with_epochs(10, 3)
}

/// The ends of the certified ranges.
const CERTIFIED: [u64; 5] = [2, 3, 6, 9, 10];

fn ranges(chain: &Chain) -> Vec<CertifiedRange> {
    let mut first = 1;
    let range = |last| {
        let blocks = chain.blocks[first - 1..usize::try_from(last).unwrap()].to_vec();
        first += blocks.len();
        CertifiedRange { blocks, certificate: chain.certificate(last) }
    };
    CERTIFIED.into_iter().map(range).collect()
}

fn ledger(chain: &Chain) -> Ledger {
    let mut ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    for range in ranges(chain) {
        ledger.append(&range.blocks, &range.certificate).unwrap();
    }
    ledger
}

fn verified(ledger: &Ledger, chain: &Chain, anchor: &ChainAnchor) -> Result<(), StoreError> {
    ledger.reader().verify(&chain.initial, Some(anchor), |_, _| ()).map(|_| ())
}

#[test]
fn a_ledger_is_verified_across_epochs_with_the_genesis_alone() {
    let chain = chain();
    let ledger = ledger(&chain);
    for known in [1, 4, 7, 10] {
        verified(&ledger, &chain, &chain.anchor_up_to(known)).unwrap();
    }
    ledger.reader().verify(&chain.initial, None, |_, _| ()).unwrap();
}

#[test]
fn the_anchor_decides_where_an_epoch_ends() {
    let chain = chain();
    let ledger = ledger(&chain);
    // The proofs of a chain with the same keys and longer epochs.
    let other = Chain::with_epochs(10, 4);
    let error = verified(&ledger, &chain, &other.anchor_up_to(10)).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { reason, .. } if reason.starts_with("block 3: ")),
        "{error}"
    );
}

#[test]
fn the_last_block_of_an_epoch_needs_its_own_certificate() {
    let chain = chain();
    let mut ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    let error = ledger.append(&chain.blocks[..4], &chain.certificate(4)).unwrap_err();
    assert!(matches!(error, StoreError::EpochEnd { height: Height(3) }) && error.is_refusal(), "{error}");
    assert_eq!(ledger.head().height, Height(0));
}

fn opened(path: &Path, chain: &Chain, anchor: &ChainAnchor) -> Result<(ExportWriter, u64), StoreError> {
    ExportWriter::open(path, &chain.genesis, &chain.initial, anchor, |_, _| {})
}

#[test]
fn an_export_is_verified_across_epochs_as_far_as_the_anchor_goes() {
    let chain = chain();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chain.export");
    let (mut writer, _) = opened(&path, &chain, &chain.anchor).unwrap();
    let over = CertifiedRange { blocks: chain.blocks[..4].to_vec(), certificate: chain.certificate(4) };
    assert!(matches!(writer.write(over).unwrap_err(), StoreError::EpochEnd { height: Height(3) }));
    ranges(&chain).into_iter().for_each(|range| writer.write(range).unwrap());
    writer.sync().unwrap();
    drop(writer);

    let read: Result<Vec<CertifiedRange>, _> = ExportReader::open(&path, &chain.genesis).unwrap().collect();
    let read = read.unwrap();
    assert_eq!(read, ranges(&chain));
    for (known, proven) in [(3, 2), (6, 3), (9, 4), (10, 5)] {
        let anchor = chain.anchor_up_to(known);
        let verdicts: Vec<_> = read.iter().map(|range| range.verify(&anchor)).collect();
        assert!(verdicts[..proven].iter().all(Result::is_ok), "{verdicts:?}");
        assert!(verdicts[proven..].iter().all(|verdict| verdict.as_ref().unwrap_err().contains("unproven")));
    }
    // Continuing it executes the blocks, so the genesis is sufficient.
    let (writer, cut) = opened(&path, &chain, &chain.anchor).unwrap();
    assert_eq!((writer.head().height, cut), (Height(10), 0));
    assert_eq!(writer.anchor(), &chain.anchor_up_to(10));
}

/// The committee of an earlier epoch signs a block above its epoch.
#[test]
fn votes_of_an_ended_epoch_prove_no_later_block() {
    let chain = chain();
    let anchor = chain.anchor_up_to(10);
    let header = quorate_ledger::Header {
        epoch: Epoch(0),
        committee: chain.genesis.committee,
        next_committee: chain.genesis.committee,
        ..chain.block(5).header().clone()
    };
    let block = Block::new(header, chain.block(5).body().clone()).unwrap();
    let certificate = chain.certificate_of(&block);
    let range = CertifiedRange { blocks: vec![block], certificate };
    let error = range.verify(&anchor).unwrap_err();
    assert!(error.contains("claims height 5 in epoch 0, which has heights 0 to 3"), "{error}");
}
