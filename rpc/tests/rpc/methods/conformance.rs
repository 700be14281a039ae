//! JSON-RPC 2.0: every example of the specification, with methods of this interface, and its rules
//! without an example.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::tools::web::{Site, checked_error};

/// The response to a body. Checks the shape of every error in it, and removes message and data of
/// the errors.
async fn answer(site: &Site, body: &str) -> Value {
    let answer = site.post(body.to_owned()).await;
    assert_eq!(answer.status, StatusCode::OK, "{body}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let mut json = answer.json();
    for response in json.as_array_mut().map_or_else(Vec::new, |all| all.iter_mut().collect()) {
        strip(response);
    }
    strip(&mut json);
    json
}

fn strip(response: &mut Value) {
    if response.get("error").is_some() {
        let code = checked_error(response)["code"].clone();
        response["error"] = json!({ "code": code });
    }
}

fn error(code: i32, id: impl Into<Value>) -> Value {
    let id = id.into();
    json!({ "jsonrpc": "2.0", "error": { "code": code }, "id": id })
}

/// Checks that the body gets no response.
async fn assert_silent(site: &Site, body: &str) {
    let answer = site.post(body.to_owned()).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""), "{body}");
}

#[tokio::test]
async fn positional_parameters() {
    let site = Site::new();
    let block = r#"{"jsonrpc": "2.0", "method": "chain_blocks", "params": [0, 1], "id": 1}"#;
    let answered = answer(&site, block).await;
    assert_eq!(answered["id"], 1);
    assert_eq!(answered["result"]["blocks"][0]["header"]["height"], 0);
    let other = block.replace("[0, 1], \"id\": 1", "[1, 1], \"id\": 2");
    assert_eq!(answer(&site, &other).await, json!({ "jsonrpc": "2.0", "result": { "blocks": [] }, "id": 2 }));
}

#[tokio::test]
async fn named_parameters_in_any_order() {
    let site = Site::new();
    let one =
        r#"{"jsonrpc": "2.0", "method": "chain_blocks", "params": {"from_height": 1, "limit": 2}, "id": 3}"#;
    let two =
        r#"{"jsonrpc": "2.0", "method": "chain_blocks", "params": {"limit": 2, "from_height": 1}, "id": 4}"#;
    for (body, id) in [(one, 3), (two, 4)] {
        let expected = json!({ "jsonrpc": "2.0", "result": { "blocks": [] }, "id": id });
        assert_eq!(answer(&site, body).await, expected);
    }
}

