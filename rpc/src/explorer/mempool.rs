//! The fill level of the pool.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::MempoolStatus;
use serde_json::json;

use super::Explorer;
use super::page::{Frame, Problem};
use super::text;
use crate::node::Node;

#[derive(Template)]
#[template(path = "mempool.html")]
struct MempoolPage {
    frame: Frame,
    pool: MempoolStatus,
}

/// `GET /mempool`
pub(super) fn page<N: Node>(explorer: &Explorer<N>, headers: &HeaderMap) -> Result<Response, Problem> {
    let frame = explorer.frame(headers, "/mempool").live("poll").call("mempool_status", &json!({}));
    let page = MempoolPage { frame, pool: explorer.api.mempool_status() };
    Ok(explorer.show(StatusCode::OK, &page))
}
