//! A blocked or broken output does not stop a validator.

use std::fs::OpenOptions;
use std::io::{Read, pipe};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use quorate_e2e::{Invocation, Network, Outputs, wait_until};
use serde_json::Value;

const ALL: [usize; 4] = [0, 1, 2, 3];

/// The documented time of a stop, with one second for the last log lines.
const SOON: Duration = Duration::from_secs(4);

/// The log message after lines were lost.
const RECOVERED: &str = "log lines were lost";

fn lost_lines(network: &Network, index: usize) -> u64 {
    let metrics = network.rpc(index).text("/metrics").unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix("quorate_log_lines_lost_total "));
    value.unwrap().parse().unwrap()
}

fn stop_all(network: &mut Network) {
    for index in ALL {
        let took = network.stop(index);
        assert!(took < SOON, "validator-{index} took {took:?}");
    }
}

/// All validators log to one full volume, and one validator restarts: the others log that.
#[test]
fn a_network_whose_logs_are_on_a_full_disk_continues() {
    let mut network = Network::testnet(4);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for index in ALL {
        network.start_into(index, &[], Outputs::both(&full));
    }
    ALL.iter().for_each(|index| network.wait_until_ready(*index));
    network.order_one(0);
    network.kill(3);
    wait_until("the others log that it is gone", || lost_lines(&network, 0) > 2);
    network.start_into(3, &[], Outputs::both(&full));
    network.wait_until_ready(3);
    network.order_one(3);
    network.equal_chains(&ALL);
    stop_all(&mut network);
}

#[test]
fn a_validator_continues_when_the_reader_of_its_log_is_gone() {
    let mut network = Network::testnet(4);
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    network.start_into(0, &[], Outputs::both(&writer));
    network.start_all();
    network.order_one(0);
    wait_until("it counts what it cannot log", || lost_lines(&network, 0) > 0);
    network.equal_chains(&ALL);
    stop_all(&mut network);
}

/// Reads in the background; signals when a text has been read.
fn read_until(mut reader: impl Read + Send + 'static, text: &'static str) -> Receiver<()> {
    let (seen, result) = channel();
    std::thread::spawn(move || {
        let (mut chunk, mut tail) = (vec![0; 64 << 10], Vec::new());
        while let Ok(count @ 1..) = reader.read(&mut chunk) {
            tail.extend_from_slice(&chunk[..count]);
            if tail.windows(text.len()).any(|window| window == text.as_bytes()) {
                // The test may have ended.
                let _ = seen.send(());
            }
            tail.drain(..tail.len().saturating_sub(text.len()));
        }
    });
    result
}

/// Like a terminal that was stopped by Ctrl-S: the pipe is open, but its reader reads nothing.
#[test]
fn a_validator_works_and_stops_while_the_reader_of_its_log_is_blocked() {
    let mut network = Network::testnet(4);
    let (reader, writer) = pipe().unwrap();
    network.start_into(0, &["--log-level", "trace"], Outputs::both(&writer));
    drop(writer);
    network.start_all();
    wait_until("the queue is full", || {
        network.order_one(0);
        lost_lines(&network, 0) > 0
    });
    // It receives messages of the others: transactions that they accept are ordered by it as well.
    network.order_one(1);
    network.equal_chains(&ALL);
    assert_eq!(network.rpc(0).page("/readyz"), Some(200));

    // When the reader continues, the log reports the lost lines.
    let recovered = read_until(reader, RECOVERED);
    wait_until("the gap is logged", || recovered.try_recv().is_ok());
    network.stop(0);

    let (_stalled, writer) = pipe().unwrap();
    network.start_into(0, &["--log-level", "trace"], Outputs::both(&writer));
    wait_until("the queue is full again", || {
        network.order_one(0);
        lost_lines(&network, 0) > 0
    });
    stop_all(&mut network);
}

/// A collector of JSON logs receives only JSON, including the reason why a node does not start.
#[test]
fn a_failed_start_is_reported_in_the_format_of_the_log() {
    let network = Network::testnet(4);
    let home = &network.validators()[0].home;
    std::fs::remove_file(home.join("data/journal.redb")).unwrap();
    let node = |more: &[&str]| {
        let line = Invocation::new(["node", "--log-format", "json", "--home"]).arg(home);
        more.iter().fold(line, |line, argument| line.arg(argument)).run().expect_code(1)
    };
    for (more, words) in [
        (&[][..], "no journal"),
        (&["--set", "rpc.max_batch=0"], "rpc.max_batch"),
        (&["--log-level", "info,="], "--log-level"),
        // The error is not a log event, so it is printed at any level.
        (&["--log-level", "off"], "no journal"),
    ] {
        let finished = node(more);
        let lines: Vec<Value> =
            finished.stderr.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{finished}");
        assert!(last["fields"].to_string().contains(words), "{finished}");
        assert!(last["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{finished}");
    }
}