#[tokio::test]
async fn a_notification_is_run_and_not_answered() {
    let site = Site::new();
    let transaction = quorate_ledger::to_hex(&site.node.transaction(1, b"hello").to_bytes());
    let notification = json!({ "jsonrpc": "2.0", "method": "tx_submit", "params": [transaction] });
    assert_silent(&site, &notification.to_string()).await;
    assert_eq!(site.node.pending(), 1, "the notification was run");
    assert_silent(&site, r#"{"jsonrpc": "2.0", "method": "foobar"}"#).await;
    assert_silent(&site, r#"{"jsonrpc": "2.0", "method": "chain_block", "params": {"nothing": 1}}"#).await;
}

#[tokio::test]
async fn a_method_that_does_not_exist() {
    let site = Site::new();
    let body = r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#;
    assert_eq!(answer(&site, body).await, error(-32601, json!("1")));
}

#[tokio::test]
async fn a_call_with_invalid_json() {
    let site = Site::new();
    let body = r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#;
    assert_eq!(answer(&site, body).await, error(-32700, Value::Null));
}

#[tokio::test]
async fn a_call_with_an_invalid_request_object() {
    let site = Site::new();
    let body = r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#;
    assert_eq!(answer(&site, body).await, error(-32600, Value::Null));
}

#[tokio::test]
async fn a_batch_with_invalid_json() {
    let site = Site::new();
    let body = r#"[
        {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
        {"jsonrpc": "2.0", "method"
    ]"#;
    assert_eq!(answer(&site, body).await, error(-32700, Value::Null));
}

#[tokio::test]
async fn an_empty_batch_is_an_invalid_request() {
    let site = Site::new();
    assert_eq!(answer(&site, "[]").await, error(-32600, Value::Null));
}

#[tokio::test]
async fn an_invalid_batch_that_is_not_empty() {
    let site = Site::new();
    assert_eq!(answer(&site, "[1]").await, json!([error(-32600, Value::Null)]));
    let three = json!(vec![error(-32600, Value::Null); 3]);
    assert_eq!(answer(&site, "[1,2,3]").await, three);
}

#[tokio::test]
async fn a_batch_of_everything() {
    let site = Site::new();
    let body = r#"[
        {"jsonrpc": "2.0", "method": "chain_blocks", "params": [1], "id": "1"},
        {"jsonrpc": "2.0", "method": "chain_head", "params": []},
        {"jsonrpc": "2.0", "method": "chain_blocks", "params": [2, 3], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "chain_proof", "params": [9], "id": "9"}
    ]"#;
    let expected = json!([
        { "jsonrpc": "2.0", "result": { "blocks": [] }, "id": "1" },
        { "jsonrpc": "2.0", "result": { "blocks": [] }, "id": "2" },
        error(-32600, Value::Null),
        error(-32601, json!("5")),
        { "jsonrpc": "2.0", "result": null, "id": "9" },
    ]);
    assert_eq!(answer(&site, body).await, expected);
}

#[tokio::test]
async fn a_batch_of_notifications_is_not_answered() {
    let site = Site::new();
    let body = r#"[
        {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},
        {"jsonrpc": "2.0", "method": "chain_head"}
    ]"#;
    assert_silent(&site, body).await;
}

#[tokio::test]
async fn ids_come_back_as_they_were_written() {
    let site = Site::new();
    for id in ["0", "-1", "1.5", "1e2", "18446744073709551616", "null", r#""""#, r#""a\"\u00e4""#] {
        let body = format!(r#"{{"jsonrpc": "2.0", "method": "chain_proof", "params": [0], "id": {id}}}"#);
        let answer = site.post(body).await;
        assert_eq!(answer.text, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":null}}"#));
    }
}

#[tokio::test]
async fn invalid_requests_get_an_error() {
    let site = Site::new();
    let null = Value::Null;
    for (body, id) in [
        (r#"{"jsonrpc": "1.0", "method": "chain_head", "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": 2.0, "method": "chain_head", "id": 1}"#, json!(1)),
        (r#"{"method": "chain_head", "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "method": null, "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": "bar", "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": 7, "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": null, "id": 1}"#, json!(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": {}}"#, null.clone()),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": [1]}"#, null.clone()),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": true}"#, null.clone()),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": 1, "id": 2}"#, null.clone()),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": "\ud800"}"#, null.clone()),
        (r#""chain_head""#, null.clone()),
        ("7", null.clone()),
        ("null", null.clone()),
        ("{}", null),
    ] {
        assert_eq!(answer(&site, body).await, error(-32600, id), "{body}");
    }
}

#[tokio::test]
async fn an_inner_array_is_not_a_request() {
    let site = Site::new();
    let body = r#"[["2.0", "chain_head", [], 1]]"#;
    assert_eq!(answer(&site, body).await, json!([error(-32600, Value::Null)]));
}

#[tokio::test]
async fn invalid_json_gets_an_error() {
    let site = Site::new();
    for body in ["", " ", "{", "[1,]", "{} {}", "nul", "\u{0}", "{\"a\":01}"] {
        assert_eq!(answer(&site, body).await, error(-32700, Value::Null), "{body:?}");
    }
    let binary = site.post(vec![0xff, 0xfe, 0x00]).await;
    assert_eq!(checked_error(&binary.json())["code"], -32700);
    // A recursive parser would overflow its stack here.
    let deep = "[".repeat(100_000);
    assert_eq!(answer(&site, &deep).await, error(-32700, Value::Null));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(answer(&site, &deep).await, json!([error(-32600, Value::Null)]));
}

#[tokio::test]
async fn unknown_members_are_ignored() {
    let site = Site::new();
    let body = r#"{"jsonrpc": "2.0", "method": "chain_head", "id": 1, "trace": "x"}"#;
    assert_eq!(answer(&site, body).await["result"]["height"], 0);
}

#[tokio::test]
async fn other_content_types_are_refused_before_anything_is_read() {
    let site = Site::new();
    let body = r#"{"jsonrpc": "2.0", "method": "chain_head", "id": 1}"#;
    for (given, accepted) in [
        (Some("application/json"), true),
        (Some("application/json; charset=utf-8"), true),
        (Some("Application/JSON"), true),
        (Some("text/plain"), false),
        (Some("application/x-www-form-urlencoded"), false),
        (None, false),
    ] {
        let mut request = axum::http::Request::post("/");
        if let Some(given) = given {
            request = request.header("content-type", given);
        }
        let answer = site.send(request.body(body.into()).unwrap()).await;
        let expected = if accepted { StatusCode::OK } else { StatusCode::UNSUPPORTED_MEDIA_TYPE };
        assert_eq!(answer.status, expected, "{given:?}");
        if !accepted {
            assert_eq!(checked_error(&answer.json())["data"]["kind"], "invalid_request");
        }
    }
}

/// Checks requests, each with its response. A response of `null` means none, with HTTP 204.
async fn check_table(site: &Site, table: &[(&str, Value)]) {
    for (body, expected) in table {
        if expected.is_null() {
            assert_silent(site, body).await;
        } else {
            assert_eq!(answer(site, body).await, *expected, "{body}");
        }
    }
}

/// The result of `chain_head`.
async fn head(site: &Site) -> Value {
    answer(site, r#"{"jsonrpc": "2.0", "method": "chain_head", "id": 0}"#).await["result"].clone()
}

fn unknown(id: i64) -> Value {
    error(-32601, id)
}

fn invalid(id: Value) -> Value {
    error(-32600, id)
}

/// Further rules of the specification about requests.
#[tokio::test]
async fn rules_of_requests_without_an_example() {
    let site = Site::new();
    let head = head(&site).await;
    let result = |id: Value| json!({ "jsonrpc": "2.0", "result": head, "id": id });
    let table = [
        // 4: jsonrpc is exactly "2.0".
        (r#"{"jsonrpc": "2", "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.00", "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": " 2.0", "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": null, "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": ["2.0"], "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        // 4: names of members and methods are case-sensitive.
        (r#"{"JSONRPC": "2.0", "method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.0", "Method": "chain_head", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "Chain_Head", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "ID": 1}"#, Value::Null),
        // 4: method is a string; any string is a valid name.
        (r#"{"jsonrpc": "2.0", "method": "", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_head ", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": ["chain_head"], "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "\u0063hain_head", "id": 1}"#, result(json!(1))),
        // 4: rpc. is reserved for extensions, of which rpc.discover is one.
        (r#"{"jsonrpc": "2.0", "method": "rpc.", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": "rpc.chain_head", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": "rpc.methods", "id": 1}"#, unknown(1)),
        (r#"{"jsonrpc": "2.0", "method": "rpc.discover", "params": [1], "id": 1}"#, error(-32602, 1)),
        // 4.1: a request without id is a notification, whatever its outcome; one with the id null
        // is not.
        (r#"{"jsonrpc": "2.0", "method": "chain_head"}"#, Value::Null),
        (r#"{"jsonrpc": "2.0", "method": "rpc.discover"}"#, Value::Null),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": [1]}"#, Value::Null),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "id": null}"#, result(Value::Null)),
        // 4.1: an invalid request is not a notification.
        (r#"{"jsonrpc": "2.0", "params": []}"#, invalid(Value::Null)),
        (r#"{"method": "chain_head"}"#, invalid(Value::Null)),
        // 4.2: params is structured, by position in order or by exact names.
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": {}, "id": 1}"#, result(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": "", "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "chain_head", "params": false, "id": 1}"#, invalid(json!(1))),
        (r#"{"jsonrpc": "2.0", "method": "chain_block", "params": {"At": 0}, "id": 1}"#, error(-32602, 1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_block", "params": [true, 0], "id": 1}"#, error(-32602, 1)),
        (r#"{"jsonrpc": "2.0", "method": "chain_block", "id": 1}"#, error(-32602, 1)),
    ];
    check_table(&site, &table).await;
}

/// Further rules of the specification about responses and batches.
#[tokio::test]
async fn rules_of_responses_without_an_example() {
    let site = Site::new();
    let head = head(&site).await;
    let result = |id: Value| json!({ "jsonrpc": "2.0", "result": head, "id": id });
    let table = [
        // 5: a result of null is a result.
        (
            r#"{"jsonrpc": "2.0", "method": "chain_proof", "params": [0], "id": 1}"#,
            json!({ "jsonrpc": "2.0", "result": null, "id": 1 }),
        ),
        // 6: the response to a batch of one is an array of one; only the client cares about equal
        // ids.
        (r#"[{"jsonrpc": "2.0", "method": "chain_head", "id": 1}]"#, json!([result(json!(1))])),
        (
            r#"[{"jsonrpc": "2.0", "method": "chain_head", "id": 1}, {"jsonrpc": "2.0", "method": "x", "id": 1}]"#,
            json!([result(json!(1)), unknown(1)]),
        ),
        // 6: every entry is handled on its own.
        ("[[]]", json!([invalid(Value::Null)])),
        ("[{}]", json!([invalid(Value::Null)])),
        ("[null]", json!([invalid(Value::Null)])),
        (
            r#"[{"jsonrpc": "2.0", "method": "chain_head"}, {"jsonrpc": "1.0", "method": "chain_head", "id": 7}]"#,
            json!([invalid(json!(7))]),
        ),
        ("[] []", error(-32700, Value::Null)),
        ("\u{feff}{}", error(-32700, Value::Null)),
        (" \r\n\t{\"jsonrpc\":\"2.0\",\"method\":\"chain_head\",\"id\":1}\n", result(json!(1))),
    ];
    check_table(&site, &table).await;
}
