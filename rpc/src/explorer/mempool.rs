//! The fill level of the pool.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::MempoolStatus;
use quorate_api::methods::QuorateServer;
use serde_json::json;

use super::Explorer;
use super::page::{Frame, Problem};
use super::text;

#[derive(Template)]
#[template(path = "mempool.html")]
struct MempoolPage {
    frame: Frame,
    pool: MempoolStatus,
}

/// `GET /mempool`
pub(super) async fn page<A: QuorateServer>(
    explorer: &Explorer<A>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let frame = explorer.frame(headers, "/mempool").await?.live("poll").call("mempool_status", &json!({}));
    let page = MempoolPage { frame, pool: explorer.api.mempool_status().await? };
    Ok(explorer.show(StatusCode::OK, &page))
}
