//! Sends requests in the same process and over sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use prometheus::Registry;
use quorate_genesis::{Predecessor, TestNetwork};
use quorate_governance::clients_root;
use quorate_ledger::{BlockHash, ChainId, Epoch, Hash, Height};
use quorate_rpc::{RpcConfig, router};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::ServiceExt;

use crate::support::{FakeNode, TIME_LIMIT};
use crate::tools::described::described;

/// A response over HTTP.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// A node with its interface, in the same process.
pub(crate) struct Site {
    pub(crate) node: Arc<FakeNode>,
    pub(crate) router: Router,
}

impl Site {
    pub(crate) fn new() -> Self {
        Site::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut RpcConfig)) -> Self {
        let mut config = RpcConfig::default();
        change(&mut config);
        Site::of(FakeNode::new(), &config)
    }

    /// The node of a network that continues a chain and took over no clients.
    pub(crate) fn continuing() -> Self {
        let predecessor = Predecessor {
            chain_id: ChainId::from_bytes([0x11; 32]),
            height: Height(149),
            block: BlockHash::from_bytes([0x22; 32]),
            epoch: Epoch(3),
            state_root: Hash::from_bytes([0x33; 32]),
            clients: 0,
            clients_root: clients_root(Vec::new()),
        };
        let network = TestNetwork::seeded(4, 1).continuing(predecessor).unwrap();
        Site::of(FakeNode::of(network), &RpcConfig::default())
    }

    pub(crate) fn of(node: FakeNode, config: &RpcConfig) -> Self {
        let node = Arc::new(node);
        let router = router(config, Arc::clone(&node), Some(Registry::new()));
        Site { node, router }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = timeout(TIME_LIMIT, self.router.clone().oneshot(request)).await.unwrap().unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, body: impl Into<Body>) -> Answer {
        let request = Request::post("/").header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// The whole response object of one call, after checking it against `rpc.discover`.
    pub(crate) async fn respond(&self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.post(request.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let response = answer.json();
        assert_eq!((&response["jsonrpc"], &response["id"]), (&json!("2.0"), &json!(1)));
        described().await.check_response(method, &response);
        response
    }

    /// The result of a call that succeeds.
    pub(crate) async fn call(&self, method: &str, params: Value) -> Value {
        let response = self.respond(method, params).await;
        assert!(response.get("error").is_none(), "{response}");
        response["result"].clone()
    }

    /// The error of a call that fails, after checking its shape.
    pub(crate) async fn fail(&self, method: &str, params: Value) -> Value {
        let response = self.respond(method, params).await;
        assert!(response.get("result").is_none(), "{response}");
        checked_error(&response)
    }
}

/// The error of a response, after checking its shape.
pub(crate) fn checked_error(response: &Value) -> Value {
    let error = &response["error"];
    assert!(error["code"].is_i64(), "{response}");
    assert!(!error["message"].as_str().unwrap().is_empty(), "{response}");
    assert!(error["data"]["kind"].is_string(), "{response}");
    assert!(error["data"]["retryable"].is_boolean(), "{response}");
    error.clone()
}

/// A raw connection.
pub(crate) struct Wire(pub(crate) TcpStream);

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Wire(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// A JSON-RPC request.
    pub(crate) async fn post(&mut self, body: &str) {
        let length = body.len();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        self.send(&(head + body)).await;
    }

    /// Everything until the server closes the connection.
    pub(crate) async fn read_to_end(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset after the response is as good as a close.
        let _ = timeout(TIME_LIMIT, self.0.read_to_end(&mut bytes)).await.expect("the connection stays open");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until the text has arrived.
    pub(crate) async fn read_until(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        let reading = async {
            while !text.contains(wanted) {
                let mut piece = [0; 4096];
                let count = self.0.read(&mut piece).await.unwrap();
                assert!(count > 0, "closed before {wanted:?}: {text:?}");
                text.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        };
        timeout(TIME_LIMIT, reading).await.expect("the answer never came");
        text
    }
}
