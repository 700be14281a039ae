//! `quorate genesis`.

use quorate_genesis::{Genesis, TestNetwork};

use crate::program::{Scratch, quorate, quorate_reading};

fn new_arguments(network: &TestNetwork) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["genesis", "new", "--name", "clearing", "--time-ms", "1700000000000"].map(str::to_owned).into();
    for (validator, name) in network.genesis().validators().iter().zip(["a", "b", "c", "d"]) {
        arguments.extend(["--validator".to_owned(), format!("{name}={}", validator.public_key)]);
        arguments.extend(["--governance-key".to_owned(), format!("{name}={}", validator.governance_key)]);
    }
    arguments
}

#[test]
fn a_genesis_of_public_keys_is_written_checked_and_shown() {
    let scratch = Scratch::new();
    let network = TestNetwork::seeded(4, 1);
    let file = scratch.text("genesis.toml");
    let mut arguments = new_arguments(&network);
    let printed = quorate(&arguments).ok();
    arguments.extend(["--file".to_owned(), file.clone()]);
    assert_eq!(quorate(&arguments).ok(), "", "the file is the output");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(printed.trim_end(), text.trim_end(), "the same inputs give the same genesis");
    let genesis = Genesis::parse(&text).unwrap();

    let checked = quorate(["genesis", "check", &file, "--output", "json"]).json();
    assert_eq!(checked["valid"], true);
    assert_eq!(checked["chain_id"], genesis.chain_id().to_string());
    assert_eq!(checked["quorum"], 3);
    assert_eq!((&checked["may_be_down"], &checked["approvals_needed"]), (&1.into(), &3.into()));
    for (shown, validator) in checked["validators"].as_array().unwrap().iter().zip(genesis.validators()) {
        assert!(validator.has_own_governance_key());
        assert_eq!(shown["governance_key"], validator.governance_key.to_string());
    }
    let summary = quorate(["genesis", "check", &file]).ok();
    assert!(summary.contains("3 of 4 to change the network"), "{summary}");
    assert!(summary.contains(&genesis.validators()[0].governance_key.to_string()), "{summary}");
    let from_input = quorate_reading(&["genesis", "check", "-", "--output", "json"], &text).json();
    assert_eq!(from_input, checked);

    let shown = quorate(["genesis", "show", &file, "--output", "json"]).json();
    assert_eq!(shown["chain_id"], checked["chain_id"]);
    assert_eq!(shown["block"]["max_transactions"], 1000);
    assert_eq!(shown["governance"]["max_transactions_per_member"], 250);
    assert_eq!((&shown["quorum"], &shown["may_be_down"]), (&3.into(), &1.into()));
    assert_eq!(quorate(["genesis", "show", &file]).ok().trim_end(), text.trim_end());

    let error = quorate(&arguments).error();
    assert!(error.contains("not overwritten"), "{error}");
}

#[test]
fn everything_wrong_is_reported_together_with_code_3() {
    let scratch = Scratch::new();
    let text = TestNetwork::seeded(4, 1).genesis().to_toml();
    let wrong = text.replace("window = 8", "window = 0").replace("name = \"seeded-1\"", "name = \"No Name\"");
    let file = scratch.write("genesis.toml", &wrong);
    let run = quorate(["genesis", "check", &file]);
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.out.contains("consensus.window") && run.out.contains("No Name"), "{run:?}");
    let run = quorate(["genesis", "check", &file, "--output", "json"]);
    assert_eq!(run.code, 3);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["valid"], false);
    assert_eq!(json["errors"].as_array().unwrap().len(), 2, "{json}");
}

#[test]
fn a_small_committee_is_warned_about() {
    let text = TestNetwork::seeded(1, 1).genesis().to_toml();
    let run = quorate_reading(&["genesis", "check", "-"], &text);
    assert_eq!(run.code, 0);
    assert!(run.err.contains("warning: ") && run.err.contains("no fault"), "{run:?}");
}

#[test]
fn what_cannot_be_a_genesis_is_not_written() {
    let scratch = Scratch::new();
    let key = TestNetwork::seeded(1, 1).keys()[0].public();
    let file = scratch.text("genesis.toml");
    let twice = [format!("a={key}"), format!("b={key}")];
    let error = quorate([
        "genesis",
        "new",
        "--name",
        "n",
        "--validator",
        &twice[0],
        "--validator",
        &twice[1],
        "--file",
        &file,
    ])
    .error();
    assert!(error.contains("share the key"), "{error}");
    assert!(scratch.entries().is_empty());
    let run = quorate(["genesis", "new", "--name", "n", "--validator", "a=0x1234"]);
    assert_eq!(run.code, 2, "{run:?}");
}

#[test]
fn validators_without_a_governance_key_are_named() {
    let network = TestNetwork::seeded(4, 1);
    let arguments: Vec<String> = new_arguments(&network);
    let of_c = arguments.iter().position(|argument| argument.starts_with("c=")).unwrap();
    let key_of_c = format!("c={}", network.genesis().validators()[2].governance_key);
    let without: Vec<String> = arguments
        .iter()
        .enumerate()
        .filter(|(at, argument)| **argument != key_of_c && *at != of_c + 1)
        .map(|(_, argument)| argument.clone())
        .collect();
    let run = quorate(&without);
    assert!(run.code == 0 && run.err.contains("without a governance key: c. "), "{run:?}");
    let genesis = Genesis::parse(&run.out).unwrap();
    let own: Vec<bool> =
        genesis.validators().iter().map(quorate_genesis::Validator::has_own_governance_key).collect();
    assert_eq!(own, [true, true, false, true]);
    assert!(!quorate(&arguments).err.contains("without a governance key"));

    let stranger = [without, vec!["--governance-key".to_owned(), key_of_c.replace("c=", "e=")]].concat();
    let error = quorate(&stranger).error();
    assert!(error.contains("no --validator has this name"), "{error}");
}

/// A network of the earlier version cannot be continued.
#[test]
fn a_genesis_of_version_1_is_refused_with_what_to_do() {
    let text = TestNetwork::seeded(4, 1).genesis().to_toml().replace("version = 2", "version = 1");
    let run = quorate_reading(&["genesis", "check", "-"], &text);
    assert!(run.code == 3 && run.out.contains("quorate genesis new"), "{run:?}");
}

/// The far future, since these clocks cannot be stopped: 2150-01-01.
#[test]
fn a_time_ahead_of_the_clock_is_warned_of() {
    let scratch = Scratch::new();
    let network = TestNetwork::seeded(4, 1);
    let file = scratch.text("genesis.toml");
    let mut arguments = new_arguments(&network);
    for argument in &mut arguments {
        if argument == "1700000000000" {
            *argument = "5680281600000".to_owned();
        }
    }
    arguments.extend(["--file".to_owned(), file.clone()]);
    let made = quorate(&arguments);
    let warning = "nothing can be ordered before 2149-12-31T23:59:59.501Z";
    assert!(made.code == 0 && made.err.contains(warning), "{made:?}");
    let checked = quorate(["genesis", "check", &file, "--output", "json"]);
    assert!(checked.err.contains(warning), "{checked:?}");
    let json: serde_json::Value = serde_json::from_str(&checked.out).unwrap();
    assert!(json["warnings"][0].as_str().unwrap().contains(warning), "{json}");
}
