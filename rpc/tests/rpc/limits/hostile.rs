//! Requests of legal size that try to cost as much as possible: the responses and the costs stay
//! small.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::tools::web::{Site, checked_error};

/// Characters that cost most when they are formatted with their escapes; 3.6 MB of them fit a body.
const SMILEYS: usize = 900_000;

/// Most bytes of an error response.
const MAX_ERROR_BYTES: usize = 2048;

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn hostile() -> Vec<(&'static str, String)> {
    let smileys = format!("\"{}\"", "😀".repeat(SMILEYS));
    let escapes = format!("\"{}\"", "\\u0001".repeat(600_000));
    let digits = "1".repeat(3_600_000);
    let deep = format!("{}{}", "[".repeat(1_800_000), "]".repeat(1_800_000));
    let many = format!("[{}0]", "0,".repeat(1_800_000));
    let members: String = (0..250_000).map(|n| format!("\"{n:06}\":1,")).collect();
    let members = format!("{{{members}\"x\":1}}");
    vec![
        ("a block", call("chain_block", &format!("[{smileys}]"))),
        ("a block by name", call("chain_block", &format!("{{\"at\":{smileys}}}"))),
        ("a block with escapes", call("chain_block", &format!("[{escapes}]"))),
        ("a block of digits", call("chain_block", &format!("[{digits}]"))),
        ("a block of brackets", call("chain_block", &format!("[{deep}]"))),
        ("a flag", call("chain_block", &format!("[1,{smileys}]"))),
        ("a height", call("chain_proof", &format!("[{smileys}]"))),
        ("an id", call("tx_status", &format!("[{smileys}]"))),
        ("a transaction", call("tx_submit", &format!("[{smileys}]"))),
        ("a transaction of digits", call("tx_submit", &format!("[{digits}]"))),
        ("a wait", call("tx_submit", &format!("[\"0x\",{smileys}]"))),
        ("a time", call("tx_submit", &format!("[\"0x\",\"none\",{smileys}]"))),
        ("a parameter too many", call("chain_head", &format!("[{smileys}]"))),
        ("many parameters", call("chain_block", &many)),
        ("an unknown parameter", call("chain_block", &format!("{{{smileys}:1}}"))),
        ("many unknown parameters", call("chain_block", &members)),
        ("parameters that are none", call("chain_block", &smileys)),
        ("a method", format!(r#"{{"jsonrpc":"2.0","id":1,"method":{smileys}}}"#)),
        ("an id of the request", format!(r#"{{"jsonrpc":"2.0","id":{smileys},"method":"x"}}"#)),
        ("an id of digits", format!(r#"{{"jsonrpc":"2.0","id":{digits},"method":"chain_head"}}"#)),
        ("a version", format!(r#"{{"jsonrpc":{smileys},"id":1,"method":"x"}}"#)),
        ("an unknown member", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x",{smileys}:1}}"#)),
        ("many unknown members", format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x",{}"#, &members[1..])),
        ("no request", smileys.clone()),
        ("no JSON", format!("{smileys}x")),
        ("a large batch", many.clone()),
        ("a string in a batch", format!("[{smileys}]")),
    ]
}

fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Everything runs on the thread of the test, whose processor time does not depend on other load of
/// the machine.
#[tokio::test]
async fn no_request_costs_much_more_than_reading_it() {
    let site = Site::new();
    let cost = async |body: String| {
        let before = used();
        let answer = site.post(body).await;
        (used() - before, answer)
    };
    // A value that is not parsed costs only the reading.
    let padding = format!(r#","x":"{}"}}"#, "😀".repeat(SMILEYS));
    let plain = call("chain_head", "[]").replace('}', &padding);
    let (reading, answer) = cost(plain).await;
    assert_eq!(answer.json()["result"]["height"], 0);
    for (what, body) in hostile() {
        let (took, answer) = cost(body).await;
        let size = answer.text.len();
        assert!(size <= MAX_ERROR_BYTES, "{what}: an answer of {size} bytes");
        let json = answer.json();
        let error = checked_error(json.get(0).unwrap_or(&json));
        let message = error["message"].as_str().unwrap();
        assert!(message.matches('😀').count() <= 64, "{what}: {message}");
        assert!(
            took < 20 * reading.max(Duration::from_millis(1)),
            "{what}: {took:?}, reading takes {reading:?}"
        );
    }
}

#[tokio::test]
async fn a_batch_of_errors_is_answered_by_short_ones() {
    let site = Site::new();
    let long = "😀".repeat(9_000);
    let entries: Vec<_> = (0..100)
        .map(
            |_| json!({ "jsonrpc": "2.0", "id": "i".repeat(250), "method": "chain_block", "params": [long] }),
        )
        .collect();
    let answer = site.post(json!(entries).to_string()).await;
    assert_eq!(answer.json().as_array().unwrap().len(), 100);
    assert!(answer.text.len() < 100 * MAX_ERROR_BYTES, "{}", answer.text.len());
}

#[tokio::test]
async fn an_id_has_a_limit() {
    let site = Site::new();
    let ask = |id: String| {
        let site = &site;
        async move {
            let body = format!(r#"{{"jsonrpc":"2.0","id":"{id}","method":"chain_head"}}"#);
            site.post(body).await.json()
        }
    };
    let longest = "i".repeat(254);
    assert_eq!(ask(longest.clone()).await["id"], longest);
    let refused = ask("i".repeat(255)).await;
    assert!(refused["id"].is_null(), "{refused}");
    let error = checked_error(&refused);
    assert_eq!(error["data"]["kind"], "invalid_request");
    assert!(error["message"].as_str().unwrap().contains("257 bytes, but at most 256"), "{error}");
}

#[tokio::test]
async fn a_query_is_not_repeated_at_length() {
    let site = Site::new();
    let answer = site.get(&format!("/stream?{}=1", "x".repeat(30_000))).await;
    let error = checked_error(&answer.json());
    assert_eq!(error["data"]["kind"], "invalid_params");
    assert!(answer.text.len() < 500, "{}", answer.text);
}
