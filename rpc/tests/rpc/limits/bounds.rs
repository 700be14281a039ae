//! Every limit at its boundary.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures::future::join_all;
use futures::stream;
use quorate_ledger::to_hex;
use serde_json::{Value, json};

use crate::tools::web::{Answer, Site, checked_error};

const HEAD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;

fn refused(answer: &Answer, status: StatusCode, kind: &str) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/json");
    let error = checked_error(&answer.json());
    assert_eq!(error["data"]["kind"], kind);
    error
}

/// A body without an announced length.
fn in_pieces(text: &str) -> Body {
    let pieces: Vec<_> =
        text.as_bytes().chunks(7).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(stream::iter(pieces))
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    let site = Site::with(|config| config.max_body_bytes = 1000);
    let fitting = format!("{HEAD}{}", " ".repeat(1000 - HEAD.len()));
    let longer = format!("{fitting} ");
    assert_eq!(site.post(fitting.clone()).await.status, StatusCode::OK);
    assert_eq!(site.post(in_pieces(&fitting)).await.status, StatusCode::OK);
    for body in [Body::from(longer.clone()), in_pieces(&longer)] {
        let error = refused(&site.post(body).await, StatusCode::PAYLOAD_TOO_LARGE, "request_too_large");
        assert_eq!((&error["code"], &error["data"]["limit"]), (&json!(-32060), &json!(1000)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_times_out() {
    let site = Site::new();
    let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let error = refused(&site.post(body).await, StatusCode::REQUEST_TIMEOUT, "request_timeout");
    assert_eq!(error["data"]["retryable"], true);
}

#[tokio::test]
async fn a_body_that_ends_early_is_refused() {
    let site = Site::new();
    let broken = stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))]);
    refused(&site.post(Body::from_stream(broken)).await, StatusCode::BAD_REQUEST, "parse_error");
}

#[tokio::test]
async fn a_batch_has_at_most_so_many_entries() {
    let site = Site::with(|config| config.max_batch = 3);
    let batch = |count: usize| format!("[{}]", vec![HEAD; count].join(","));
    assert_eq!(site.post(batch(3)).await.json().as_array().unwrap().len(), 3);
    let error = refused(&site.post(batch(4)).await, StatusCode::OK, "batch_too_large");
    assert_eq!((&error["code"], &error["data"]["limit"]), (&json!(-32061), &json!(3)));
    let many = format!("[{}0]", "0,".repeat(1_000_000));
    refused(&site.post(many).await, StatusCode::OK, "batch_too_large");
}

