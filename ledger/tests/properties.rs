//! Properties of all values and all bytes: each value has one encoding and one text, and no input
//! makes a decoder or a verifier panic.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::LazyLock;

use borsh::{BorshDeserialize, BorshSerialize};
use proptest::collection::vec;
use proptest::prelude::{
    Just, ProptestConfig, Strategy, TestCaseError, any, prop_assert, prop_assert_eq, proptest,
};
use proptest::test_runner::TestCaseResult;
use quorate_ledger::{
    Ballot, BlockHash, Body, ChainAnchor, ChainId, Commit, CommitCertificate, Committee, Epoch, EpochProof,
    FinalityProof, Hash, Header, Height, MerklePath, Payload, PublicKey, Receipt, ReplicaId, SecretKey,
    Signature, SignatureSet, Signed, Signers, Timestamp, Transaction, TransactionId, VerifiedTransaction,
    View, decode, encode, from_hex, merkle_root, to_hex,
};

use values::{
    ballot, certificate, edited, edits, epoch_proof, finality_proof, hash, header, path, payload, public_key,
    receipt, signature, signature_set, signed_commit, transaction,
};

mod values;

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

/// Failing cases become separate tests, not files of seeds.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// The value decodes from its own bytes, and from no others.
fn has_one_encoding<T>(value: &T) -> TestCaseResult
where
    T: BorshSerialize + BorshDeserialize + PartialEq + Debug,
{
    let mut bytes = encode(value);
    let read: T = decode(&bytes).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(&read, value);
    prop_assert_eq!(&encode(&read), &bytes);
    prop_assert!(decode::<T>(&bytes[..bytes.len() - 1]).is_err(), "a missing byte was not missed");
    bytes.push(0);
    prop_assert!(decode::<T>(&bytes).is_err(), "a byte too many was taken");
    Ok(())
}

/// Decoding any bytes terminates, and a decoded value encodes to these bytes.
fn is_canonical_or_refused<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> TestCaseResult {
    if let Ok(value) = decode::<T>(bytes) {
        prop_assert_eq!(encode(&value), bytes);
    }
    Ok(())
}

fn no_type_takes_other_bytes(bytes: &[u8]) -> TestCaseResult {
    is_canonical_or_refused::<Hash>(bytes)?;
    is_canonical_or_refused::<PublicKey>(bytes)?;
    is_canonical_or_refused::<Signature>(bytes)?;
    is_canonical_or_refused::<Payload>(bytes)?;
    is_canonical_or_refused::<Transaction>(bytes)?;
    is_canonical_or_refused::<Header>(bytes)?;
    is_canonical_or_refused::<Ballot>(bytes)?;
    is_canonical_or_refused::<Signed<Commit>>(bytes)?;
    is_canonical_or_refused::<Signers>(bytes)?;
    is_canonical_or_refused::<SignatureSet>(bytes)?;
    is_canonical_or_refused::<CommitCertificate>(bytes)?;
    is_canonical_or_refused::<MerklePath>(bytes)?;
    is_canonical_or_refused::<FinalityProof>(bytes)?;
    is_canonical_or_refused::<Receipt>(bytes)?;
    is_canonical_or_refused::<EpochProof>(bytes)?;
    body_is_canonical_or_refused(bytes)
}

