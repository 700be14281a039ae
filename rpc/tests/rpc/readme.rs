//! The documentation: every example in it is sent, every method and error is in it.

use quorate_api::{ErrorKind, METHODS};
use quorate_ledger::to_hex;
use quorate_rpc::RpcConfig;

use crate::web::Site;

const README: &str = include_str!("../../README.md");

/// How the examples splice a transaction in.
const SPLICE: &str = r#"'"$TX"'"#;

#[tokio::test]
async fn every_example_is_answered() {
    let site = Site::new();
    let transaction = to_hex(&site.node.transaction(1, b"hello").to_bytes());
    let mut tried = std::collections::BTreeSet::new();
    for line in README.lines().filter_map(|line| line.strip_prefix("curl --json '")) {
        let body = line.strip_suffix("' $RPC").unwrap_or_else(|| panic!("{line}"));
        let body = body.replace(SPLICE, &transaction);
        let request: serde_json::Value = serde_json::from_str(&body).unwrap();
        // Nothing is committed here, and nobody has the time to wait for it.
        let body = body.replace("\"timeout_ms\":5000", "\"timeout_ms\":1");
        let answer = site.post(body.clone()).await.json();
        assert!(answer.get("result").is_some(), "{body}: {answer}");
        tried.insert(request["method"].as_str().unwrap().to_owned());
    }
    let all = METHODS.iter().map(|method| method.name.to_owned()).collect();
    assert_eq!(tried, all, "every method has an example");
}

#[test]
fn every_method_is_documented_with_its_parameters() {
    for method in METHODS {
        let parameters: Vec<String> = method
            .parameters
            .iter()
            .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
            .collect();
        let signature = format!("`{}({})`", method.name, parameters.join(", "));
        assert!(README.contains(&signature), "{signature}");
    }
}

#[test]
fn every_error_is_documented_with_its_code() {
    for kind in ErrorKind::ALL {
        let retryable = if kind.is_retryable() { "yes" } else { "no" };
        let row = format!("| `{kind}` | {} | {retryable} |", kind.code());
        assert!(README.contains(&row), "{row}");
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
        ("bytes of a body", mib(config.max_body_bytes)),
        ("time for a body", seconds(config.body_read_timeout)),
        ("time for a head", seconds(config.header_read_timeout)),
        ("time in which a client", seconds(config.write_stall_timeout)),
        ("entries of a batch", config.max_batch.to_string()),
        ("bytes of an answer", mib(config.max_response_bytes)),
        ("bytes of all bodies", mib(config.max_memory_bytes)),
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
