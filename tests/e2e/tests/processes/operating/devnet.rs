//! A whole network in one process.

use std::collections::HashSet;

use quorate_e2e::{Finished, Invocation, Network, PortBlock, Process, wait_until};
use tempfile::TempDir;

const ALL: [usize; 4] = [0, 1, 2, 3];

fn assert_shows_the_network(finished: &Finished, validators: usize) {
    for index in 0..validators {
        assert!(finished.stdout.contains(&format!("validator-{index}")), "{finished}");
    }
    assert!(!finished.stdout.contains(&format!("validator-{validators}")), "{finished}");
    for shown in ["http://127.0.0.1:", "height", "hash", "receipts verified", "committed on all"] {
        assert!(finished.stdout.contains(shown), "{shown:?} is not in {finished}");
    }
}

#[test]
fn once_it_shows_a_network_that_has_committed_a_sample() {
    let finished = Invocation::new(["devnet", "--once"]).run().expect_code(0);
    assert_shows_the_network(&finished, 4);
    let alone = Invocation::new(["devnet", "--once", "--validators", "1"]).run().expect_code(0);
    assert_shows_the_network(&alone, 1);
}

#[test]
fn it_runs_until_it_is_interrupted_and_shows_what_to_try() {
    let directory = TempDir::new().unwrap();
    let (home, log) = (directory.path().join("net"), directory.path().join("log"));
    let ports = PortBlock::take(4);
    let [p2p, rpc] =
        [("p2p", ports.p2p()), ("rpc", ports.rpc())].map(|(of, port)| format!("--base-{of}-port={port}"));
    let arguments = ["devnet", "--dir", home.to_str().unwrap(), &p2p, &rpc];
    let devnet = Process::start("the devnet", &arguments, &[], &log);
    wait_until("it shows what to try", || devnet.log().contains("until Ctrl-C"));

    let file = home.join("network.json");
    let tried = [
        vec!["status", "--network", file.to_str().unwrap()],
        vec!["tx", "send", "--data", "hello", "--rpc"],
        vec!["block", "list", "--rpc"],
    ];
    let url = format!("http://127.0.0.1:{}", ports.rpc());
    for mut command in tried {
        if command.last() == Some(&"--rpc") {
            command.push(&url);
        }
        assert!(devnet.log().contains(&command[..2].join(" ")), "{command:?} is in its output");
        Invocation::new(command).run().expect_code(0);
    }
    let (_, status) = devnet.interrupt();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_directory_is_kept_and_continued_by_devnet_and_by_separate_nodes() {
    let directory = TempDir::new().unwrap();
    let home = directory.path().join("net");
    let ports = PortBlock::take(4);
    let devnet = || Invocation::new(["devnet", "--once", "--dir"]).arg(&home);
    devnet()
        .arg(format!("--base-p2p-port={}", ports.p2p()))
        .arg(format!("--base-rpc-port={}", ports.rpc()))
        .run()
        .expect_code(0);

    // The layout is that of `testnet`, so its validators also run as separate processes.
    let chain = {
        let mut network = Network::open(&home);
        network.start_all();
        network.order_one(2);
        network.equal_chains(&ALL)
    };
    let finished = devnet().run().expect_code(0);
    assert_shows_the_network(&finished, 4);

    let mut network = Network::open(&home);
    network.start_all();
    let longer = network.equal_chains(&ALL);
    assert!(longer.height() > chain.height(), "the second sample was added");
    longer.assert_agrees_with(&chain);
    let before: HashSet<_> = chain.places().into_keys().collect();
    assert!(longer.places().keys().filter(|id| !before.contains(*id)).count() >= 20, "a fresh sample");

    let finished = devnet().arg("--validators=5").run().expect_code(1);
    finished.expect_error(&["--validators", "4"]);
}
