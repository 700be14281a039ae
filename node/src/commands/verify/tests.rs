#![allow(clippy::unwrap_used)]
use quorate_api::{SubmitResult, TransactionStatus};
use quorate_genesis::TestNetwork;

use super::*;

#[path = "../../../tests/cli/receipt.rs"]
mod receipt;

fn bare() -> String {
    serde_json::to_string(&receipt::receipt()).unwrap()
}

/// As `tx send --output json` prints it.
fn sent() -> String {
    let receipt = receipt::receipt();
    let sent = SubmitResult {
        id: receipt.transaction,
        status: TransactionStatus::Committed { height: receipt.proof.header.height, index: receipt.index },
        outcome: None,
        receipt: Some(receipt),
    };
    serde_json::to_string(&sent).unwrap()
}

#[test]
fn both_forms_of_a_receipt_are_proven() {
    let network = receipt::network();
    for text in [bare(), sent()] {
        let proven = proven(&text, network.genesis(), None).unwrap();
        assert_eq!(proven.receipt.index, 2);
        assert_eq!(proven.signers(network.genesis()).len(), 3);
    }
    let pretty = serde_json::to_string_pretty(&receipt::receipt()).unwrap();
    assert!(proven(&pretty, network.genesis(), None).is_ok(), "white space means nothing");
}

/// Changes every digit in turn, decimal or hex, including those next to the receipt.
#[test]
fn no_digit_can_change() {
    let network = receipt::network();
    for text in [bare(), sent()] {
        let digits = text.char_indices().filter(|(_, c)| matches!(c, '0'..='9' | 'a'..='f'));
        for (position, digit) in digits {
            let other = if digit == '3' { '5' } else { '3' };
            let mut changed = text.clone();
            changed.replace_range(position..=position, &other.to_string());
            let verdict = proven(&changed, network.genesis(), None);
            assert!(verdict.is_err(), "{digit} to {other} at {position} of {text}");
        }
    }
}

#[test]
fn fields_next_to_a_receipt_must_agree_with_it() {
    let network = receipt::network();
    let text = sent();
    for (from, to) in [
        (r#""status":"committed""#, r#""status":"pending""#),
        (r#""height":1,"index":2,"receipt""#, r#""height":2,"index":2,"receipt""#),
        (r#""height":1,"index":2,"receipt""#, r#""height":1,"index":1,"receipt""#),
        (r#"{"id""#, r#"{"note":"","id""#),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        assert!(proven(&text.replacen(from, to, 1), network.genesis(), None).is_err(), "{to}");
    }
}

#[test]
fn a_receipt_counts_on_its_own_chain_only() {
    let other = TestNetwork::seeded(4, 8);
    let error = proven(&bare(), other.genesis(), None).unwrap_err();
    assert!(error.reason().contains("chain_id"), "{error:?}");
}

#[test]
fn invalid_receipts_are_refused_with_a_reason() {
    let network = receipt::network();
    for text in ["", "{}", "null", "[]", "not json", r#"{"receipt":null}"#] {
        let error = proven(text, network.genesis(), None).unwrap_err();
        assert!(error.reason().contains("not a receipt"), "{text}: {error:?}");
    }
}
