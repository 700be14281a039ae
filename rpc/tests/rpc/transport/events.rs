//! `GET /stream`: blocks as Server-Sent Events.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::support::{TIME_LIMIT, pass};
use crate::tools::web::{Answer, Site, checked_error};

/// A reader of a stream in the same process. It takes a piece only on request.
struct Reader {
    pieces: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    id: Option<u64>,
    kind: String,
    data: Value,
}

impl Reader {
    async fn open(site: &Site, path: &str) -> Self {
        Reader::ask(site, Request::get(path)).await
    }

    async fn ask(site: &Site, request: axum::http::request::Builder) -> Self {
        let response = site.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Reader { pieces: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next block of text that ends with an empty line; `None` at the end.
    async fn paragraph(&mut self) -> Option<String> {
        loop {
            if let Some((paragraph, rest)) = self.text.split_once("\n\n") {
                let (paragraph, rest) = (paragraph.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(paragraph);
            }
            let piece = timeout(TIME_LIMIT, self.pieces.next()).await.expect("nothing comes")?.unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    async fn event(&mut self) -> Option<Event> {
        let paragraph = self.paragraph().await?;
        let field = |name: &str| {
            let start = format!("{name}: ");
            paragraph.lines().find_map(|line| line.strip_prefix(&start)).map(str::to_owned)
        };
        Some(Event {
            id: field("id").map(|id| id.parse().unwrap()),
            kind: field("event").unwrap(),
            data: serde_json::from_str(&field("data").unwrap()).unwrap(),
        })
    }

    async fn heights(&mut self, count: usize) -> Vec<u64> {
        let mut heights = Vec::new();
        for _ in 0..count {
            let event = self.event().await.unwrap();
            assert_eq!(event.kind, "block");
            assert_eq!(event.id, event.data["header"]["height"].as_u64());
            heights.extend(event.id);
        }
        heights
    }

    /// The end event; checks that nothing follows it.
    async fn end(&mut self) -> Value {
        let event = self.event().await.unwrap();
        assert_eq!((event.kind.as_str(), event.id), ("end", None), "{event:?}");
        assert!(self.paragraph().await.is_none());
        let error = checked_error(&json!({ "error": event.data }));
        assert_eq!(error["data"]["kind"], "subscription_ended");
        error["data"].clone()
    }
}

#[tokio::test]
async fn every_block_comes_once_and_in_order_while_the_chain_grows() {
    let site = Site::new();
    for nonce in 0..20 {
        site.node.commit(&[site.node.transaction(nonce, b"before")]);
    }
    let mut reader = Reader::open(&site, "/stream?from_height=1").await;
    let mut blocks = Vec::new();
    for nonce in 20..60 {
        site.node.commit(&[site.node.transaction(nonce, &[0; 10_000])]);
        blocks.push(reader.event().await.unwrap());
    }
    // Two blocks at a time, the first of them without its own certificate.
    site.node.commit_through_descendant(&[site.node.transaction(60, b"last")]);
    while blocks.len() < 62 {
        blocks.push(reader.event().await.unwrap());
    }
    for (height, block) in (1..=62).zip(blocks) {
        assert_eq!((block.id, block.kind.as_str()), (Some(height), "block"));
        assert_eq!(block.data, site.call("chain_block", json!([height])).await, "the same as chain_block");
    }
}

#[tokio::test]
async fn a_stream_begins_at_the_requested_height() {
    let site = Site::new();
    for nonce in 0..3 {
        site.node.commit(&[site.node.transaction(nonce, b"x")]);
    }
    assert_eq!(Reader::open(&site, "/stream?from_height=0").await.heights(4).await, [0, 1, 2, 3]);
    let mut ids = Reader::open(&site, "/stream?from_height=3&full=false").await;
    assert_eq!(ids.event().await.unwrap().data, site.call("chain_block", json!([3, false])).await);

    let (mut new, mut ahead) =
        (Reader::open(&site, "/stream").await, Reader::open(&site, "/stream?from_height=6").await);
    for nonce in 3..7 {
        site.node.commit(&[site.node.transaction(nonce, b"x")]);
    }
    assert_eq!(new.heights(4).await, [4, 5, 6, 7], "without a height it begins with the next block");
    assert_eq!(ahead.heights(2).await, [6, 7], "the stream waits for future blocks");
}

#[tokio::test]
async fn a_stream_continues_after_the_last_seen_event() {
    let site = Site::new();
    for nonce in 0..5 {
        site.node.commit(&[site.node.transaction(nonce, b"x")]);
    }
    // A browser repeats its first address when it reconnects.
    let again = Request::get("/stream?from_height=1").header("last-event-id", "3");
    assert_eq!(Reader::ask(&site, again).await.heights(2).await, [4, 5]);
}

async fn refused(site: &Site, request: axum::http::request::Builder) -> (StatusCode, Value) {
    let Answer { status, text, .. } = site.send(request.body(Body::empty()).unwrap()).await;
    (status, checked_error(&serde_json::from_str(&text).unwrap())["data"].clone())
}

#[tokio::test]
async fn invalid_requests_are_refused_before_the_stream_begins() {
    let site = Site::new();
    for path in ["/stream?from_height=one", "/stream?from_height=-1", "/stream?full=yes", "/stream?form=1"] {
        let (status, data) = refused(&site, Request::get(path)).await;
        assert_eq!((status, &data["kind"]), (StatusCode::BAD_REQUEST, &json!("invalid_params")), "{path}");
    }
    for seen in ["x", "18446744073709551615"] {
        let request = Request::get("/stream").header("last-event-id", seen);
        let (status, data) = refused(&site, request).await;
        assert_eq!((status, &data["kind"]), (StatusCode::BAD_REQUEST, &json!("invalid_params")), "{seen}");
    }
    let (status, data) = refused(&site, Request::get("/stream?from_height=1026")).await;
    assert_eq!((status, &data["kind"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("syncing")));
    assert_eq!(data["head_height"], 0, "1024 above the next one is the limit");
    drop(Reader::open(&site, "/stream?from_height=1025").await);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_sends_signs_of_life() {
    let site = Site::new();
    let mut reader = Reader::open(&site, "/stream").await;
    let begun = tokio::time::Instant::now();
    assert_eq!(reader.paragraph().await.unwrap(), ":");
    assert_eq!(reader.paragraph().await.unwrap(), ":");
    assert_eq!(begun.elapsed().as_secs(), 30);
    site.node.commit(&[]);
    assert_eq!(reader.heights(1).await, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_its_position() {
    let site = Site::new();
    for nonce in 0..5 {
        site.node.commit(&[site.node.transaction(nonce, &[0; 100_000])]);
    }
    let mut reader = Reader::open(&site, "/stream?from_height=1").await;
    assert_eq!(reader.heights(1).await, [1]);
    // 200 KB of JSON are four units, each of which may take ten seconds.
    pass(Duration::from_secs(39)).await;
    assert_eq!(reader.heights(1).await, [2], "slow, but not too slow");
    pass(Duration::from_secs(41)).await;
    let end = reader.end().await;
    assert_eq!((&end["reason"], &end["next_height"]), (&json!("slow_reader"), &json!(3)));
    assert_eq!(end["retryable"], true);
    assert_eq!(
        Reader::open(&site, "/stream?from_height=3").await.heights(3).await,
        [3, 4, 5],
        "none is lost"
    );
}

#[tokio::test]
async fn a_stream_without_memory_for_its_next_block_ends() {
    let site = Site::with(|config| config.max_memory_bytes = 128 << 10);
    site.node.commit(&[]);
    site.node.commit(&[site.node.transaction(1, &[0; 200_000])]);
    // The stream reads both blocks together.
    let end = Reader::open(&site, "/stream?from_height=1").await.end().await;
    assert_eq!((&end["reason"], &end["next_height"]), (&json!("overloaded"), &json!(1)));
}

#[tokio::test]
async fn the_number_of_streams_is_limited() {
    let site = Site::with(|config| config.max_streams = 1);
    let reader = Reader::open(&site, "/stream").await;
    let (status, data) = refused(&site, Request::get("/stream")).await;
    assert_eq!((status, &data["kind"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")));
    drop(reader);
    let again = async {
        loop {
            let request = Request::get("/stream").body(Body::empty()).unwrap();
            if site.router.clone().oneshot(request).await.unwrap().status() == StatusCode::OK {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(TIME_LIMIT, again).await.expect("the place of a reader that left is free");
}
