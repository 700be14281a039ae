//! The first page: the state of the network, and its latest blocks.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::{CheckpointJson, ConsensusState, Explanation, MempoolStatus, NodeStatus, ValidatorSet};
use serde_json::json;

use super::blocks::{BlockRow, Rate, newest_below};
use super::page::{Frame, Problem};
use super::text::{self, Moment};
use super::{Explorer, Members};
use crate::explain::explain_report;
use crate::methods::validators;
use crate::node::{Node, NodeReport};

/// How many of the latest blocks are shown and used for the rate.
const ROWS: u32 = 20;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    frame: Frame,
    status: NodeStatus,
    committee: Option<ValidatorSet>,
    consensus: ConsensusState,
    explanation: Explanation,
    checkpoint: Option<CheckpointJson>,
    pool: MempoolStatus,
    rate: Option<Rate>,
    blocks: Vec<BlockRow>,
    blank: BlockRow,
    /// The epoch whose members are named to the script that adds new blocks.
    epoch: u64,
    members: String,
}

/// `GET /`
pub(super) async fn page<N: Node>(explorer: &Explorer<N>, headers: &HeaderMap) -> Result<Response, Problem> {
    let api = &explorer.api;
    // One report: all indices on the page are of one committee.
    let report = api.report();
    let (explanation, committee) = (explain_report(&report), validators(&report.config));
    let NodeReport { status, consensus, mempool: pool, .. } = report;
    let (head, earliest) = (status.head.height, status.earliest_height);
    let blocks = newest_below(explorer, head.saturating_add(1), earliest, ROWS).await?;
    let nothing = json!({});
    let frame = Frame::new(&status, headers, "/")
        .live("stream")
        .call("node_status", &nothing)
        .call("network_validators", &nothing)
        .call("consensus_state", &nothing)
        .call("consensus_explain", &nothing)
        .call("chain_checkpoint", &nothing)
        .call("mempool_status", &nothing)
        .call(
            "chain_blocks",
            &json!({ "from_height": head.saturating_sub(u64::from(ROWS) - 1), "limit": ROWS, "full": false }),
        );
    let page = OverviewPage {
        frame,
        consensus,
        explanation,
        checkpoint: api.chain_checkpoint(None),
        pool,
        rate: Rate::of(&blocks, Moment::now()),
        blocks,
        blank: BlockRow::default(),
        epoch: committee.epoch,
        members: Members::of(committee.clone()).joined(),
        committee: Some(committee),
        status,
    };
    Ok(explorer.show(StatusCode::OK, &page))
}
