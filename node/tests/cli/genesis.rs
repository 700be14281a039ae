//! `quorate genesis`.

use quorate_genesis::{Genesis, TestNetwork};

use crate::program::{Scratch, quorate, quorate_reading};

fn new_arguments(network: &TestNetwork) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["genesis", "new", "--name", "clearing", "--time-ms", "1700000000000"].map(str::to_owned).into();
    for (validator, name) in network.genesis().validators().iter().zip(["a", "b", "c", "d"]) {
        arguments.extend(["--validator".to_owned(), format!("{name}={}", validator.public_key)]);
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
    let from_input = quorate_reading(&["genesis", "check", "-", "--output", "json"], &text).json();
    assert_eq!(from_input, checked);

    let shown = quorate(["genesis", "show", &file, "--output", "json"]).json();
    assert_eq!(shown["chain_id"], checked["chain_id"]);
    assert_eq!(shown["block"]["max_transactions"], 1000);
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
