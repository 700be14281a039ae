#![allow(clippy::unwrap_used)]
use super::*;
use crate::chain::fixture::World;

fn holds(world: &World, text: &str) -> bool {
    parse_receipt(text).is_ok_and(|receipt| receipt.verify(&world.anchor).is_ok())
}

fn text_of(receipt: &Receipt) -> String {
    serde_json::to_string(&ReceiptJson::from(receipt)).unwrap()
}

#[test]
fn receipts_and_proofs_survive_json() {
    let world = World::new();
    for certified in 0..3 {
        let proof = world.proof(certified);
        let text = serde_json::to_string(&FinalityProofJson::from(&proof)).unwrap();
        assert_eq!(parse_finality_proof(&text).unwrap(), proof);
        for index in 0..5 {
            let receipt = world.receipt(index, certified);
            assert_eq!(parse_receipt(&text_of(&receipt)).unwrap(), receipt);
            let pretty = serde_json::to_string_pretty(&ReceiptJson::from(&receipt)).unwrap();
            assert!(holds(&world, &pretty), "white space means nothing");
        }
    }
}

/// Replaces every character of the text by every digit, hex letter and structural character. The
/// parser or the verification must refuse every change.
#[test]
fn no_character_of_a_receipt_can_change() {
    let world = World::new();
    let text = text_of(&world.receipt(3, 1));
    assert!(holds(&world, &text));
    for position in 0..text.len() {
        let original = text.as_bytes()[position];
        for replacement in b"0123456789abcdefABCDEFx-+. ,:\"{}[]" {
            if *replacement == original {
                continue;
            }
            let mut changed = text.clone().into_bytes();
            changed[position] = *replacement;
            let changed = String::from_utf8(changed).unwrap();
            assert!(
                !holds(&world, &changed),
                "{:?} for {:?} at {position}: {}",
                char::from(*replacement),
                char::from(original),
                &changed[position.saturating_sub(20)..(position + 20).min(text.len())]
            );
        }
    }
}

#[test]
fn no_digit_can_be_added_or_removed() {
    let world = World::new();
    let text = text_of(&world.receipt(3, 1));
    for position in 0..text.len() {
        let mut shorter = text.clone();
        shorter.remove(position);
        assert!(!holds(&world, &shorter), "{position} taken away");
        for digit in ['0', '7'] {
            let mut longer = text.clone();
            longer.insert(position, digit);
            assert!(!holds(&world, &longer), "{digit} put in at {position}");
        }
    }
}

#[test]
fn other_spellings_of_the_same_numbers_are_refused() {
    let world = World::new();
    let text = text_of(&world.receipt(3, 1));
    for (from, to) in [
        (r#""index":3"#, r#""index":3.0"#),
        (r#""index":3"#, r#""index":3e0"#),
        (r#""index":3"#, r#""index":"3""#),
        (r#""index":3"#, r#""index":03"#),
        (r#""epoch":0"#, r#""epoch":-0"#),
        (r#""epoch":0"#, r#""epoch":null"#),
        (r#""version":2"#, r#""version":65538"#),
        (r#""height":1"#, r#""height":18446744073709551617"#),
    ] {
        assert!(text.contains(from), "{from}");
        assert!(parse_receipt(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
}

#[test]
fn surplus_repeated_and_missing_fields_are_refused() {
    let world = World::new();
    let text = text_of(&world.receipt(3, 1));
    let places = [r#""index":3"#, r#""version":2"#, r#""view":12"#, r#""descendants":["#];
    for place in places {
        assert!(text.contains(place), "{place}");
        let surplus = text.replacen(place, &format!(r#""note":"",{place}"#), 1);
        assert!(parse_receipt(&surplus).is_err(), "surplus before {place}");
    }
    for place in [r#""index":3,"#, r#""version":2,"#, r#""view":12,"#] {
        let repeated = text.replacen(place, &format!("{place}{place}"), 1);
        assert!(parse_receipt(&repeated).is_err(), "{place} twice");
        assert!(parse_receipt(&text.replacen(place, "", 1)).is_err(), "{place} missing");
    }
    assert!(parse_receipt(&format!("{text} {{}}")).is_err(), "trailing text");
    assert!(parse_receipt(&format!("[{text}]")).is_err());
}

#[test]
fn the_size_of_a_receipt_is_bounded_and_the_largest_fits() {
    let world = World::new();
    let mut receipt = world.receipt(3, 2);
    let long = " ".repeat(MAX_PROOF_JSON_BYTES) + &text_of(&receipt);
    assert!(matches!(parse_receipt(&long), Err(InvalidJson::TooLong { .. })));

    let header = world.blocks[1].header().clone();
    receipt.proof.descendants = vec![header.clone(); MAX_DESCENDANTS as usize];
    receipt.path = MerklePath::from_siblings(vec![Hash::ZERO; MAX_PATH_SIBLINGS as usize]);
    let mut largest = ReceiptJson::from(&receipt);
    largest.proof.certificate.signers = (0..31).collect();
    largest.proof.certificate.signatures = vec![largest.proof.certificate.signatures[0]; 31];
    for header in &mut largest.proof.descendants {
        header.height = u64::MAX;
        header.timestamp_ms = u64::MAX;
        header.epoch = u64::MAX;
    }
    let text = serde_json::to_string_pretty(&largest).unwrap();
    assert!(parse_receipt(&text).is_ok(), "{} bytes", text.len());

    receipt.proof.descendants.push(header);
    assert!(matches!(
        parse_receipt(&text_of(&receipt)),
        Err(InvalidJson::TooMany { what: "descendants", .. })
    ));
    receipt.proof.descendants.clear();
    receipt.path = MerklePath::from_siblings(vec![Hash::ZERO; MAX_PATH_SIBLINGS as usize + 1]);
    assert!(matches!(parse_receipt(&text_of(&receipt)), Err(InvalidJson::TooMany { what: "siblings", .. })));
}
