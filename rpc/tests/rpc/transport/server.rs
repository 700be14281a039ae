//! The server over real sockets.

use std::sync::Arc;
use std::time::Duration;

use quorate_ledger::to_hex;
use quorate_rpc::{RpcConfig, RpcServer, RpcStartError, serve};
use serde_json::json;
use tokio::time::timeout;

use crate::support::{FakeNode, TIME_LIMIT};
use crate::tools::web::Wire;

const HEAD: &str = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;

pub(crate) async fn start(change: impl FnOnce(&mut RpcConfig)) -> (Arc<FakeNode>, RpcServer) {
    let mut config = RpcConfig { listen: ([127, 0, 0, 1], 0).into(), ..RpcConfig::default() };
    change(&mut config);
    let node = Arc::new(FakeNode::new());
    let server = serve(config, Arc::clone(&node), None).await.unwrap();
    (node, server)
}

pub(crate) async fn stop(server: RpcServer) {
    timeout(TIME_LIMIT, server.shutdown()).await.expect("the server stops");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let (_, server) = start(|_| {}).await;
    let mut wire = Wire::open(server.local_addr()).await;
    for _ in 0..3 {
        wire.post(HEAD).await;
        let answer = wire.read_until("\"height\":0").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    wire.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(wire.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 404"), "there is no registry");
    stop(server).await;
}

#[tokio::test]
async fn a_busy_port_is_named() {
    let (node, server) = start(|_| {}).await;
    let config = RpcConfig { listen: server.local_addr(), ..RpcConfig::default() };
    let error = serve(config, node, None).await.unwrap_err();
    assert!(matches!(error, RpcStartError::Bind { .. }));
    let text = error.to_string();
    assert!(text.contains(&server.local_addr().to_string()) && text.contains("choose another"), "{text}");
}

#[tokio::test]
async fn settings_that_serve_nothing_are_refused() {
    let node = Arc::new(FakeNode::new());
    for value in [0, usize::MAX] {
        let config = RpcConfig { max_batch: value, ..RpcConfig::default() };
        let error = serve(config, Arc::clone(&node), None).await.unwrap_err();
        assert!(error.to_string().contains(&format!("max_batch is {value}: choose 1 to")), "{error}");
    }
    let config = RpcConfig { max_request_burst: 99, ..RpcConfig::default() };
    let error = serve(config, node, None).await.unwrap_err();
    assert!(
        error.to_string().contains("max_request_burst is 99"),
        "no batch of a hundred could pass: {error}"
    );
}

#[tokio::test]
async fn connections_above_the_limit_get_an_error() {
    let (_, server) = start(|config| config.max_connections = 1).await;
    let mut first = Wire::open(server.local_addr()).await;
    first.post(HEAD).await;
    first.read_until("\"height\":0").await;

    let mut second = Wire::open(server.local_addr()).await;
    second.post(HEAD).await;
    let refused = second.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("\"overloaded\""), "{refused}");

    first.post(HEAD).await;
    first.read_until("\"height\":0").await;
    drop(first);
    // The place is free once the server has noticed the end of the first connection.
    let again = async {
        loop {
            let mut third = Wire::open(server.local_addr()).await;
            third.send("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
            if third.read_to_end().await.starts_with("HTTP/1.1 200") {
                break;
            }
        }
    };
    timeout(TIME_LIMIT, again).await.expect("the place of a closed connection is free");
    stop(server).await;
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let (_, server) = start(|config| config.header_read_timeout = Duration::from_millis(50)).await;
    for beginning in ["", "POST / HTTP/1.1\r\nhost: no", "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(beginning).await;
        // The server closes the connection; the last one after a response and some idle time.
        let answer = wire.read_to_end().await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), beginning.ends_with("\r\n\r\n"), "{answer}");
    }
    stop(server).await;
}

