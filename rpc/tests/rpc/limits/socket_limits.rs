//! The limits of a WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use quorate_ledger::to_hex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{TIME_LIMIT, pass};
use crate::tools::web::{Site, Wire, checked_error};
use crate::transport::socket::{Host, Socket, height};

#[tokio::test]
async fn malformed_requests_get_errors_and_the_connection_stays_open() {
    let host = Host::start(|_| {}).await;
    let mut socket = Socket::open(&host).await;
    socket.send("chain_head").await;
    assert_eq!(checked_error(&socket.json().await)["data"]["kind"], "parse_error");
    socket.0.send(Message::binary("{}")).await.unwrap();
    assert_eq!(checked_error(&socket.json().await)["data"]["kind"], "invalid_request");
    socket.0.send(Message::binary(vec![0xff])).await.unwrap();
    assert_eq!(checked_error(&socket.json().await)["data"]["kind"], "parse_error");
    assert_eq!(socket.result("chain_head", json!([])).await["height"], 0);
    drop(socket);
    host.stop().await;
}

/// web3.py sends its requests in this way.
#[tokio::test]
async fn a_binary_message_is_read_as_a_text_message_is() {
    let host = Host::start(|_| {}).await;
    let mut socket = Socket::open(&host).await;
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": "chain_head" });
    socket.0.send(Message::binary(request.to_string())).await.unwrap();
    let answer = socket.json().await;
    assert_eq!((&answer["id"], &answer["result"]["height"]), (&json!(7), &json!(0)));
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn malformed_frames_end_the_connection_with_a_reason() {
    let host = Host::start(|_| {}).await;
    // Text that is not UTF-8, and a reserved opcode, both masked with zeros; a frame without a
    // mask.
    for (frame, kind, code) in [
        (vec![0x81, 0x81, 0, 0, 0, 0, 0xff], "parse_error", 1007_u16),
        (vec![0x83, 0x80, 0, 0, 0, 0], "invalid_request", 1002),
        (vec![0x81, 0x01, b'x'], "invalid_request", 1002),
    ] {
        let mut socket = Socket::open(&host).await;
        socket.0.get_mut().write_all(&frame).await.unwrap();
        assert_eq!(checked_error(&socket.json().await)["data"]["kind"], kind, "{frame:?}");
        assert_eq!(socket.close().await.0, code, "{frame:?}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_message_has_at_most_so_many_bytes() {
    let host = Host::start(|config| config.max_message_bytes = 1000).await;
    let mut socket = Socket::open(&host).await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;
    let fitting = format!("{request}{}", " ".repeat(1000 - request.len()));
    socket.send(&fitting).await;
    assert_eq!(socket.json().await["result"]["height"], 0);
    socket.send(format!("{fitting} ")).await;
    let error = checked_error(&socket.json().await);
    assert_eq!(
        (&error["data"]["kind"], &error["data"]["limit"]),
        (&json!("request_too_large"), &json!(1000))
    );
    assert_eq!(socket.close().await.0, 1009);
    drop(socket);
    host.stop().await;
}

/// The same as by POST: the limit does not depend on the transport.
#[tokio::test]
async fn requests_per_second_are_limited_as_by_post() {
    let host = Host::start(|config| {
        config.limit_loopback = true;
        (config.max_requests_per_second, config.max_request_burst, config.max_batch) = (1, 4, 3);
    })
    .await;
    // This takes one of four tokens.
    let mut socket = Socket::open(&host).await;
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"chain_head"}"#;
    socket.send(&format!("[{request},{request}]")).await;
    assert_eq!(socket.json().await.as_array().unwrap().len(), 2);
    socket.send(request).await;
    assert!(socket.json().await["result"].is_object());
    // Every request of the batch is refused under its own id; reading the batch took the last
    // token, if one was left.
    let notification = r#"{"jsonrpc":"2.0","method":"chain_head"}"#;
    socket.send(&format!("[{request},{notification},{}]", request.replace(":1,", ":2,"))).await;
    let answers = socket.json().await;
    assert_eq!(answers.as_array().unwrap().len(), 2, "{answers}");
    for (answer, id) in answers.as_array().unwrap().iter().zip([1, 2]) {
        let error = checked_error(answer);
        assert_eq!((&answer["id"], &error["data"]["kind"]), (&json!(id), &json!("rate_limited")));
        let wait = error["data"]["retry_after_ms"].as_u64().unwrap();
        assert!((1000..=3000).contains(&wait), "three tokens, of which at most two are there soon: {error}");
    }
    // A message that is not read because it is large gets an error with id null.
    let large = format!("{request}{}", " ".repeat(100_000));
    for (text, id) in [(request, json!(1)), (&large, json!(null))] {
        socket.send(text).await;
        let answer = socket.json().await;
        assert_eq!(answer["id"], id, "{answer}");
        assert_eq!(checked_error(&answer)["data"]["kind"], "rate_limited");
    }
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn a_connection_has_at_most_so_many_subscriptions() {
    let host = Host::start(|config| config.max_subscriptions = 2).await;
    let mut socket = Socket::open(&host).await;
    socket.result("chain_subscribe", json!([])).await;
    socket.result("chain_subscribe", json!([])).await;
    let error = socket.error("chain_subscribe", json!([])).await;
    assert_eq!((&error["kind"], &error["limit"]), (&json!("overloaded"), &json!(2)));
    socket.result("chain_unsubscribe", json!([1])).await;
    assert_eq!(socket.result("chain_subscribe", json!([])).await, 3, "a place is free again");
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn further_requests_of_a_connection_wait() {
    let host = Host::start(|config| config.max_socket_requests = 1).await;
    let mut socket = Socket::open(&host).await;
    let transaction = to_hex(&host.node.transaction(1, b"x").to_bytes());
    socket.call("tx_submit", json!([transaction, "committed", 60_000])).await;
    socket.call("chain_head", json!([])).await;
    host.node.until_pending(1).await;
    host.node.commit_pool();
    let (first, second) = (socket.json().await, socket.json().await);
    assert_eq!((&first["id"], &first["result"]["status"]), (&json!("tx_submit"), &json!("committed")));
    assert_eq!((&second["id"], &second["result"]["height"]), (&json!("chain_head"), &json!(1)));
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn requests_of_all_connections_together_are_limited() {
    let host = Host::start(|config| config.max_concurrent_requests = 1).await;
    let mut socket = Socket::open(&host).await;
    let transaction = to_hex(&host.node.transaction(1, b"x").to_bytes());
    socket.call("tx_submit", json!([transaction, "committed", 60_000])).await;
    host.node.until_pending(1).await;
    socket.call("chain_head", json!([])).await;
    assert_eq!(checked_error(&socket.json().await)["data"]["kind"], "overloaded");
    host.node.commit_pool();
    assert_eq!(socket.json().await["result"]["status"], "committed");
    drop(socket);
    host.stop().await;
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

const STREAM: &str = "GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// Requests a stream until it is accepted.
async fn once_there_is_a_place(host: &Host, request: &str) -> Wire {
    let asking = async {
        loop {
            let mut wire = Wire::open(host.address()).await;
            wire.send(request).await;
            let head = wire.read_until("\r\n\r\n").await;
            if head.starts_with("HTTP/1.1 101") || head.starts_with("HTTP/1.1 200") {
                return wire;
            }
        }
    };
    timeout(TIME_LIMIT, asking).await.expect("the place never becomes free")
}

#[tokio::test]
async fn an_address_has_at_most_so_many_streams_of_both_kinds() {
    let host = Host::start(|config| config.max_streams_per_address = 2).await;
    let socket = Socket::open(&host).await;
    let mut events = Wire::open(host.address()).await;
    events.send(STREAM).await;
    events.read_until("\r\n\r\n").await;
    for request in [STREAM, UPGRADE] {
        let mut third = Wire::open(host.address()).await;
        third.send(request).await;
        let refused = third.read_until("\"overloaded\"").await;
        assert!(refused.starts_with("HTTP/1.1 429") && refused.contains("retry-after: 1"), "{refused}");
    }
    drop(socket);
    once_there_is_a_place(&host, UPGRADE).await;
    host.stop().await;
}

#[tokio::test]
async fn a_stream_whose_reader_takes_nothing_loses_its_place() {
    let host = Host::start(|config| {
        config.write_stall_timeout = Duration::from_millis(50);
        config.max_streams = 1;
    })
    .await;
    // Much more than the buffers of a connection hold.
    host.grow(40, 250_000);
    let mut events = Wire::open(host.address()).await;
    events.send("GET /stream?from_height=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    events.read_until("event: block").await;
    let mut socket = once_there_is_a_place(&host, UPGRADE).await;
    // Send a text message masked with zeros, and then read nothing.
    let request = br#"{"jsonrpc":"2.0","id":1,"method":"chain_subscribe","params":[1]}"#;
    let head = [0x81, 0x80 | u8::try_from(request.len()).unwrap(), 0, 0, 0, 0];
    socket.0.write_all(&[&head, request.as_slice()].concat()).await.unwrap();
    once_there_is_a_place(&host, STREAM).await;
    host.stop().await;
}

#[tokio::test]
async fn a_websocket_keeps_the_place_of_its_connection() {
    let host = Host::start(|config| config.max_connections = 1).await;
    let mut socket = Socket::open(&host).await;
    assert_eq!(socket.result("chain_head", json!([])).await["height"], 0);
    let mut second = Wire::open(host.address()).await;
    second.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let refused = second.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn a_request_that_is_not_an_upgrade_is_refused() {
    let host = Host::start(|_| {}).await;
    let mut wire = Wire::open(host.address()).await;
    wire.send("GET /ws HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let refused = wire.read_until("invalid_request").await;
    assert!(refused.starts_with("HTTP/1.1 426"), "{refused}");
    host.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_its_position_and_is_cut_off() {
    let site = Site::new();
    for nonce in 0..10 {
        site.node.commit(&[site.node.transaction(nonce, &[0; 25_000])]);
    }
    let mut socket = Socket::within(site.router.clone(), 100_000).await;
    assert_eq!(socket.result("chain_subscribe", json!([11])).await, 1);
    assert_eq!(socket.result("chain_subscribe", json!([1])).await, 2);
    let mut next = 1;
    assert_eq!(height(&socket.notification().await.1.unwrap()), next);
    // More than ten seconds are too slow; then the reader has another ten seconds to read the final
    // messages.
    pass(Duration::from_secs(15)).await;
    let (id, end) = loop {
        match socket.notification().await {
            (id, Ok(block)) => {
                next += 1;
                assert_eq!((id, height(&block)), (2, next));
            }
            (id, Err(end)) => break (id, end),
        }
    };
    assert_eq!((id, &end["reason"], &end["next_height"]), (1, &json!("slow_reader"), &json!(11)));
    let (id, end) = socket.notification().await;
    let end = end.unwrap_err();
    assert_eq!((id, &end["reason"], &end["next_height"]), (2, &json!("slow_reader"), &json!(next + 1)));
    assert!(next < 10, "ten blocks do not fit the connection");
    assert_eq!(socket.close().await.0, 1008);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_disconnected() {
    let site = Site::new();
    let mut socket = Socket::within(site.router.clone(), 1000).await;
    let begun = Instant::now();
    // Pings arrive, and the client does not respond.
    let mut bytes = Vec::new();
    socket.0.get_mut().read_to_end(&mut bytes).await.unwrap();
    assert_eq!((bytes, begun.elapsed().as_secs()), (vec![0x89, 0, 0x89, 0, 0x89, 0], 60));
}

#[tokio::test]
async fn a_closed_socket_is_closed_in_good_order() {
    let host = Host::start(|_| {}).await;
    let mut socket = Socket::open(&host).await;
    socket.result("chain_subscribe", json!([])).await;
    socket.0.close(None).await.unwrap();
    let rest = timeout(TIME_LIMIT, socket.0.next()).await.expect("the server closes, too");
    assert!(matches!(rest, Some(Ok(Message::Close(_)))), "{rest:?}");
    drop(socket);
    host.stop().await;
}
