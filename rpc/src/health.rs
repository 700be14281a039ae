//! Endpoints for load balancers, orchestrators and monitoring.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus::{Registry, TextEncoder};
use quorate_api::ReadinessCheck;
use serde::Serialize;

use crate::node::Node;

/// The format version of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const WELCOME: &str = "Quorate node. Send JSON-RPC 2.0 requests to this address by POST, for example\n\
    \n\
    \x20 {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"chain_head\"}\n\
    \n\
    The same over a WebSocket at /ws, and blocks as Server-Sent Events: GET /stream?from_height=1\n\
    GET /livez, /readyz?verbose and /version report the state of the node.\n\
    The method rpc.discover describes all others for tools, rpc/README.md in the source for people.\n";

/// `GET /`, for clients that do not accept HTML
pub(crate) async fn welcome() -> &'static str {
    WELCOME
}

/// `GET /livez`: the process responds. A node whose storage fails exits, so there is nothing else
/// to check.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<ReadinessCheck>>,
}

/// `GET /readyz`: 200 if the node can do its work, else 503 with the checks. `?verbose` always
/// lists the checks.
pub(crate) async fn ready<N: Node>(State(node): State<Arc<N>>, RawQuery(query): RawQuery) -> Response {
    let readiness = node.readiness();
    let ready = readiness.is_ready();
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part == "verbose"));
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = (verbose || !ready).then_some(readiness.checks);
    (status, Json(Ready { ready, checks })).into_response()
}

/// `GET /version`
pub(crate) async fn version<N: Node>(State(node): State<Arc<N>>) -> Response {
    Json(node.version()).into_response()
}

/// `GET /metrics`
pub(crate) fn metrics(registry: &Registry) -> Response {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be encoded");
            (StatusCode::INTERNAL_SERVER_ERROR, "the node failed to respond; its log says why\n")
                .into_response()
        }
    }
}
