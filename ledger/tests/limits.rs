//! Each limit of the format is exact: the largest value decodes, one more does not.
#![allow(clippy::unwrap_used)]

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::{
    Ballot, Body, BodyError, ChainId, CommitCertificate, DecodeError, Domain, Epoch, FinalityProof, Hash,
    Header, Height, MAX_BODY_BYTES, MAX_DESCENDANTS, MAX_MEMBERS, MAX_PATH_SIBLINGS, MAX_PAYLOAD_BYTES,
    MAX_TRANSACTION_BYTES, MAX_TRANSACTIONS, MerklePath, Payload, Receipt, SecretKey, Signature,
    SignatureSet, Signers, Timestamp, Transaction, TransactionId, VerifiedTransaction, View, decode, encode,
    merkle_root, tagged_hash,
};

const CHAIN: ChainId = ChainId::from_bytes([1; 32]);

fn key() -> SecretKey {
    SecretKey::from_bytes(&[5; 32]).unwrap()
}

fn signature() -> Signature {
    key().sign(&tagged_hash(Domain::StateValue, &[]))
}

fn transaction(payload_bytes: u32) -> Transaction {
    let payload = Payload::Data(vec![0; payload_bytes as usize]);
    Transaction {
        sender: key().public(),
        nonce: 1,
        valid_until: Timestamp(1),
        payload,
        signature: signature(),
    }
}

fn header() -> Header {
    Header { height: Height(1), ..Header::genesis(CHAIN, Hash::ZERO, Timestamp(1)) }
}

fn certificate(signatures: usize) -> CommitCertificate {
    let ballot = Ballot { epoch: Epoch(0), view: View(0), height: Height(1), block: header().hash() };
    let votes = SignatureSet::claimed(Signers::default(), vec![signature(); signatures]);
    CommitCertificate::claimed(ballot, votes)
}

fn path(siblings: u32) -> MerklePath {
    MerklePath::from_siblings(vec![Hash::ZERO; siblings as usize])
}

fn proof(descendants: u32) -> FinalityProof {
    FinalityProof {
        header: header(),
        descendants: vec![header(); descendants as usize],
        certificate: certificate(MAX_MEMBERS),
    }
}

/// Decodes the encoding, or returns the error text.
fn read<T: BorshSerialize + BorshDeserialize>(value: &T) -> Result<T, String> {
    decode(&encode(value)).map_err(|error| error.reason)
}

#[test]
fn a_transaction_is_at_most_as_long_as_the_format_says() {
    let largest = transaction(MAX_PAYLOAD_BYTES);
    assert_eq!(largest.encoded_len(), u64::from(MAX_TRANSACTION_BYTES));
    assert_eq!(read(&largest).unwrap(), largest);
    let refusal = read(&transaction(MAX_PAYLOAD_BYTES + 1)).unwrap_err();
    assert!(refusal.contains("at most 1048458"), "{refusal}");
}

#[test]
fn lists_are_at_most_as_long_as_the_format_says() {
    read(&certificate(MAX_MEMBERS)).unwrap();
    assert!(read(&certificate(MAX_MEMBERS + 1)).unwrap_err().contains("at most 31"));
    read(&path(MAX_PATH_SIBLINGS)).unwrap();
    assert!(read(&path(MAX_PATH_SIBLINGS + 1)).unwrap_err().contains("at most 14"));
    read(&proof(MAX_DESCENDANTS)).unwrap();
    assert!(read(&proof(MAX_DESCENDANTS + 1)).unwrap_err().contains("at most 64"));
}

/// The claimed length alone causes the refusal: no bytes follow it that could be read first.
#[test]
fn a_claimed_length_is_refused_before_its_content_is_read() {
    let claim = |bytes: &[u8], length: u32| [bytes, &length.to_le_bytes()].concat();
    let reason = |result: Result<(), DecodeError>| result.unwrap_err().reason;
    for length in [MAX_TRANSACTIONS + 1, u32::MAX] {
        let error = Body::decode(length.to_le_bytes().to_vec()).unwrap_err();
        assert!(error.to_string().contains("at most 10000"), "{error}");
        let path = decode::<MerklePath>(&length.to_le_bytes()).map(drop);
        assert!(reason(path).contains("at most 14"));
        let descendants = decode::<FinalityProof>(&claim(&encode(&header()), length)).map(drop);
        assert!(reason(descendants).contains("at most 64"));
        let votes = decode::<SignatureSet>(&claim(&[7, 0, 0, 0], length)).map(drop);
        assert!(reason(votes).contains("at most 31"));
    }
    for kind in [0, 1] {
        let payload = decode::<Payload>(&claim(&[kind], u32::MAX)).map(drop);
        assert!(reason(payload).contains("at most 1048458"));
    }
    assert!(reason(decode::<Payload>(&[2, 0, 0, 0, 0]).map(drop)).contains("2"), "there are two kinds");
}

#[test]
fn a_body_is_at_most_as_long_as_the_format_says() {
    let body_of = |transaction: Transaction, count: u32| {
        let checked = VerifiedTransaction::from_own_storage(transaction);
        Body::of(&vec![checked; count as usize]).as_bytes().to_vec()
    };
    let most = Body::decode(body_of(transaction(0), MAX_TRANSACTIONS)).unwrap();
    assert_eq!(most.count(), MAX_TRANSACTIONS);
    assert!(matches!(Body::decode(body_of(transaction(0), MAX_TRANSACTIONS + 1)), Err(BodyError::Decode(_))));
    let fullest = Body::decode(body_of(transaction(MAX_PAYLOAD_BYTES), 4)).unwrap();
    assert_eq!(fullest.transaction_bytes(), MAX_BODY_BYTES);
    let mut longer = fullest.as_bytes().to_vec();
    longer.push(0);
    assert_eq!(Body::decode(longer), Err(BodyError::TooLarge(MAX_BODY_BYTES as usize + 1)));
}

#[test]
fn the_path_in_the_largest_block_fits() {
    let ids: Vec<TransactionId> = (0..MAX_TRANSACTIONS)
        .map(|number| TransactionId(tagged_hash(Domain::StateValue, &[&number.to_le_bytes()])))
        .collect();
    let path = MerklePath::new(&ids, 0).unwrap();
    assert_eq!(path.siblings().len(), MAX_PATH_SIBLINGS as usize);
    assert!(path.leads_to(&merkle_root(&ids), &ids[0], 0, MAX_TRANSACTIONS));
}

/// The sizes in `WIRE.md`, for implementations that must know how much to read.
#[test]
fn the_largest_certificate_proof_and_receipt() {
    assert_eq!(encode(&certificate(MAX_MEMBERS)).len(), 2048);
    assert_eq!(encode(&proof(MAX_DESCENDANTS)).len(), 14_792);
    let receipt = Receipt {
        transaction: TransactionId(Hash::ZERO),
        index: 0,
        path: path(MAX_PATH_SIBLINGS),
        proof: proof(MAX_DESCENDANTS),
    };
    assert_eq!(encode(&receipt).len(), 15_280);
}
