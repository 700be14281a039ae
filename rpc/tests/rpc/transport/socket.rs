//! `GET /ws`: the methods, and blocks as notifications.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use futures::{SinkExt, StreamExt};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use quorate_ledger::to_hex;
use quorate_rpc::{RpcConfig, RpcServer, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, duplex};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::support::{FakeNode, TIME_LIMIT};
use crate::tools::web::{Wire, checked_error};

/// A server, its node, and how to stop it.
pub(crate) struct Host {
    pub(crate) node: Arc<FakeNode>,
    server: RpcServer,
}

impl Host {
    pub(crate) async fn start(change: impl FnOnce(&mut RpcConfig)) -> Self {
        let mut config = RpcConfig { listen: ([127, 0, 0, 1], 0).into(), ..RpcConfig::default() };
        change(&mut config);
        let node = Arc::new(FakeNode::new());
        let server = serve(config, Arc::clone(&node), None).await.unwrap();
        Host { node, server }
    }

    /// Orders this many blocks with one transaction each.
    pub(crate) fn grow(&self, count: u64, bytes: usize) {
        for _ in 0..count {
            let nonce = self.node.next_time().0;
            self.node.commit(&[self.node.transaction(nonce, &vec![0; bytes])]);
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(crate) async fn stop(self) {
        timeout(TIME_LIMIT, self.server.shutdown()).await.expect("the server stops");
    }
}

/// A connection: a real one, or one in memory with a buffer of a given size.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// A client that reads raw JSON.
pub(crate) struct Socket(pub(crate) WebSocketStream<Box<dyn Connection>>);

impl Socket {
    pub(crate) async fn open(host: &Host) -> Self {
        Socket::over(TcpStream::connect(host.address()).await.unwrap()).await
    }

    /// To a router in the same process, over a connection with buffers of this size, so that no
    /// system buffers and clocks are involved.
    pub(crate) async fn within(router: Router, bytes: usize) -> Self {
        let (client, server) = duplex(bytes);
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(server), TowerToHyperService::new(router))
            .with_upgrades();
        tokio::spawn(connection);
        Socket::over(client).await
    }

    async fn over(stream: impl Connection + 'static) -> Self {
        let stream: Box<dyn Connection> = Box::new(stream);
        let (socket, _) = client_async("ws://localhost/ws", stream).await.unwrap();
        Socket(socket)
    }

    pub(crate) async fn send(&mut self, text: impl ToString) {
        self.0.send(Message::text(text.to_string())).await.unwrap();
    }

    pub(crate) async fn call(&mut self, method: &str, params: Value) {
        self.send(json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params })).await;
    }

    /// The next message, including the end.
    async fn message(&mut self) -> Message {
        loop {
            let message = timeout(TIME_LIMIT, self.0.next()).await.expect("nothing comes");
            match message.expect("closed without a close frame").unwrap() {
                Message::Ping(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// The response to a call, which must be the next message.
    pub(crate) async fn result(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await;
        let answer = self.json().await;
        assert_eq!(answer["id"], method, "{answer}");
        answer.get("result").unwrap_or_else(|| panic!("{answer}")).clone()
    }

    pub(crate) async fn error(&mut self, method: &str, params: Value) -> Value {
        self.call(method, params).await;
        checked_error(&self.json().await)["data"].clone()
    }

    /// The next notification: its subscription, and its block or end.
    pub(crate) async fn notification(&mut self) -> (u64, Result<Value, Value>) {
        let mut news = self.json().await;
        assert_eq!((&news["method"], news.get("id")), (&json!("chain_subscription"), None), "{news}");
        let params = news["params"].take();
        let id = params["subscription"].as_u64().unwrap();
        if params.get("error").is_some() {
            return (id, Err(checked_error(&params)["data"].clone()));
        }
        assert_eq!(params["height"], params["result"]["header"]["height"]);
        (id, Ok(params["result"].clone()))
    }

    pub(crate) async fn close(&mut self) -> (u16, String) {
        match self.message().await {
            Message::Close(Some(CloseFrame { code, reason })) => (code.into(), reason.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn height(block: &Value) -> u64 {
    block["header"]["height"].as_u64().unwrap()
}

#[tokio::test]
async fn every_block_comes_once_and_in_order_while_the_chain_grows() {
    let host = Host::start(|_| {}).await;
    host.grow(20, 100);
    let mut socket = Socket::open(&host).await;
    assert_eq!(socket.result("chain_subscribe", json!([1])).await, 1, "the answer comes before any block");
    let mut blocks = Vec::new();
    for _ in 0..30 {
        host.grow(2, 10_000);
        blocks.push(socket.notification().await.1.unwrap());
    }
    while blocks.len() < 80 {
        blocks.push(socket.notification().await.1.unwrap());
    }
    for (expected, block) in (1..=80).zip(blocks) {
        assert_eq!(height(&block), expected);
        assert_eq!(block, socket.result("chain_block", json!([expected])).await, "the same as chain_block");
    }
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn several_subscriptions_share_a_connection_and_end_one_by_one() {
    let host = Host::start(|_| {}).await;
    host.grow(3, 100);
    let mut socket = Socket::open(&host).await;
    assert_eq!(socket.result("chain_subscribe", json!({ "from_height": 4, "full": false })).await, 1);
    assert_eq!(socket.result("chain_subscribe", json!([])).await, 2);
    host.grow(10, 100);
    let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for _ in 0..20 {
        let (id, block) = socket.notification().await;
        let block = block.unwrap();
        assert_eq!(block["transactions"][0].is_string(), id == 1, "ids only, or whole transactions");
        seen.entry(id).or_default().push(height(&block));
    }
    let all: Vec<u64> = (4..=13).collect();
    assert_eq!(seen, BTreeMap::from([(1, all.clone()), (2, all)]));

    assert_eq!(socket.result("chain_unsubscribe", json!([1])).await, true);
    assert_eq!(socket.result("chain_unsubscribe", json!({ "subscription": 1 })).await, false);
    host.grow(2, 100);
    for _ in 0..2 {
        assert_eq!(socket.notification().await.0, 2, "no block of an ended subscription");
    }
    assert_eq!(socket.result("chain_subscribe", json!([15])).await, 3, "no id is given twice");
    assert_eq!(socket.notification().await.0, 3);
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn a_subscription_in_a_batch_begins_after_the_answer() {
    let host = Host::start(|_| {}).await;
    host.grow(2, 100);
    let mut socket = Socket::open(&host).await;
    let entry = |id: u64, method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    let batch = json!([
        entry(1, "chain_subscribe", json!([1])),
        entry(2, "chain_subscribe", json!([2])),
        entry(3, "chain_unsubscribe", json!([1])),
    ]);
    socket.send(batch).await;
    let answers = socket.json().await;
    let results: Vec<&Value> = (0..3).map(|index| &answers[index]["result"]).collect();
    assert_eq!(results, [&json!(1), &json!(2), &json!(true)]);
    let (id, block) = socket.notification().await;
    assert_eq!((id, height(&block.unwrap())), (2, 2));
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn requests_are_answered_as_those_by_post() {
    let host = Host::start(|config| config.max_batch = 3).await;
    host.grow(2, 100);
    let transaction = to_hex(&host.node.transaction(1, b"x").to_bytes());
    let call = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let mut socket = Socket::open(&host).await;
    for body in [
        call("chain_head", json!([])).to_string(),
        call("chain_block", json!({ "at": 2, "full": false })).to_string(),
        call("chain_block", json!([99])).to_string(),
        call("chain_block", json!([1, true, 3])).to_string(),
        call("chain_blocks", json!([1, 101])).to_string(),
        call("no_such_method", json!([])).to_string(),
        call("tx_submit", json!([transaction, "accepted"])).to_string(),
        call("tx_submit", json!(["0x00"])).to_string(),
        json!([call("chain_head", json!([])), 1, call("tx_status", json!(["0x"]))]).to_string(),
        json!([1, 2, 3, 4]).to_string(),
        "[]".to_owned(),
        "{\"jsonrpc\":".to_owned(),
        "{}".to_owned(),
    ] {
        let mut wire = Wire::open(host.address()).await;
        wire.post(&body).await;
        wire.send("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let posted = wire.read_to_end().await;
        let (_, posted) = posted.split_once("\r\n\r\n").unwrap();
        let (posted, _) = posted.split_once("HTTP/1.1 200").unwrap();
        socket.send(&body).await;
        assert_eq!(socket.text().await, posted, "{body}");
    }
    // Notifications get no response.
    socket.send(json!({ "jsonrpc": "2.0", "method": "chain_head" })).await;
    assert_eq!(socket.result("chain_head", json!([])).await["height"], 2);
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn invalid_subscriptions_are_refused() {
    let host = Host::start(|_| {}).await;
    let mut socket = Socket::open(&host).await;
    for params in [json!(["1"]), json!([-1]), json!([1, true, 2]), json!({ "from": 1 })] {
        assert_eq!(socket.error("chain_subscribe", params).await["kind"], "invalid_params");
    }
    for params in [json!([]), json!(["x"])] {
        assert_eq!(socket.error("chain_unsubscribe", params).await["kind"], "invalid_params");
    }
    let ahead = socket.error("chain_subscribe", json!([1026])).await;
    assert_eq!((&ahead["kind"], &ahead["head_height"]), (&json!("syncing"), &json!(0)));
    // Without a response, the client would not know the subscription's number.
    socket.send(json!({ "jsonrpc": "2.0", "method": "chain_subscribe" })).await;
    host.grow(1, 100);
    assert_eq!(socket.result("chain_head", json!([])).await["height"], 1, "no block came");

    let mut wire = Wire::open(host.address()).await;
    wire.post(r#"{"jsonrpc":"2.0","id":1,"method":"chain_subscribe"}"#).await;
    let answer = wire.read_until("method_not_found").await;
    assert!(answer.contains("/ws"), "the error names the path: {answer}");
    drop(socket);
    host.stop().await;
}

#[tokio::test]
async fn stopping_ends_streams_with_a_reason() {
    let host = Host::start(|_| {}).await;
    host.grow(2, 100);
    let mut socket = Socket::open(&host).await;
    socket.result("chain_subscribe", json!([2])).await;
    assert_eq!(height(&socket.notification().await.1.unwrap()), 2);
    let transaction = to_hex(&host.node.transaction(1, b"x").to_bytes());
    socket.call("tx_submit", json!([transaction, "committed", 60_000])).await;
    host.node.until_pending(1).await;
    let mut events = Wire::open(host.address()).await;
    events.send("GET /stream?from_height=2 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    events.read_until("\n\n").await;

    let reading = async move {
        let answer = socket.json().await;
        assert_eq!(answer["result"]["status"], "pending", "a wait ends with the status so far");
        let (id, end) = socket.notification().await;
        let end = end.unwrap_err();
        assert_eq!((id, &end["kind"], &end["reason"]), (1, &json!("subscription_ended"), &json!("stopping")));
        assert_eq!((&end["next_height"], &end["retryable"]), (&json!(3), &json!(true)));
        assert_eq!(socket.close().await.0, 1001);
        let rest = events.read_to_end().await;
        assert!(rest.contains("event: end\n") && rest.contains("\"next_height\":3"), "{rest}");
    };
    tokio::join!(host.stop(), reading);
}

#[tokio::test]
async fn stopping_in_the_middle_loses_no_block() {
    let host = Host::start(|_| {}).await;
    host.grow(200, 10_000);
    let mut socket = Socket::open(&host).await;
    socket.result("chain_subscribe", json!([1])).await;
    assert_eq!(height(&socket.notification().await.1.unwrap()), 1);
    let reading = async move {
        let mut next = 2;
        let end = loop {
            match socket.notification().await.1 {
                Ok(block) => assert_eq!(height(&block), next),
                Err(end) => break end,
            }
            next += 1;
        };
        assert_eq!((&end["reason"], &end["next_height"]), (&json!("stopping"), &json!(next)));
        assert_eq!(socket.close().await.0, 1001);
    };
    tokio::join!(host.stop(), reading);
}

#[tokio::test]
async fn an_unread_stream_does_not_delay_a_stop() {
    let host = Host::start(|config| config.shutdown_grace = std::time::Duration::from_millis(50)).await;
    host.grow(40, 250_000);
    let mut socket = Socket::open(&host).await;
    socket.result("chain_subscribe", json!([1])).await;
    socket.notification().await.1.unwrap();
    let mut events = Wire::open(host.address()).await;
    events.send("GET /stream?from_height=1 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    events.read_until("event: block").await;
    host.stop().await;
}
