//! A receipt of each of the epochs 0, 1 and 2, and the epoch proofs that lead to them. With any byte
//! changed, no verifier accepts them.

use quorate_api::parse_epoch_proofs;
use quorate_ledger::{EpochProof, decode, encode};

use super::chain::Chain;
use super::*;

/// Epoch 1 begins with a rotated key, and epoch 2 with a fifth member.
pub(super) fn files(chain: &Chain) -> BTreeMap<String, Vec<u8>> {
    // The receipt of epoch 0 has a descendant, the others have none.
    let places = [(1, 2), (chain.first(1), chain.first(1)), (chain.first(2) + 1, chain.first(2) + 1)];
    let receipts = places.map(|(height, certified)| chain.receipt(height, certified));
    let mut files = BTreeMap::from([("every-byte/epochs.json".to_owned(), chain.text_to(2).into_bytes())]);
    for (epoch, receipt) in receipts.iter().enumerate() {
        files.insert(format!("every-byte/epoch-{epoch}.json"), text(receipt).into_bytes());
    }
    files
}

fn read(name: &str) -> String {
    std::fs::read_to_string(directory().join(name)).unwrap()
}

fn genesis() -> Genesis {
    Genesis::parse(&read("genesis.toml")).unwrap()
}

fn receipts() -> [String; 3] {
    [0, 1, 2].map(|epoch| read(&format!("every-byte/epoch-{epoch}.json")))
}

fn is_unproven(verdict: &Result<Proven, NotProven>) -> bool {
    matches!(verdict, Err(NotProven::Unproven(_)))
}

#[test]
fn a_receipt_of_each_epoch_is_proven_and_with_fewer_proofs_unproven() {
    let (chain, genesis) = (Chain::new(), genesis());
    for (epoch, receipt) in receipts().iter().enumerate() {
        for known in 0..=2 {
            let verdict = proven(receipt, &genesis, Some(&chain.text_to(known)));
            let found = verdict.as_ref().map(|proven| proven.receipt.proof.header.epoch.0);
            if known >= epoch {
                assert_eq!(found.unwrap(), epoch as u64);
            } else {
                assert!(is_unproven(&verdict), "{epoch}, {known}: {verdict:?}");
            }
        }
        let verdict = proven(receipt, &genesis, None);
        assert!(if epoch == 0 { verdict.is_ok() } else { is_unproven(&verdict) }, "{verdict:?}");
    }
}

/// The paths of all texts and numbers in a JSON value, each with its number of bytes.
fn places(value: &Value, at: &str) -> Vec<(String, usize)> {
    match value {
        Value::String(text) => vec![(at.to_owned(), text.len() / 2 - 1)],
        Value::Number(_) => vec![(at.to_owned(), size_of::<u64>())],
        Value::Array(values) => {
            (0..).zip(values).flat_map(|(index, value)| places(value, &format!("{at}/{index}"))).collect()
        }
        Value::Object(fields) => {
            fields.iter().flat_map(|(name, value)| places(value, &format!("{at}/{name}"))).collect()
        }
        Value::Null | Value::Bool(_) => panic!("{at} is neither a text nor a number"),
    }
}

/// The texts that differ from this one in one byte of one hash, key, signature or number.
fn flips(text: &str) -> impl Iterator<Item = (String, String)> {
    let value: Value = serde_json::from_str(text).unwrap();
    places(&value, "").into_iter().flat_map(move |(place, size)| {
        let value = value.clone();
        (0..size).map(move |byte| {
            let mut other = value.clone();
            flip(other.pointer_mut(&place).unwrap(), byte);
            (format!("byte {byte} of {place}"), other.to_string())
        })
    })
}

fn flip(leaf: &mut Value, byte: usize) {
    let flipped = match &*leaf {
        Value::String(text) => {
            let mut bytes = from_hex(text).unwrap();
            bytes[byte] ^= 1 << (byte % 8);
            Value::from(to_hex(&bytes))
        }
        number => Value::from(number.as_u64().unwrap() ^ 1 << (8 * byte)),
    };
    *leaf = flipped;
}

#[test]
fn with_any_byte_of_a_receipt_changed_it_is_not_valid() {
    let known = known_epochs(&genesis(), Some(&read("every-byte/epochs.json"))).unwrap();
    for receipt in receipts() {
        prove(&receipt, known.anchor()).unwrap();
        let mut count = 0;
        for (what, other) in flips(&receipt) {
            assert!(prove(&other, known.anchor()).is_err(), "{what} of {receipt}");
            count += 1;
        }
        assert!(count > 600, "only {count} bytes");
        let encoded = encode(&parse_receipt(&receipt).unwrap());
        for byte in 0..encoded.len() {
            let other = with_flipped(&encoded, byte);
            let holds = decode::<Receipt>(&other).is_ok_and(|other| other.verify(known.anchor()).is_ok());
            assert!(!holds, "byte {byte} of the encoding of {receipt}");
        }
    }
}

#[test]
fn with_any_byte_of_the_epoch_proofs_changed_no_receipt_is_valid() {
    let (genesis, receipts, list) = (genesis(), receipts(), read("every-byte/epochs.json"));
    let mut count = 0;
    for (what, other) in flips(&list) {
        let verdict = proven(&receipts[count % receipts.len()], &genesis, Some(&other));
        assert!(verdict.is_err() && !is_unproven(&verdict), "{what}: {verdict:?}");
        count += 1;
    }
    assert!(count > 1200, "only {count} bytes");

    let (_, proofs) = parse_epoch_proofs(&list).unwrap();
    let mut anchor = genesis.anchor().clone();
    for (epoch, proof) in proofs.iter().enumerate() {
        let encoded = encode(proof);
        for byte in 0..encoded.len() {
            let other = with_flipped(&encoded, byte);
            let holds = decode::<EpochProof>(&other).is_ok_and(|other| anchor.clone().extend(&other).is_ok());
            assert!(!holds, "byte {byte} of the encoding of the proof of the end of epoch {epoch}");
        }
        anchor.extend(proof).unwrap();
    }
}

fn with_flipped(bytes: &[u8], byte: usize) -> Vec<u8> {
    let mut other = bytes.to_vec();
    other[byte] ^= 1 << (byte % 8);
    other
}
