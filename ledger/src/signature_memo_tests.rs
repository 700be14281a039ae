//! A memo must never make an invalid signature valid.
#![allow(clippy::unwrap_used)]

use std::cell::Cell;

use super::*;
use crate::hash::{BlockHash, Domain, tagged_hash};
use crate::{
    Ballot, CertificateError, Commit, CommitCertificate, Epoch, Height, SignatureSet, SignedError, Signers,
    VerifySignatures, View,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

fn keys() -> Vec<SecretKey> {
    let mut keys: Vec<_> = (1..=4).map(|seed| SecretKey::from_bytes(&[seed; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    keys
}

fn committee() -> Committee {
    Committee::new(Epoch(0), keys().iter().map(SecretKey::public).collect()).unwrap()
}

/// A committee with a memo, as a node has it.
struct Remembering {
    committee: Committee,
    memo: SignatureMemo,
}

impl Remembering {
    fn new() -> Self {
        Remembering { committee: committee(), memo: SignatureMemo::new(64) }
    }
}

impl VerifySignatures for Remembering {
    fn committee(&self) -> &Committee {
        &self.committee
    }

    fn verifies(&self, replica: ReplicaId, hash: &Hash, signature: &Signature) -> bool {
        self.memo.verifies(&self.committee, replica, hash, signature)
    }
}

fn ballot(height: u64) -> Ballot {
    Ballot { epoch: Epoch(0), view: View(0), height: Height(height), block: BlockHash::from_bytes([4; 32]) }
}

fn hash(number: u64) -> Hash {
    tagged_hash(Domain::Header, &[&number.to_le_bytes()])
}

/// Whether the memo has a signature, without a verification.
fn knows(memo: &SignatureMemo, hash: &Hash, key: &SecretKey, signature: &Signature) -> bool {
    memo.knows_or((*hash, key.public(), *signature), || false)
}

#[test]
fn a_good_signature_is_verified_once() {
    let memo = SignatureMemo::new(8);
    let key = &keys()[0];
    let signature = key.sign(&hash(1));
    let verifications = Cell::new(0);
    for _ in 0..3 {
        assert!(memo.knows_or((hash(1), key.public(), signature), || {
            verifications.set(verifications.get() + 1);
            key.public().parse().unwrap().verify(&hash(1), &signature)
        }));
    }
    assert_eq!(verifications.get(), 1);
}

#[test]
fn a_bad_signature_is_verified_every_time_and_leaves_no_trace() {
    let memo = SignatureMemo::new(8);
    let key = &keys()[0];
    let signature = key.sign(&hash(2));
    for _ in 0..3 {
        assert!(!memo.verifies(&committee(), ReplicaId(0), &hash(1), &signature));
    }
    assert_eq!(memo.len(), 0);
}

#[test]
fn a_memo_makes_no_invalid_signature_valid() {
    let (verifier, keys) = (Remembering::new(), keys());
    let signed = |signer: u16, height| {
        Signed::sign(&CHAIN, &keys[usize::from(signer)], ReplicaId(signer), Commit(ballot(height)))
            .into_inner()
    };
    let good = || signed(0, 1);
    // The memo has this signature, and others of the same body and of the same signer.
    for known in [good(), signed(1, 1), signed(0, 2)] {
        known.clone().verify(&CHAIN, &verifier).unwrap();
        known.verify(&CHAIN, &verifier).unwrap();
    }
    assert_eq!(verifier.memo.len(), 3);
    let bad = |claim: Signed<Commit>| {
        assert_eq!(
            claim.clone().verify(&CHAIN, &verifier).unwrap_err(),
            SignedError::BadSignature(claim.signer),
            "{claim:?}"
        );
    };
    bad(Signed { signer: ReplicaId(1), ..good() });
    bad(Signed { body: Commit(ballot(2)), ..good() });
    bad(Signed { body: Commit(Ballot { view: View(1), ..ballot(1) }), ..good() });
    bad(Signed { signature: signed(1, 1).signature, ..good() });
    for bit in 0..512 {
        let mut bytes = *good().signature.as_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Some of these are not signatures at all, which decoding detects.
        if let Ok(signature) = Signature::from_bytes(bytes) {
            bad(Signed { signature, ..good() });
        }
    }
    assert!(good().verify(&ChainId::from_bytes([2; 32]), &verifier).is_err(), "another chain");
    let unknown = Signed { signer: ReplicaId(9), ..good() };
    assert_eq!(unknown.verify(&CHAIN, &verifier).unwrap_err(), SignedError::UnknownSigner(ReplicaId(9)));
    assert_eq!(verifier.memo.len(), 3, "refused signatures are not stored");
}

#[test]
fn a_certificate_of_cached_votes_is_checked_like_any_other() {
    let (verifier, keys) = (Remembering::new(), keys());
    let sign = |signer: usize, height| keys[signer].sign(&signing_hash(&CHAIN, &Commit(ballot(height))));
    let claim = |signers: [u16; 3], signatures: [Signature; 3]| {
        let signers = Signers::of(signers.map(ReplicaId));
        CommitCertificate::claimed(ballot(1), SignatureSet::claimed(signers, signatures.to_vec()))
            .check(&CHAIN, &verifier)
    };
    for _ in 0..2 {
        assert_eq!(claim([0, 1, 2], [sign(0, 1), sign(1, 1), sign(2, 1)]), Ok(()));
        assert_eq!(verifier.memo.len(), 3);
        for (signers, signatures, wrong) in [
            ([0, 1, 3], [sign(0, 1), sign(1, 1), sign(2, 1)], CertificateError::BadSignature(ReplicaId(3))),
            ([0, 1, 2], [sign(0, 1), sign(2, 1), sign(1, 1)], CertificateError::BadSignature(ReplicaId(1))),
            ([0, 1, 2], [sign(0, 1), sign(1, 2), sign(2, 1)], CertificateError::BadSignature(ReplicaId(1))),
            ([0, 1, 9], [sign(0, 1), sign(1, 1), sign(2, 1)], CertificateError::UnknownSigner),
        ] {
            assert_eq!(claim(signers, signatures), Err(wrong), "{signers:?}");
        }
        assert_eq!(verifier.memo.len(), 3);
    }
}

#[test]
fn a_signature_that_was_made_with_the_memo_is_not_verified() {
    let (memo, key) = (SignatureMemo::new(8), &keys()[0]);
    let signed = memo.sign(&CHAIN, key, ReplicaId(0), Commit(ballot(1)));
    let same = Signed::sign(&CHAIN, key, ReplicaId(0), Commit(ballot(1)));
    assert_eq!(signed, same, "the memo does not change the signature");
    let [of_one, of_two] = [1, 2].map(|height| signing_hash(&CHAIN, &Commit(ballot(height))));
    assert!(knows(&memo, &of_one, key, &signed.signature));
    assert!(!knows(&memo, &of_two, key, &signed.signature));
    assert!(!knows(&memo, &of_one, &keys()[1], &signed.signature));
    assert!(memo.verifies(&committee(), ReplicaId(0), &of_one, &signed.signature));
    assert!(!memo.verifies(&committee(), ReplicaId(1), &of_one, &signed.signature));
    assert!(!memo.verifies(&committee(), ReplicaId(9), &of_one, &signed.signature));
    assert_eq!(memo.len(), 1);
}

#[test]
fn a_memo_stays_within_its_capacity_and_drops_the_oldest() {
    for (asked, most) in [(0, 2), (1, 2), (2, 2), (5, 5), (6, 6)] {
        let memo = SignatureMemo::new(asked);
        let key = &keys()[0];
        let signature = key.sign(&hash(0));
        for number in 0..20 {
            memo.knows_or((hash(number), key.public(), signature), || true);
            assert!(memo.len() <= most, "{} of {asked}", memo.len());
            let oldest_certain = (number + 1).saturating_sub(most as u64 / 2);
            assert!((oldest_certain..=number).all(|recent| knows(&memo, &hash(recent), key, &signature)));
        }
        assert!(!knows(&memo, &hash(0), key, &signature));
    }
}
