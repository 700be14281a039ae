//! Why the node makes progress with ordering, or does not.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::methods::QuorateServer;
use quorate_api::{Explanation, ValidatorStanding};
use serde_json::json;

use super::Explorer;
use super::page::{Frame, Problem};
use super::text;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplanationPage {
    frame: Frame,
    told: Explanation,
    /// `state` as people write it.
    state: String,
}

impl ExplanationPage {
    fn has_left(&self, index: &u16) -> bool {
        self.told.departures.departed.iter().any(|member| member.index == *index)
    }

    fn standing(&self) -> &'static str {
        match self.told.standing {
            ValidatorStanding::Voting => "voting",
            ValidatorStanding::Probing => "probing: it asks the others what they have seen it sign",
            ValidatorStanding::Observing => "observing: it has no vote",
            ValidatorStanding::Recovering => "recovering: it runs on an old journal and signs nothing",
        }
    }
}

/// `GET /explain`
pub(super) async fn page<A: QuorateServer>(
    explorer: &Explorer<A>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let told = explorer.api.consensus_explain().await?;
    let nothing = json!({});
    let frame = explorer.frame(headers, "/explain").await?.live("poll");
    let frame = frame.call("consensus_explain", &nothing).call("consensus_state", &nothing);
    let state = told.state.name().replace('_', " ");
    Ok(explorer.show(StatusCode::OK, &ExplanationPage { frame, told, state }))
}
