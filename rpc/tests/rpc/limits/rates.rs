//! The limit of requests per second.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use quorate_rpc::RpcConfig;
use serde_json::json;
use tokio::time::{Duration, advance};
use tower::ServiceExt;

use crate::tools::web::{Answer, Site, Wire, checked_error};
use crate::transport::server::{start, stop};

const HEAD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;

/// Two requests a second, four at once, and batches of that many.
fn slow(config: &mut RpcConfig) {
    config.max_requests_per_second = 2;
    config.max_request_burst = 4;
    config.max_batch = 4;
}

fn from(client: &str, mut request: Request<Body>) -> Request<Body> {
    let address: SocketAddr = format!("{client}:1").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(address));
    request
}

async fn send(site: &Site, client: &str, request: Request<Body>) -> Answer {
    site.send(from(client, request)).await
}

async fn post(site: &Site, client: &str, body: &str) -> Answer {
    let request = Request::post("/").header("content-type", "application/json");
    send(site, client, request.body(body.to_owned().into()).unwrap()).await
}

fn batch(count: usize) -> String {
    format!("[{}]", vec![HEAD; count].join(","))
}

fn assert_limited(answer: &Answer, retry_after_ms: u64, retry_after: &str) {
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", answer.text);
    assert_eq!(answer.headers["retry-after"], retry_after);
    assert_eq!(answer.headers["content-type"], "application/json");
    let error = checked_error(&answer.json());
    assert_eq!((&error["code"], &error["data"]["kind"]), (&json!(-32043), &json!("rate_limited")));
    assert_eq!(error["data"]["retryable"], true);
    assert_eq!(error["data"]["retry_after_ms"], retry_after_ms);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_rate_says_when_to_retry() {
    let site = Site::with(slow);
    for _ in 0..4 {
        assert_eq!(post(&site, "192.0.2.1", HEAD).await.status, StatusCode::OK);
    }
    assert_limited(&post(&site, "192.0.2.1", HEAD).await, 500, "1");
    assert_eq!(
        post(&site, "192.0.2.2", HEAD).await.status,
        StatusCode::OK,
        "other addresses are not limited"
    );
    for _ in 0..2 {
        assert_eq!(
            post(&site, "127.0.0.1", &batch(4)).await.status,
            StatusCode::OK,
            "loopback is not limited"
        );
    }
    let health = Request::get("/livez").body(Body::empty()).unwrap();
    assert_eq!(
        send(&site, "192.0.2.1", health).await.status,
        StatusCode::OK,
        "health is served nevertheless"
    );
    advance(Duration::from_millis(500)).await;
    assert_eq!(post(&site, "192.0.2.1", HEAD).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn opening_a_stream_is_a_request() {
    let site = Site::with(slow);
    let get = |path: &str, client: &str| {
        let request = from(client, Request::get(path).body(Body::empty()).unwrap());
        site.router.clone().oneshot(request)
    };
    for _ in 0..2 {
        assert_eq!(get("/stream", "192.0.2.1").await.unwrap().status(), StatusCode::OK);
        assert!(get("/ws", "192.0.2.1").await.unwrap().status().is_client_error(), "that was not an upgrade");
    }
    for path in ["/stream", "/ws"] {
        assert_eq!(get(path, "192.0.2.1").await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    assert_eq!(
        get("/stream", "192.0.2.2").await.unwrap().status(),
        StatusCode::OK,
        "other addresses are not limited"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_counts_as_its_entries_and_is_run_whole_or_not_at_all() {
    let site = Site::with(slow);
    assert_eq!(post(&site, "192.0.2.1", &batch(3)).await.json().as_array().unwrap().len(), 3);
    let transaction = quorate_ledger::to_hex(&site.node.transaction(1, b"x").to_bytes());
    let submit = json!({ "jsonrpc": "2.0", "method": "tx_submit", "params": [transaction] });
    let two = json!([submit, submit]).to_string();
    // Reading it takes the last token, so the client must wait for the tokens of both entries.
    assert_limited(&post(&site, "192.0.2.1", &two).await, 1000, "1");
    assert_eq!(site.node.pending(), 0, "nothing was run");
    // A retry exactly at the given time is admitted. Notifications count too.
    advance(Duration::from_millis(1000)).await;
    assert_eq!(post(&site, "192.0.2.1", &two).await.status, StatusCode::NO_CONTENT);
    assert_eq!(site.node.pending(), 1);
    assert_limited(&post(&site, "192.0.2.1", "{").await, 500, "1");
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_gets_the_time_for_all_of_it() {
    let site = Site::with(slow);
    for _ in 0..4 {
        assert_eq!(post(&site, "192.0.2.1", HEAD).await.status, StatusCode::OK);
    }
    // The bucket is empty: it gets one token in 500 ms, four in 2 s.
    assert_limited(&post(&site, "192.0.2.1", HEAD).await, 500, "1");
    assert_limited(&post(&site, "192.0.2.1", &batch(3)).await, 1500, "2");
    assert_limited(&post(&site, "192.0.2.1", &batch(4)).await, 2000, "2");
    assert_limited(&post(&site, "192.0.2.1", &format!("[{}", batch(4))).await, 500, "1");
    // A large body is not read only to refuse it: the response has the time for the largest batch.
    let large = format!("{HEAD}{}", " ".repeat(100_000));
    assert_limited(&post(&site, "192.0.2.1", &large).await, 2000, "2");
    advance(Duration::from_millis(1500)).await;
    assert_eq!(
        post(&site, "192.0.2.1", &batch(3)).await.status,
        StatusCode::OK,
        "the retry came at the given time"
    );
}

#[tokio::test]
async fn the_server_knows_who_connects() {
    let (_, server) = start(|config| {
        config.max_requests_per_second = 1;
        config.max_request_burst = 100;
        config.limit_loopback = true;
    })
    .await;
    let mut wire = Wire::open(server.local_addr()).await;
    wire.post(&batch(100)).await;
    assert!(wire.read_until("]").await.starts_with("HTTP/1.1 200"));
    // Another connection from the same address. Its bucket needs a hundred seconds to become full
    // again.
    let mut other = Wire::open(server.local_addr()).await;
    other.post(&batch(100)).await;
    let refused = other.read_until("\"rate_limited\"").await;
    assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("\r\nretry-after: "), "{refused}");
    stop(server).await;
}
