//! The examples of the Rust client work as they claim.

use quorate_e2e::{Finished, Invocation, Network};

/// One of four nodes is dead: the first one that the client calls.
#[test]
fn the_examples_of_the_client_submit_follow_and_look_up() {
    let mut network = Network::running(4);
    network.kill(3);
    let mut urls: Vec<String> = network.validators().iter().map(|validator| validator.rpc.clone()).collect();
    urls.reverse();
    let genesis = network.genesis_file().to_str().unwrap();
    let example = |name: &str, arguments: &[&str]| -> Finished {
        let urls = urls.iter().map(String::as_str);
        let all = [genesis].into_iter().chain(arguments.iter().copied()).chain(urls);
        Invocation::example(name, all).run().expect_code(0)
    };

    let submitted = example("submit", &["hello"]).stdout;
    let [id, "committed", "at", "height", height, "index", "0"] =
        submitted.split_whitespace().collect::<Vec<_>>()[..]
    else {
        panic!("{submitted}");
    };
    let blocks = example("follow", &["1", height]).stdout;
    let last = blocks.lines().last().unwrap();
    assert_eq!(blocks.lines().count().to_string(), height, "{blocks}");
    assert!(last.starts_with(height) && last.ends_with("transactions: 1"), "{last}");

    let found = example("lookup", &[id]).stdout;
    assert_eq!(found.trim(), format!("committed at height {height}: hello"));
    let nobodys = format!("0x{}", "00".repeat(32));
    assert_eq!(example("lookup", &[&nobodys]).stdout.trim(), "unknown, according to f + 1 nodes");
    let usage = Invocation::example("lookup", [genesis]).run().expect_code(1);
    assert!(usage.stderr.contains("usage: lookup"), "{usage}");
}