fn body_is_canonical_or_refused(bytes: &[u8]) -> TestCaseResult {
    let Ok(body) = Body::decode(bytes.to_vec()) else {
        return Ok(());
    };
    prop_assert_eq!(body.as_bytes(), bytes);
    prop_assert_eq!(body.transaction_bytes() as usize + 4, bytes.len());
    let transactions: Vec<Transaction> = body.transactions().collect();
    prop_assert_eq!(encode(&transactions), bytes);
    let ids: Vec<TransactionId> = transactions.iter().map(Transaction::id).collect();
    prop_assert_eq!(body.ids(), ids);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn small_values_have_one_encoding(
        hash in hash(),
        key in public_key(),
        signature in signature(),
        payload in payload(),
        header in header(),
        ballot in ballot(),
        path in path(),
    ) {
        has_one_encoding(&hash)?;
        has_one_encoding(&key)?;
        has_one_encoding(&signature)?;
        has_one_encoding(&payload)?;
        has_one_encoding(&header)?;
        has_one_encoding(&ballot)?;
        has_one_encoding(&path)?;
        prop_assert_eq!(encode(&header).len(), 196);
        prop_assert_eq!(encode(&ballot).len(), 56);
    }

    #[test]
    fn transactions_have_one_encoding(transaction in transaction()) {
        has_one_encoding(&transaction)?;
        prop_assert_eq!(transaction.encoded_len(), transaction.to_bytes().len() as u64);
        prop_assert_eq!(transaction.id(), Transaction::id_of(&transaction.to_bytes()));
    }

    #[test]
    fn claims_have_one_encoding(commit in signed_commit(), set in signature_set(), certificate in certificate()) {
        has_one_encoding(&commit)?;
        has_one_encoding(&set)?;
        has_one_encoding(&set.signers())?;
        has_one_encoding(&certificate)?;
    }

    #[test]
    fn proofs_have_one_encoding(proof in finality_proof(), receipt in receipt()) {
        has_one_encoding(&proof)?;
        has_one_encoding(&receipt)?;
    }

    #[test]
    fn bodies_have_one_encoding(transactions in vec(transaction(), 0..6)) {
        let checked: Vec<_> = transactions.iter().cloned().map(VerifiedTransaction::from_own_storage).collect();
        let body = Body::of(&checked);
        prop_assert_eq!(body.as_bytes(), encode(&transactions));
        let read = Body::decode(body.as_bytes().to_vec());
        prop_assert_eq!(read.as_ref(), Ok(&body));
        prop_assert_eq!(body.transactions().collect::<Vec<_>>(), transactions);
        prop_assert_eq!(body.transaction(body.ids().len()), None);
    }

    #[test]
    fn random_bytes_are_canonical_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        no_type_takes_other_bytes(&bytes)?;
    }

    #[test]
    fn damaged_transactions_are_canonical_or_refused(transaction in transaction(), edits in edits()) {
        no_type_takes_other_bytes(&edited(transaction.to_bytes(), &edits))?;
    }

    #[test]
    fn damaged_bodies_are_canonical_or_refused(transactions in vec(transaction(), 0..6), edits in edits()) {
        no_type_takes_other_bytes(&edited(encode(&transactions), &edits))?;
    }

    #[test]
    fn damaged_claims_are_canonical_or_refused(
        commit in signed_commit(),
        certificate in certificate(),
        edits in edits(),
    ) {
        no_type_takes_other_bytes(&edited(encode(&commit), &edits))?;
        no_type_takes_other_bytes(&edited(encode(&certificate), &edits))?;
    }

    #[test]
    fn damaged_epoch_proofs_are_canonical_or_refused(proof in epoch_proof(), edits in edits()) {
        has_one_encoding(&proof)?;
        no_type_takes_other_bytes(&edited(encode(&proof), &edits))?;
        prop_assert!(PROVEN.anchor.clone().extend(&proof).is_err());
    }

    #[test]
    fn damaged_proofs_are_canonical_or_refused(receipt in receipt(), edits in edits()) {
        no_type_takes_other_bytes(&edited(encode(&receipt.proof), &edits))?;
        no_type_takes_other_bytes(&edited(encode(&receipt), &edits))?;
    }

    #[test]
    fn unsigned_claims_are_refused_without_a_panic(
        transaction in transaction(),
        commit in signed_commit(),
        certificate in certificate(),
        receipt in receipt(),
    ) {
        prop_assert!(transaction.verify(&CHAIN).is_err());
        prop_assert!(commit.verify(&CHAIN, PROVEN.anchor.newest()).is_err());
        prop_assert!(certificate.verify(&CHAIN, PROVEN.anchor.newest()).is_err());
        prop_assert!(receipt.verify(&PROVEN.anchor).is_err());
        prop_assert!(receipt.proof.verify(&PROVEN.anchor).is_err());
    }

    #[test]
    fn a_receipt_holds_only_as_it_was_made(edits in edits()) {
        let bytes = edited(PROVEN.receipt.clone(), &edits);
        let holds = decode::<Receipt>(&bytes).is_ok_and(|claim| claim.verify(&PROVEN.anchor).is_ok());
        prop_assert_eq!(holds, bytes == PROVEN.receipt);
    }

    #[test]
    fn a_path_leads_from_its_own_leaf_only((ids, index, other) in leaves()) {
        let root = merkle_root(&ids);
        let count = u32::try_from(ids.len()).unwrap();
        let place = |index: usize| u32::try_from(index).unwrap();
        let path = MerklePath::new(&ids, index).unwrap();
        prop_assert!(path.leads_to(&root, &ids[index], place(index), count));
        prop_assert_eq!(path.leads_to(&root, &ids[index], place(other), count), other == index);
        prop_assert_eq!(path.leads_to(&root, &ids[other], place(index), count), other == index);
        prop_assert!(!path.leads_to(&root, &ids[index], count, count));
        prop_assert_eq!(MerklePath::new(&ids, ids.len()), None);
    }

    #[test]
    fn bytes_have_one_text(bytes in vec(any::<u8>(), 0..100), hash in hash(), key in public_key()) {
        prop_assert_eq!(from_hex(&to_hex(&bytes)), Ok(bytes));
        prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        prop_assert_eq!(key.to_string().parse(), Ok(key));
    }

    #[test]
    fn other_texts_are_refused(text in "(0x)?[0-9a-fA-Fgx é]{0,70}") {
        if let Ok(bytes) = from_hex(&text) {
            prop_assert_eq!(to_hex(&bytes), text.as_str());
        }
        if let Ok(hash) = text.parse::<Hash>() {
            prop_assert_eq!(hash.to_string(), text.as_str());
        }
        if let Ok(key) = text.parse::<PublicKey>() {
            prop_assert_eq!(key.to_string(), text.as_str());
        }
    }
}