#[tokio::test]
async fn more_requests_than_may_run_are_shed() {
    let site = Site::with(|config| config.max_concurrent_requests = 1);
    let transaction = to_hex(&site.node.transaction(1, b"x").to_bytes());
    let waiting =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": [transaction, "committed"] });
    let (answered, ()) = tokio::join!(site.post(waiting.to_string()), async {
        site.node.until_pending(1).await;
        let shed = site.post(HEAD).await;
        let error = refused(&shed, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        assert_eq!((&error["code"], &error["data"]["retryable"]), (&json!(-32042), &json!(true)));
        assert_eq!(shed.headers["retry-after"], "1");
        assert_eq!(site.get("/livez").await.status, StatusCode::OK, "health is served nevertheless");
        site.node.commit_pool();
    });
    assert_eq!(answered.json()["result"]["status"], "committed");
    assert_eq!(site.post(HEAD).await.status, StatusCode::OK, "places are free again");
}

/// An operator queries the node while all its clients wait for a commit.
#[tokio::test]
async fn waiting_clients_leave_places_for_other_requests() {
    let site = Site::with(|config| config.max_concurrent_requests = 16);
    let submission = |nonce| {
        let transaction = to_hex(&site.node.transaction(nonce, b"x").to_bytes());
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": [transaction, "committed"] })
            .to_string()
    };
    let waiting = join_all((0..12).map(|nonce| site.post(submission(nonce))));
    let (answers, ()) = tokio::join!(waiting, async {
        site.node.until_pending(12).await;
        let error = refused(&site.post(submission(12)).await, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        assert!(error["message"].as_str().unwrap().contains("wait for transactions"), "{error}");
        let batch = format!("[{HEAD},{}]", submission(13));
        refused(&site.post(batch).await, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
        for method in ["node_status", "consensus_explain", "node_peers", "mempool_status"] {
            site.call(method, json!([])).await;
        }
        assert!(site.call("chain_block", json!([0])).await.is_object());
        assert_eq!(site.get("/explain").await.status, StatusCode::OK);
        site.node.commit_pool();
    });
    assert!(answers.iter().all(|answer| answer.json()["result"]["status"] == "committed"));
}

/// A body that arrives slowly takes a connection, but no place.
#[tokio::test]
async fn bodies_in_transit_take_no_places() {
    let site = Site::with(|config| config.max_concurrent_requests = 1);
    let body = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let slow = site.post(body);
    tokio::pin!(slow);
    assert!(futures::poll!(&mut slow).is_pending());
    assert_eq!(site.post(HEAD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn submissions_without_a_wait_are_limited() {
    let site = Site::with(|config| config.max_background_submissions = 1);
    // Both entries are parsed before the first submission runs.
    let entry = |id: u64| {
        let transaction = to_hex(&site.node.transaction(id, b"x").to_bytes());
        json!({ "jsonrpc": "2.0", "id": id, "method": "tx_submit", "params": [transaction, "none"] })
    };
    let answers = site.post(json!([entry(1), entry(2)]).to_string()).await.json();
    assert_eq!(answers[0]["result"]["status"], "unknown");
    assert_eq!(checked_error(&answers[1])["data"]["kind"], "overloaded");
    site.node.until_pending(1).await;
}

#[tokio::test]
async fn an_answer_has_at_most_so_many_bytes() {
    let whole = json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_block", "params": [1] }).to_string();
    let site = Site::with(|config| config.max_response_bytes = 100_000);
    site.node.commit(&[site.node.transaction(1, &[0; 30_000])]);
    let answers = site.post(format!("[{whole},{HEAD},{whole}]")).await.json();
    // The response that is ready first fits.
    let (fits, does_not) = if answers[0].get("result").is_some() { (0, 2) } else { (2, 0) };
    assert!(answers[fits].get("result").is_some() && answers[1].get("result").is_some());
    let error = checked_error(&answers[does_not]);
    assert_eq!(error["data"]["kind"], "response_too_large", "two together are too much");
    assert!(site.post(whole.clone()).await.json().get("result").is_some(), "one is not");

    site.node.commit(&[site.node.transaction(2, &[0; 60_000])]);
    let error = site.fail("chain_block", json!([2])).await;
    assert_eq!((&error["code"], &error["data"]["limit"]), (&json!(-32062), &json!(100_000)));
    assert!(site.call("chain_block", json!([2, false])).await.is_object(), "its ids fit");
}

#[tokio::test]
async fn large_answers_and_bodies_share_a_memory() {
    let site = Site::with(|config| config.max_memory_bytes = 128 << 10);
    site.node.commit(&[site.node.transaction(1, &[0; 60_000])]);
    assert!(site.call("chain_block", json!([1])).await.is_object(), "120 KB take one of two units");
    site.node.commit(&[site.node.transaction(2, &[0; 100_000])]);
    let error = site.fail("chain_block", json!([2])).await;
    assert_eq!(error["data"]["kind"], "overloaded", "200 KB take three");
    let long = format!("{HEAD}{}", " ".repeat(200_000));
    refused(&site.post(long).await, StatusCode::SERVICE_UNAVAILABLE, "overloaded");
    assert!(site.call("chain_block", json!([1])).await.is_object(), "the memory was released");
}

#[tokio::test]
async fn a_large_answer_holds_its_room_until_it_is_sent() {
    use tower::ServiceExt;
    let site = Site::with(|config| config.max_memory_bytes = 128 << 10);
    site.node.commit(&[site.node.transaction(1, &[0; 90_000])]);
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_block", "params": [1] }).to_string();
    let request = Request::post("/").header("content-type", "application/json").body(body.clone());
    let unread = site.router.clone().oneshot(request.unwrap()).await.unwrap();
    let announced: usize = unread.headers()["content-length"].to_str().unwrap().parse().unwrap();
    assert_eq!(checked_error(&site.post(body.clone()).await.json())["data"]["kind"], "overloaded");
    let read = axum::body::to_bytes(unread.into_body(), usize::MAX).await.unwrap();
    assert_eq!(read.len(), announced);
    assert!(site.post(body).await.json().get("result").is_some());
}

#[tokio::test]
async fn many_blocks_come_in_several_answers() {
    let site = Site::new();
    for nonce in 0..12 {
        // 256 KiB is the limit of a transaction in this network.
        site.node.commit(&[site.node.transaction(nonce, &[0; 250_000])]);
    }
    let mut heights = Vec::new();
    let mut answers = 0;
    while heights.len() < 12 {
        let from = heights.last().map_or(1, |height| height + 1);
        let result = site.call("chain_blocks", json!([from, 100])).await;
        let blocks = result["blocks"].as_array().unwrap();
        assert!(!blocks.is_empty());
        heights.extend(blocks.iter().map(|block| block["header"]["height"].as_u64().unwrap()));
        answers += 1;
    }
    assert_eq!(heights, (1..=12).collect::<Vec<_>>());
    assert!(answers > 1, "three megabytes do not fit one answer");
}
