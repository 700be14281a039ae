//! Why the node makes progress with ordering, or does not.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::{Explanation, ValidatorSigningState};
use serde_json::json;

use super::Explorer;
use super::page::{Frame, Problem};
use super::text;
use crate::node::Node;

#[derive(Template)]
#[template(path = "explain.html")]
struct ExplanationPage {
    frame: Frame,
    explanation: Explanation,
    /// `state` with spaces.
    state: String,
}

impl ExplanationPage {
    fn has_left(&self, index: &u16) -> bool {
        self.explanation.view_changes.view_changes_from.iter().any(|member| member.index == *index)
    }

    fn signing_state(&self) -> &'static str {
        match self.explanation.signing_state {
            ValidatorSigningState::Voting => "voting",
            ValidatorSigningState::Probing => {
                "probing: it asks the others which of its signed statements they have seen"
            }
            ValidatorSigningState::Observing => "observing: it has no vote",
            ValidatorSigningState::Recovering => {
                "recovering: it has a new or an older journal and signs nothing"
            }
        }
    }
}

/// `GET /explain`
pub(super) fn page<N: Node>(explorer: &Explorer<N>, headers: &HeaderMap) -> Result<Response, Problem> {
    let explanation = explorer.api.consensus_explain();
    let nothing = json!({});
    let frame = explorer.frame(headers, "/explain").live("poll");
    let frame = frame.call("consensus_explain", &nothing).call("consensus_state", &nothing);
    let state = explanation.state.name().replace('_', " ");
    Ok(explorer.show(StatusCode::OK, &ExplanationPage { frame, explanation, state }))
}
