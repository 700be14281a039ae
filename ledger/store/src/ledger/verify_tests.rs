#![allow(clippy::unwrap_used)]

use quorate_ledger::{CommitCertificate, Height, encode};
use redb::WriteTransaction;

use crate::database::storage::Durable;
use crate::database::tables::{BODIES, CERTIFICATES, HEADERS, HEIGHTS, Segment, index_table};
use crate::error::Fault;
use crate::fixtures::{Chain, transaction};
use crate::{ForgetfulDisk, Head, Ledger, Verification};

#[test]
fn verification_counts_and_reports_every_height() {
    let chain = Chain::of(9);
    let disk = ForgetfulDisk::new();
    let mut ledger = Ledger::create_on(disk.attach(), &chain.genesis, &chain.initial).unwrap();
    chain.fill(&mut ledger);
    drop(ledger);
    let mut seen = Vec::new();
    let progress = |height: Height, head: Height| seen.push((height.0, head.0));
    let report =
        Ledger::verify_on(disk.attach(), &chain.genesis, &chain.initial, Some(&chain.anchor), progress)
            .unwrap();
    assert_eq!(seen, (0..=9).map(|height| (height, 9)).collect::<Vec<_>>());
    assert_eq!(
        report,
        Verification {
            head: Head::of(chain.block(9).header()),
            earliest: Height(0),
            transactions: 9,
            certificates: 4,
        }
    );
}

/// A change of one table that the ledger itself never makes.
fn tampered(chain: &Chain, change: impl FnOnce(&WriteTransaction) -> Result<(), Fault>) -> String {
    let ledger = chain.ledger();
    ledger.storage.write(Durable::Later, change).unwrap();
    ledger.reader().verify(&chain.initial, Some(&chain.anchor), |_, _| ()).unwrap_err().to_string()
}

fn assert_contains(message: &str, expected: &str) {
    assert!(message.contains(expected), "{message}");
}

#[test]
fn verification_finds_blocks_of_another_chain_and_missing_ones() {
    let chain = Chain::of(7);
    let other = Chain::from_nonce(7, 1_000_000);
    let found = tampered(&chain, |t| {
        t.open_table(HEADERS)?.insert(3, encode(other.block(3).header()).as_slice())?;
        Ok(())
    });
    assert_contains(&found, "block 3: parent of the header");
    let found = tampered(&chain, |t| {
        t.open_table(BODIES)?.insert(4, other.block(4).body().as_bytes())?;
        Ok(())
    });
    assert_contains(&found, "the body at height 4");
    let found = tampered(&chain, |t| {
        t.open_table(BODIES)?.remove(5)?;
        Ok(())
    });
    assert_contains(&found, "the body at height 5 is missing");
}

#[test]
fn verification_finds_wrong_forged_and_missing_certificates() {
    let chain = Chain::of(7);
    let other = Chain::from_nonce(7, 1_000_000);
    let good = chain.certificate(4);
    let forged = CommitCertificate::claimed(*good.ballot(), chain.certificate(7).votes().clone());
    let found = tampered(&chain, |t| {
        t.open_table(CERTIFICATES)?.insert(4, encode(&other.certificate(4)).as_slice())?;
        Ok(())
    });
    assert_contains(&found, "the certificate at height 4 is for another block");
    let found = tampered(&chain, |t| {
        t.open_table(CERTIFICATES)?.insert(4, encode(&forged).as_slice())?;
        Ok(())
    });
    assert_contains(&found, "the certificate at height 4: the signature of member 0 does not verify");
    let found = tampered(&chain, |t| {
        t.open_table(CERTIFICATES)?.remove(7)?;
        Ok(())
    });
    assert_contains(&found, "no certificate finalises the head 7");
}

#[test]
fn verification_finds_every_wrong_entry_of_an_index() {
    let chain = Chain::of(7);
    let found = tampered(&chain, |t| {
        t.open_table(HEIGHTS)?.remove(chain.block(6).hash().as_bytes())?;
        Ok(())
    });
    assert_contains(&found, "block 6 is not found by its hash");
    let found = tampered(&chain, |t| {
        let name = Segment::of(Height(5)).table_name();
        t.open_table(index_table(&name))?.insert(chain.ids(5)[1].as_bytes(), (5, 0))?;
        Ok(())
    });
    assert_contains(&found, "is not in the index with its place");
    let found = tampered(&chain, |t| {
        let name = Segment::of(Height(5)).table_name();
        let stray = transaction(&chain.keys[0], 77).id();
        t.open_table(index_table(&name))?.insert(stray.as_bytes(), (5, 0))?;
        Ok(())
    });
    assert_contains(&found, "8 indexed transactions where the chain has 7");
}

/// A bit of a header flips, and it still decodes. No proof and no receipt contains it: its hash is
/// not the certified one.
#[test]
fn a_damaged_header_is_in_no_proof() {
    let chain = Chain::of(7);
    let ledger = chain.ledger();
    let height = (2..7).find(|height| !chain.block(*height).body().ids().is_empty()).unwrap();
    let mut damaged = chain.block(height).header().clone();
    damaged.body_bytes ^= 1;
    let change = |t: &WriteTransaction| {
        t.open_table(HEADERS)?.insert(height, encode(&damaged).as_slice())?;
        Ok(())
    };
    ledger.storage.write(Durable::Later, change).unwrap();
    let reader = ledger.reader();
    let id = chain.block(height).body().ids()[0];
    let proof = reader.finality_proof(Height(height)).unwrap_err();
    let receipt = reader.receipt(&id).unwrap_err();
    for error in [proof, receipt] {
        assert_contains(&error.to_string(), &format!("the header at height {height}"));
    }
    assert!(reader.finality_proof(Height(height + 1)).unwrap().is_some());
}

/// The blocks above are certified by the committee of the next epoch, which proves nothing here.
#[test]
fn verification_finds_an_epoch_that_ends_without_a_certificate() {
    let chain = Chain::with_epochs(3, 2);
    let mut ledger =
        Ledger::create_on(ForgetfulDisk::new().attach(), &chain.genesis, &chain.initial).unwrap();
    chain.append(&mut ledger, 1..=2);
    chain.append(&mut ledger, 3..=3);
    ledger.reader().verify(&chain.initial, None, |_, _| ()).unwrap();
    let remove = |t: &WriteTransaction| {
        t.open_table(CERTIFICATES)?.remove(2)?;
        Ok(())
    };
    ledger.storage.write(Durable::Later, remove).unwrap();
    let error = ledger.reader().verify(&chain.initial, None, |_, _| ()).unwrap_err().to_string();
    assert_contains(&error, "block 2 ends its epoch without a certificate");
}
