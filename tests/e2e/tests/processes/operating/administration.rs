//! A node's user administers it: settings before it runs, the log level while it runs.

use quorate_e2e::{Finished, Invocation, Network, wait_until};
use serde_json::json;

fn log_level(network: &Network, index: usize, arguments: &[&str]) -> Finished {
    let line = Invocation::new(["log-level", "--home"]).arg(&network.validators()[index].home);
    arguments.iter().fold(line, |line, argument| line.arg(argument)).run()
}

/// The log level is shown and changed while the node runs, only for this run. The socket works
/// again after a kill, which leaves its file behind.
#[test]
fn the_log_level_is_changed_while_the_node_runs() {
    const LEVEL: &str = "warn,quorate=debug";
    let mut network = Network::testnet(4);
    network.start(0);
    let usual = log_level(&network, 0, &[]).expect_code(0).stdout;
    assert!(usual.starts_with("info"), "{usual}");

    let changed = log_level(&network, 0, &[LEVEL]).expect_code(0);
    assert_eq!(changed.stdout.trim(), LEVEL);
    assert!(changed.stderr.contains(usual.trim()), "{changed}");
    assert_eq!(log_level(&network, 0, &[]).expect_code(0).stdout.trim(), LEVEL);
    wait_until("the change is in the log", || network.log(0).contains("the log level was changed"));

    log_level(&network, 0, &["quorate=loud"]).expect_error(&["quorate=loud", "not a valid level"]);
    assert_eq!(log_level(&network, 0, &[]).expect_code(0).stdout.trim(), LEVEL);

    network.kill(0);
    let socket = network.validators()[0].home.join("admin.sock");
    assert!(socket.exists());
    log_level(&network, 0, &[]).expect_error(&["admin.sock", "does the node run"]);
    network.start(0);
    assert_eq!(log_level(&network, 0, &[]).expect_code(0).stdout, usual);
    network.stop(0);
    assert!(!socket.exists());
}

/// Problems that would prevent a start are found before the node is stopped for a restart.
#[test]
fn settings_are_shown_and_checked_without_running_a_node() {
    let network = Network::testnet(4);
    let home = &network.validators()[0].home;
    let config = |arguments: &[&str]| {
        let line = Invocation::new(["config"]).arg(arguments[0]).arg("--home").arg(home);
        arguments[1..].iter().fold(line, |line, argument| line.arg(argument))
    };
    let fine = config(&["check"]).run().expect_code(0);
    assert!(fine.stdout.contains(&network.genesis().chain_id().to_string()), "{fine}");
    let shown = config(&["show", "--changed", "--set=rpc.max_batch=7", "--output=json"]).run().json();
    let batch = json!({ "setting": "rpc.max_batch", "value": 7, "origin": "--set" });
    assert!(shown.as_array().unwrap().contains(&batch), "{shown}");

    let wrong = config(&["check"]).env("QUORATE_RPC__MAX_BATCH", "0").run();
    wrong.expect_error(&["rpc.max_batch is 0"]);
    std::fs::remove_file(home.join("data/journal.redb")).unwrap();
    config(&["check"]).run().expect_error(&["no journal", "Never use an older copy"]);
    let listed = Invocation::new(["config", "options"]).run().expect_code(0).stdout;
    assert!(listed.contains("QUORATE_RPC__MAX_BATCH"), "{listed}");
}
