//! The documentation: every example works, and every method and error is documented.

use std::collections::BTreeSet;

use quorate_api::{EndReason, ErrorKind, METHODS, Method, NOTIFICATION, ProgressState, STREAM_METHODS};
use quorate_ledger::to_hex;
use quorate_rpc::RpcConfig;
use serde_json::Value;

use crate::tools::described::{described, described_for_print};
use crate::tools::web::{Site, Wire};
use crate::transport::socket::{Host, Socket, height};

const README: &str = include_str!("../../../README.md");

/// The placeholder of a transaction in the examples.
const SPLICE: &str = r#"'"$TX"'"#;

#[tokio::test]
async fn every_example_is_answered() {
    let site = Site::new();
    let transaction = to_hex(&site.node.transaction(1, b"hello").to_bytes());
    let described = described().await;
    let mut tried = BTreeSet::new();
    for body in README.lines().filter_map(example) {
        let body = body.replace(SPLICE, &transaction);
        let request: Value = serde_json::from_str(&body).unwrap();
        let method = request["method"].as_str().unwrap();
        for (name, value) in named(method, &request["params"]) {
            assert!(described.takes(method, name, value), "{body}");
        }
        // Nothing is committed here, so do not wait for long.
        let body = body.replace("\"timeout_ms\":5000", "\"timeout_ms\":1");
        let answer = site.post(body.clone()).await.json();
        assert!(answer.get("result").is_some(), "{body}: {answer}");
        described.check_response(method, &answer);
        tried.insert(method.to_owned());
    }
    let all = METHODS.iter().map(|method| method.name.to_owned()).collect();
    assert_eq!(tried, all, "every method has an example");
}

#[tokio::test]
async fn every_example_of_a_stream_works() {
    let host = Host::start(|_| {}).await;
    host.grow(1, 100);
    let mut socket = Socket::open(&host).await;
    let requests: Vec<&str> = README.lines().filter_map(|line| line.strip_prefix("> ")).collect();
    assert_eq!(requests.len(), 3);
    for request in requests {
        socket.send(request).await;
        let id = serde_json::from_str::<Value>(request).unwrap()["id"].clone();
        let answer = socket.json().await;
        assert!(answer["id"] == id && answer.get("result").is_some(), "{request}: {answer}");
        if id == 1 {
            assert_eq!(height(&socket.notification().await.1.unwrap()), 1);
        }
    }
    let path = README.lines().find_map(|line| line.strip_prefix("curl -N \"$RPC")?.strip_suffix('"'));
    let mut wire = Wire::open(host.address()).await;
    wire.send(&format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path.unwrap())).await;
    wire.read_until("id: 1\nevent: block\ndata: {").await;
    drop(socket);
    host.stop().await;
}

#[test]
fn every_end_of_a_stream_is_documented() {
    use EndReason::{Damaged, Internal, Overloaded, Pruned, SlowReader, Stopping};
    for reason in [SlowReader, Stopping, Pruned, Overloaded, Damaged, Internal] {
        let row = format!("| `{}` |", serde_json::to_value(reason).unwrap().as_str().unwrap());
        assert!(README.contains(&row), "{row}");
    }
}

/// The body that a shell line sends, if it is an example.
fn example(line: &str) -> Option<&str> {
    let body = line.strip_prefix("curl --json '")?;
    Some(body.strip_suffix("' $RPC").unwrap_or_else(|| panic!("{line}")))
}

/// Parameters by name, given by name or by position.
fn named<'a>(method: &str, params: &'a Value) -> Vec<(&'a str, &'a Value)> {
    let parameters = Method::find(METHODS, method).unwrap().parameters;
    match params {
        Value::Array(values) => parameters.iter().map(|parameter| parameter.name).zip(values).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.as_str(), value)).collect(),
        _ => Vec::new(),
    }
}

/// Every shown response agrees with the description of its method. Its request is the one with the
/// same id in the same section; a response without a request is an error that any request may get.
#[tokio::test]
async fn every_answer_that_is_shown_is_described() {
    let described = described_for_print().await;
    let mut shown = BTreeSet::new();
    for section in sections() {
        let requests: Vec<Value> = section
            .lines()
            .filter_map(|line| example(line).or_else(|| line.strip_prefix("> ")))
            .map(|body| serde_json::from_str(&body.replace(SPLICE, "0x")).unwrap())
            .collect();
        for block in section.split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            for answer in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
                let answer = answer.unwrap_or_else(|error| panic!("{error}: {block}"));
                assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
                if answer["method"] == NOTIFICATION {
                    let end = answer["params"].get("error");
                    end.into_iter().for_each(|error| described.check_error(error));
                    continue;
                }
                match requests.iter().find(|request| request["id"] == answer["id"]) {
                    Some(request) => {
                        let method = request["method"].as_str().unwrap();
                        described.check_response(method, &answer);
                        shown.insert(method.to_owned());
                    }
                    None => described.check_error(&answer["error"]),
                }
            }
        }
    }
    let all = METHODS.iter().map(|method| method.name.to_owned());
    // Its result is longer than the page.
    assert_eq!(
        shown,
        all.filter(|name| name != "rpc.discover").collect(),
        "every method has a shown response"
    );
}

