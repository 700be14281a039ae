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
