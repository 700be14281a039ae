//! Files in the right form that prove nothing.

use super::*;

pub(super) fn files(quorum: &Quorum) -> Vec<(&'static str, String)> {
    [paths(quorum), headers(quorum), certificates(quorum), signatures(quorum)].concat()
}

/// Another transaction, or another place in the block.
fn paths(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let plain = quorum.ordered(2, 5, 0);
    // Far more transactions than any block has, so that a path of fifteen is right.
    let many = ids(20_000);
    let long = quorum.receipt(&many, 0, quorum.header(quorum.0.genesis().header(), &many), Vec::new());
    vec![
        ("path-of-fifteen", text(&long)),
        ("path-shorter", edited(&plain, |json| _ = json.path.pop())),
        ("path-longer", edited(&plain, |json| json.path.push(Hash::ZERO))),
        ("path-of-another", edited(&plain, |json| json.path[0] = Hash::ZERO)),
        ("index-of-another", edited(&plain, |json| json.index = 3)),
        ("index-beyond", edited(&plain, |json| json.index = 5)),
        ("index-beyond-largest", edited(&plain, |json| json.index = u32::MAX)),
        ("transaction-of-another", edited(&plain, |json| json.transaction = ids(9)[8])),
    ]
}

/// Headers that are not those of consecutive blocks of the chain.
fn headers(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let other = Hash::ZERO;
    vec![
        ("descendants-65", text(&quorum.ordered(2, 5, 65))),
        ("descendant-skips", text(&quorum.with_descendant(|header| header.height = header.height.next()))),
        ("descendant-stays", text(&quorum.with_descendant(|header| header.height = Height(1)))),
        ("descendant-of-another", text(&quorum.with_descendant(|header| header.parent = BlockHash(other)))),
        (
            "descendant-of-the-same-time",
            text(&quorum.with_descendant(|header| header.timestamp = header.timestamp.minus_ms(1000))),
        ),
        (
            "descendant-of-another-chain",
            text(&quorum.with_descendant(|header| header.chain_id = ChainId::from_bytes([1; 32]))),
        ),
        ("version-1", text(&quorum.altered(|header| header.version = 1))),
        ("version-3", text(&quorum.altered(|header| header.version = 3))),
        ("epoch-1", text(&quorum.altered(|header| header.epoch = Epoch(1)))),
        ("another-chain", text(&quorum.altered(|header| header.chain_id = ChainId::from_bytes([1; 32])))),
        ("another-committee", text(&quorum.altered(|header| header.committee = other))),
        ("above-the-last-of-its-epoch", text(&quorum.above_the_last_of_its_epoch())),
    ]
}

/// Certificates of another block, or of signers that are not a quorum.
fn certificates(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let plain = quorum.ordered(2, 5, 0);
    let signers = |signers: &[u16]| {
        edited(&quorum.certified(&[0, 1, 2], |_| {}), |json| {
            json.proof.certificate.signers = signers.to_vec();
        })
    };
    vec![
        (
            "certificate-of-another-height",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.height = Height(2))),
        ),
        (
            "certificate-of-another-epoch",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.epoch = Epoch(1))),
        ),
        (
            "certificate-of-another-block",
            text(&quorum.certified(&[0, 1, 2], |ballot| ballot.block = BlockHash(Hash::ZERO))),
        ),
        ("certificate-of-another-view", edited(&plain, |json| json.proof.certificate.view = 13)),
        ("signers-too-few", text(&quorum.certified(&[0, 1], |_| {}))),
        ("signers-too-many", text(&quorum.certified(&[0, 1, 2, 3], |_| {}))),
        ("signers-none", text(&quorum.certified(&[], |_| {}))),
        ("signers-twice", signers(&[0, 1, 1])),
        (
            "signers-descending",
            edited(&plain, |json| {
                json.proof.certificate.signers.reverse();
                json.proof.certificate.signatures.reverse();
            }),
        ),
        ("signers-no-member", signers(&[0, 1, 4])),
        ("signers-beyond-31", signers(&[0, 1, 31])),
        ("signers-others", signers(&[0, 1, 3])),
    ]
}

/// Certificates with signatures that are not exactly those of its signers.
fn signatures(quorum: &Quorum) -> Vec<(&'static str, String)> {
    let plain = quorum.ordered(2, 5, 0);
    let swap = |json: &mut ReceiptJson| json.proof.certificate.signatures.swap(0, 1);
    let second = ReceiptJson::from(&plain).proof.certificate.signatures[1].to_string();
    let with_second = |signature: &str| replaced(&text(&plain), &second, signature);
    vec![
        ("signatures-one-less", edited(&plain, |json| _ = json.proof.certificate.signatures.pop())),
        (
            "signatures-one-more",
            edited(&plain, |json| {
                let certificate = &mut json.proof.certificate;
                certificate.signatures.push(certificate.signatures[0]);
            }),
        ),
        ("signatures-swapped", edited(&plain, swap)),
        ("signature-high-s", with_second(&high_s(&second))),
        ("signature-of-zeros", with_second(&format!("0x{}", "0".repeat(128)))),
    ]
}

/// A signature with n - s instead of s, which also satisfies the equation of ECDSA.
fn high_s(signature: &str) -> String {
    let order = from_hex("0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
    let mut bytes = from_hex(signature).unwrap();
    let mut borrow = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(order).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        borrow = i16::from(difference < 0);
        *byte = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    to_hex(&bytes)
}