/// The parts of the page from one heading to the next.
fn sections() -> Vec<&'static str> {
    let mut starts: Vec<usize> = README.match_indices("\n#").map(|(at, _)| at).collect();
    starts.push(README.len());
    starts.windows(2).map(|pair| &README[pair[0]..pair[1]]).collect()
}

#[test]
fn every_method_has_a_section_with_its_parameters_and_an_example() {
    for method in METHODS.iter().chain(STREAM_METHODS) {
        let parameters: Vec<String> = method
            .parameters
            .iter()
            .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
            .collect();
        let signature = format!("`{}({})`", method.name, parameters.join(", "));
        let call = format!(r#""method":"{}""#, method.name);
        // One transcript shows all methods of streams.
        let shown =
            |section: &str| section.contains(&call) || Method::find(STREAM_METHODS, method.name).is_some();
        let described = |section: &&str| section.contains(&signature) && shown(section);
        assert!(sections().iter().any(described), "{signature}");
    }
}

#[tokio::test]
async fn the_size_of_the_description_is_documented() {
    let answer = Site::new().post(r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#).await;
    let told = README.split("It has some ").nth(1).unwrap().split(" KB").next().unwrap();
    let told: usize = told.parse().unwrap();
    assert!(answer.text.len().abs_diff(told * 1000) < 3000, "{} bytes, not {told} KB", answer.text.len());
}

#[test]
fn every_error_is_documented_with_its_code() {
    for kind in ErrorKind::ALL {
        let retryable = if kind.is_retryable() { "yes" } else { "no" };
        let row = format!("| `{kind}` | {} | {retryable} |", kind.code());
        assert!(README.contains(&row), "{row}");
    }
}

#[test]
fn every_state_of_an_explanation_is_documented() {
    for state in ProgressState::ALL {
        assert!(README.contains(&format!("| `{state}` |")), "{state}");
    }
}

/// The table of limits names the defaults.
#[test]
fn the_defaults_are_documented() {
    let config = RpcConfig::default();
    let mib = |bytes: usize| format!("{} MiB", bytes >> 20);
    let seconds = |duration: std::time::Duration| format!("{} s", duration.as_secs());
    for (limit, value) in [
        ("open connections", config.max_connections.to_string()),
        ("JSON-RPC requests at a time", config.max_concurrent_requests.to_string()),
        ("requests of one address in", format!("{} per second", config.max_requests_per_second)),
        ("requests of one address at", config.max_request_burst.to_string()),
        ("bytes of a body", mib(config.max_body_bytes)),
        ("time for a body", seconds(config.body_read_timeout)),
        ("time for a head", seconds(config.header_read_timeout)),
        ("time in which a client", seconds(config.write_stall_timeout)),
        ("entries of a batch", config.max_batch.to_string()),
        ("bytes of a response", mib(config.max_response_bytes)),
        ("bytes of all bodies", mib(config.max_memory_bytes)),
        ("WebSockets and event streams", config.max_streams.to_string()),
        ("streams of one address", config.max_streams_per_address.to_string()),
        ("subscriptions of a WebSocket", config.max_subscriptions.to_string()),
        ("requests of a WebSocket", config.max_socket_requests.to_string()),
        ("bytes of a message", mib(config.max_message_bytes)),
        ("time in which a stream's reader", seconds(config.stream_write_timeout)),
        ("silence of a stream", seconds(config.stream_keep_alive)),
        ("reads of whole blocks", config.max_block_reads.to_string()),
        (
            "wait of `tx_submit`",
            format!("{}, at most {}", seconds(config.default_wait), seconds(config.max_wait)),
        ),
        ("`wait: none` submissions", config.max_background_submissions.to_string()),
    ] {
        let row = README.lines().find(|line| line.starts_with(&format!("| {limit}")));
        let row = row.unwrap_or_else(|| panic!("{limit} is not in the table"));
        assert!(row.contains(&format!("| {value} |")), "{limit} is {value}: {row}");
    }
    assert!(README.contains(&format!("`{}`", config.listen)));
}