/// Up to 80 distinct ids and two positions among them.
fn leaves() -> impl Strategy<Value = (Vec<TransactionId>, usize, usize)> {
    (1..80usize).prop_flat_map(|count| {
        let ids = (0..count).map(|n| TransactionId::from_bytes([u8::try_from(n).unwrap(); 32])).collect();
        (Just(ids), 0..count, 0..count)
    })
}

struct Proven {
    anchor: ChainAnchor,
    receipt: Vec<u8>,
}

/// A valid receipt for the second of three transactions, with one descendant.
static PROVEN: LazyLock<Proven> = LazyLock::new(|| {
    let mut keys: Vec<SecretKey> = (1..=4).map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap()).collect();
    keys.sort_by_key(SecretKey::public);
    let committee = Committee::new(Epoch(0), keys.iter().map(SecretKey::public).collect()).unwrap();
    let transactions: Vec<VerifiedTransaction> = (0..3)
        .map(|nonce| VerifiedTransaction::sign(&CHAIN, &keys[0], nonce, Timestamp(9), Payload::Data(vec![7])))
        .collect();
    let body = Body::of(&transactions);
    let below = Header {
        height: Height(4),
        parent: BlockHash::from_bytes([5; 32]),
        ..Header::genesis(CHAIN, committee.hash(), Timestamp(1))
    };
    let header = Header::after(&below, &body, Timestamp(2), ReplicaId(1));
    let descendant = Header::after(&header, &Body::of(&[]), Timestamp(3), ReplicaId(2));
    let ballot = Ballot {
        epoch: descendant.epoch,
        view: View(6),
        height: descendant.height,
        block: descendant.hash(),
    };
    let commits: Vec<_> = (0..)
        .zip(&keys)
        .map(|(index, key)| Signed::sign(&CHAIN, key, ReplicaId(index), Commit(ballot)))
        .collect();
    let receipt = Receipt {
        transaction: body.ids()[1],
        index: 1,
        path: MerklePath::new(body.ids(), 1).unwrap(),
        proof: FinalityProof {
            header,
            descendants: vec![descendant],
            certificate: CommitCertificate::assemble(&committee, ballot, &commits).unwrap().into_inner(),
        },
    };
    let anchor = ChainAnchor::new(CHAIN, committee);
    receipt.verify(&anchor).unwrap();
    Proven { anchor, receipt: encode(&receipt) }
});
