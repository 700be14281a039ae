//! The server's metrics.

use prometheus::{IntCounter, Registry};
use quorate_rpc::{RPC_METRICS, RpcConfig, router, serve};
use serde_json::json;

use crate::support::FakeNode;
use crate::tools::web::{Site, Wire};

async fn told(site: &Site) -> String {
    let metrics = site.get("/metrics").await;
    assert_eq!(metrics.status.as_u16(), 200);
    assert!(metrics.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    metrics.text
}

#[tokio::test]
async fn requests_are_counted_by_method_and_error() {
    let site = Site::new();
    let call = |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string();
    site.post(json!([]).to_string()).await;
    site.post(call("chain_head")).await;
    site.post(call("chain_head")).await;
    site.post(call("tx_get")).await;
    let text = told(&site).await;
    assert!(text.contains("quorate_rpc_request_seconds_count{method=\"chain_head\"} 2\n"), "{text}");
    let error = "quorate_rpc_errors_total{kind=\"invalid_params\",method=\"tx_get\"} 1\n";
    assert!(text.contains(error), "{text}");
    assert!(text.contains("quorate_rpc_http_responses_total{code=\"200\"} 4\n"), "{text}");
    assert!(text.contains("quorate_rpc_requests_running 0\n"), "{text}");
}

/// A client cannot create series by inventing method names.
#[tokio::test]
async fn unknown_methods_share_one_label() {
    let site = Site::new();
    for number in 0..50 {
        let method = format!("made_up_{number}");
        site.post(json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string()).await;
    }
    let text = told(&site).await;
    assert!(!text.contains("made_up"), "{text}");
    let counted = "quorate_rpc_errors_total{kind=\"method_not_found\",method=\"unknown\"} 50\n";
    assert!(text.contains(counted), "{text}");
}

/// Every series of the server is documented, and the metrics of the given registry are shown too.
#[tokio::test]
async fn all_metrics_are_documented() {
    let registry = Registry::new();
    let blocks = IntCounter::new("blocks_total", "Blocks.").unwrap();
    blocks.inc_by(7);
    registry.register(Box::new(blocks)).unwrap();
    let node = std::sync::Arc::new(FakeNode::new());
    let site = Site { router: router(&RpcConfig::default(), node.clone(), Some(registry)), node };
    let text = told(&site).await;
    assert!(text.contains("blocks_total 7\n"), "{text}");
    for line in text.lines().filter(|line| line.starts_with("# TYPE quorate_")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(RPC_METRICS.iter().any(|spec| spec.name == name), "{line}");
    }
}

/// Open connections are a gauge, and refused ones a counter.
#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config = RpcConfig { listen, max_connections: 2, ..RpcConfig::default() };
    let node = std::sync::Arc::new(FakeNode::new());
    let server = serve(config, node, Some(Registry::new())).await.unwrap();
    let mut wire = Wire::open(server.local_addr()).await;
    let ask = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
    wire.send(ask).await;
    assert!(wire.read_until("quorate_rpc_streams 0\n").await.contains("quorate_rpc_connections 1\n"));
    let mut second = Wire::open(server.local_addr()).await;
    second.send(ask).await;
    assert!(second.read_until("quorate_rpc_streams 0\n").await.contains("quorate_rpc_connections 2\n"));
    let mut third = Wire::open(server.local_addr()).await;
    third.send(ask).await;
    assert!(third.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 503"));
    wire.send(ask).await;
    let text = wire.read_until("quorate_rpc_streams 0\n").await;
    assert!(text.contains("quorate_rpc_connections_refused_total 1\n"), "{text}");
    server.shutdown().await;
}