#[tokio::test]
async fn malformed_input_is_refused_and_harms_no_other_client() {
    let (_, server) = start(|_| {}).await;
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for garbage in
        ["\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &many_headers, &long_header]
    {
        let mut wire = Wire::open(server.local_addr()).await;
        // A reset while the client still sends is acceptable.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut wire.0, garbage.as_bytes()).await;
        let answer = wire.read_to_end().await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let mut wire = Wire::open(server.local_addr()).await;
    wire.post(HEAD).await;
    wire.read_until("\"height\":0").await;
    stop(server).await;
}

/// The response to a raw request.
async fn answer_to(server: &RpcServer, request: &str) -> String {
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(request).await;
    wire.read_until("\r\n\r\n").await.to_ascii_lowercase()
}

#[tokio::test]
async fn http_follows_the_rfcs() {
    let (_, server) = start(|_| {}).await;
    let long =
        |bytes: usize| format!("GET /livez HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(bytes));
    // The first line has 21 bytes, and the rest of the headers 22.
    let most = (32 << 10) - 21 - 22;
    let upgrade = "host: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    let post = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    for (request, status, said) in [
        // RFC 9112, 3.2
        ("GET /livez HTTP/1.1\r\n\r\n".to_owned(), 400, "exactly one valid host"),
        (
            "GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n".to_owned(),
            400,
            "connection: close",
        ),
        ("GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), 400, ""),
        ("GET /livez HTTP/1.0\r\n\r\n".to_owned(), 200, ""),
        // RFC 6585, 5
        (long(most), 200, ""),
        (long(most + 1), 431, "request_too_large"),
        // RFC 6455, 4.4
        (
            format!("GET /ws HTTP/1.1\r\n{upgrade}sec-websocket-version: 8\r\n\r\n"),
            426,
            "sec-websocket-version: 13",
        ),
        ("GET /ws HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 426, "upgrade: websocket"),
        // RFC 9110, 15.5.6
        ("PUT / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 405, "allow: "),
        ("POST /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 405, "allow: get,head"),
        ("POST /stream HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 405, "allow: get,head"),
        ("POST /blocks HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 405, "allow: get,head"),
        // RFC 9110, 15.5.16
        (
            format!("{post}content-encoding: gzip\r\ncontent-length: 0\r\n\r\n"),
            415,
            "accept-encoding: identity",
        ),
        (
            format!("{post}content-encoding: identity\r\ncontent-length: {}\r\n\r\n{HEAD}", HEAD.len()),
            200,
            "",
        ),
    ] {
        let answer = answer_to(&server, &request).await;
        let line = request.lines().next().unwrap();
        assert_eq!(answer[9..12], status.to_string(), "{line}: {answer}");
        assert!(answer.contains(said), "{line}: {answer}");
    }
    let allow = answer_to(&server, "PUT / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let allow = allow.lines().find_map(|line| line.strip_prefix("allow: ")).unwrap();
    let mut methods: Vec<&str> = allow.split(',').collect();
    methods.sort_unstable();
    assert_eq!(methods, ["get", "head", "post"]);
    stop(server).await;
}

/// hyper does not notice that a client disconnects if the client has sent data after its request.
#[tokio::test]
async fn a_stream_ends_when_its_reader_disconnects_whatever_it_sent() {
    let (_, server) = start(|config| config.max_streams = 1).await;
    let request = "GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut reader = Wire::open(server.local_addr()).await;
    reader.send(&format!("{request}{request}and more")).await;
    assert!(reader.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200"));
    let mut other = Wire::open(server.local_addr()).await;
    other.send(request).await;
    assert!(other.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 503"), "the place is taken");
    drop(reader);
    // Long before a sign of life could fail.
    let again = async {
        loop {
            let mut next = Wire::open(server.local_addr()).await;
            next.send(request).await;
            if next.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200") {
                break;
            }
        }
    };
    timeout(Duration::from_secs(10), again).await.expect("the place is free again");
    stop(server).await;
}

#[tokio::test]
async fn stopping_serves_requests_in_flight() {
    let (node, server) = start(|_| {}).await;
    let transaction = node.transaction(1, b"x");
    let params = json!([to_hex(&transaction.to_bytes()), "committed", 60_000]);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tx_submit", "params": params });
    let mut waiting = Wire::open(server.local_addr()).await;
    let _silent = Wire::open(server.local_addr()).await;
    waiting.post(&call.to_string()).await;
    node.until_pending(1).await;

    let address = server.local_addr();
    stop(server).await;
    let answer = waiting.read_to_end().await;
    assert!(answer.contains("\"status\":\"pending\""), "a wait ends with the status so far: {answer}");
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn dropping_the_server_stops_it() {
    let (_, server) = start(|_| {}).await;
    let mut wire = Wire::open(server.local_addr()).await;
    wire.post(HEAD).await;
    wire.read_until("\"height\":0").await;
    drop(server);
    assert_eq!(wire.read_to_end().await, "");
}

#[tokio::test]
async fn a_client_that_reads_nothing_loses_its_connection() {
    let (node, server) = start(|config| {
        config.write_stall_timeout = Duration::from_millis(50);
        config.max_connections = 1;
    })
    .await;
    // Much more than the buffers of a connection hold.
    for nonce in 0..40 {
        node.commit(&[node.transaction(nonce, &[0; 250_000])]);
    }
    let mut greedy = Wire::open(server.local_addr()).await;
    let blocks =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "chain_blocks", "params": [1, 100] }).to_string();
    for _ in 0..10 {
        greedy.post(&blocks).await;
    }
    // It reads nothing; its place becomes free nevertheless.
    let again = async {
        loop {
            let mut other = Wire::open(server.local_addr()).await;
            other.send("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
            if other.read_to_end().await.starts_with("HTTP/1.1 200") {
                break;
            }
        }
    };
    timeout(TIME_LIMIT, again).await.expect("the stalled connection is closed");
    stop(server).await;
}
