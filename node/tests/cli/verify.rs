//! `quorate verify`.

use crate::program::{Scratch, quorate, quorate_reading};
use crate::receipt::{network, receipt};

#[test]
fn a_receipt_is_proven_with_nothing_but_the_genesis() {
    let scratch = Scratch::new();
    let genesis = scratch.write("genesis.toml", &network().genesis().to_toml());
    let text = serde_json::to_string_pretty(&receipt()).unwrap();
    let file = scratch.write("receipt.json", &text);

    let proven = quorate(["verify", &file, "--genesis", &genesis, "--output", "json"]).json();
    assert_eq!(proven["proven"], true);
    assert_eq!(proven["transaction"], receipt().transaction.to_string());
    assert_eq!(proven["height"], 1);
    let human = quorate_reading(&["verify", "-", "--genesis", &genesis], &text).ok();
    assert!(human.starts_with("PROVEN") && human.contains("validator-"), "{human}");
}

#[test]
fn a_changed_receipt_is_not_proven() {
    let scratch = Scratch::new();
    let genesis = scratch.write("genesis.toml", &network().genesis().to_toml());
    let text = serde_json::to_string(&receipt()).unwrap();
    for (from, to) in [("\"view\":12", "\"view\":13"), ("\"index\":2", "\"index\":3")] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        let run = quorate_reading(&["verify", "-", "--genesis", &genesis], &changed);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.out.starts_with("NOT PROVEN"), "{run:?}");
        let run = quorate_reading(&["verify", "-", "--genesis", &genesis, "--output", "json"], &changed);
        assert_eq!(run.code, 3);
        assert!(run.out.contains("\"proven\": false"), "{run:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_errors_and_prove_nothing() {
    let scratch = Scratch::new();
    let genesis = scratch.write("genesis.toml", &network().genesis().to_toml());
    let absent = scratch.text("absent");
    let error = quorate(["verify", &absent, "--genesis", &genesis]).error();
    assert!(error.contains("absent"), "{error}");
    let error = quorate(["verify", &genesis, "--genesis", &absent]).error();
    assert!(error.contains("absent"), "{error}");
    let run = quorate(["verify", &genesis, "--genesis", &genesis]);
    assert_eq!(run.code, 3, "a genesis is no receipt: {run:?}");
}

/// A file of the vectors that all verifiers share.
fn vector(name: &str) -> String {
    format!("{}/../ledger/receipts/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_receipt_of_a_later_epoch_is_proven_with_the_epoch_proofs() {
    let genesis = vector("genesis.toml");
    let epochs = vector("every-byte/epochs.json");
    for epoch in 0..=2 {
        let receipt = vector(&format!("every-byte/epoch-{epoch}.json"));
        let line = ["verify", &receipt, "--genesis", &genesis, "--epochs", &epochs, "--output", "json"];
        let proven = quorate(line).json();
        assert_eq!((&proven["proven"], &proven["epoch"]), (&true.into(), &epoch.into()));

        let run = quorate(["verify", &receipt, "--genesis", &genesis]);
        assert_eq!(run.code, if epoch == 0 { 0 } else { 3 }, "{run:?}");
        if epoch > 0 {
            assert!(run.out.starts_with("NOT PROVEN") && run.out.contains("unproven"), "{run:?}");
            assert!(run.out.contains("quorate governance epochs --out FILE"), "{run:?}");
        }
    }
    let human =
        quorate(["verify", &vector("every-byte/epoch-2.json"), "--genesis", &genesis, "--epochs", &epochs]);
    assert!(human.ok().contains("by 4 of 5 validators of epoch 2"));
}

#[test]
fn a_receipt_forged_with_a_key_that_left_is_not_proven() {
    let genesis = vector("genesis.toml");
    for case in ["old-key-of-a-rotated-member", "old-committee-signs-beyond-its-epoch"] {
        let file = |name: &str| vector(&format!("epochs/bad/{case}/{name}.json"));
        let line = ["verify", &file("receipt"), "--genesis", &genesis, "--epochs", &file("epochs")];
        let run = quorate(line);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.out.starts_with("NOT PROVEN") && !run.out.contains("unproven"), "{run:?}");
    }
}

#[test]
fn the_help_says_how_to_verify_a_receipt_of_a_later_epoch() {
    for command in [["verify", "--help"].as_slice(), &["tx", "receipt", "--help"]] {
        let help = quorate(command).ok();
        assert!(help.contains("later epoch") && help.contains("--epochs epochs.json"), "{help}");
    }
}
