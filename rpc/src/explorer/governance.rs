//! Governance: the committee with its epochs, the open proposals, and the clients.

use askama::Template;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use quorate_api::{
    ClientJson, EpochProofJson, GovernanceStatus, OutcomeJson, PastOperation, PredecessorJson, ProposalJson,
    excerpt,
};
use quorate_ledger::PublicKey;
use serde::Deserialize;
use serde_json::json;

use super::page::{Frame, Problem};
use super::text;
use super::{Explorer, query};
use crate::node::Node;

/// Past epochs and past operations that the page of the committee shows.
const SHOWN: u32 = 20;

/// Clients of a page.
const CLIENTS: u32 = 50;

/// An epoch in the list.
struct EpochRow {
    epoch: u64,
    /// Its first height.
    from: u64,
    members: usize,
}

impl EpochRow {
    /// The epoch that an epoch proof leads to.
    fn of(proof: &EpochProofJson) -> Self {
        let header = &proof.last.header;
        let (epoch, from) = (header.epoch.saturating_add(1), header.height.saturating_add(1));
        EpochRow { epoch, from, members: proof.next.len() }
    }
}

#[derive(Template)]
#[template(path = "governance.html")]
struct CommitteePage {
    frame: Frame,
    status: GovernanceStatus,
    /// The chain that this one continues.
    predecessor: Option<PredecessorJson>,
    /// Newest first.
    epochs: Vec<EpochRow>,
    operations: Vec<PastOperation>,
}

impl CommitteePage {
    fn outcome(&self, outcome: &OutcomeJson) -> String {
        words(outcome)
    }
}

/// An outcome in words.
pub(super) fn words(outcome: &OutcomeJson) -> String {
    match outcome {
        OutcomeJson::Executed => "✓ executed".to_owned(),
        OutcomeJson::Failed { reason, message } => format!("✗ failed ({reason}): {message}"),
    }
}

/// `GET /governance`
pub(super) async fn committee<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let api = &explorer.api;
    let status = api.governance_status().await?;
    let from_epoch = status.epoch.saturating_sub(SHOWN.into());
    let proofs = api.network_epochs(Some(from_epoch), Some(SHOWN)).await?.proofs;
    let operations = api.governance_history(None, Some(SHOWN)).await?.operations;
    let nothing = json!({});
    let frame = explorer
        .frame(headers, "/governance")
        .live("poll")
        .call("governance_status", &nothing)
        .call("network_epochs", &json!({ "from_epoch": from_epoch, "limit": SHOWN }))
        .call("governance_history", &json!({ "limit": SHOWN }))
        .call("network_genesis", &nothing);
    let epochs = proofs.iter().rev().map(EpochRow::of).collect();
    let predecessor = api.network_genesis().predecessor;
    Ok(explorer.show(StatusCode::OK, &CommitteePage { frame, status, predecessor, epochs, operations }))
}

#[derive(Template)]
#[template(path = "proposals.html")]
struct ProposalsPage {
    frame: Frame,
    proposals: Vec<ProposalJson>,
}

/// `GET /proposals`
pub(super) async fn proposals<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let proposals = explorer.api.governance_proposals().await?;
    let frame = explorer.frame(headers, "/proposals").live("poll").call("governance_proposals", &json!({}));
    Ok(explorer.show(StatusCode::OK, &ProposalsPage { frame, proposals }))
}

#[derive(Template)]
#[template(path = "clients.html")]
struct ClientsPage {
    frame: Frame,
    clients: Vec<ClientJson>,
    submit_mode: &'static str,
    total: u64,
    /// The key after which the next page begins.
    next: Option<String>,
    is_first: bool,
}

#[derive(Deserialize)]
struct Parameters {
    after: Option<String>,
}

/// `GET /clients?after=KEY`
pub(super) async fn clients<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Problem> {
    let given = query::<Parameters>(uri)?.after;
    let after: Option<PublicKey> = given.as_ref().map(|key| key.parse()).transpose().map_err(|_| {
        let text = format!("“{}” is not a public key.", excerpt(given.as_deref().unwrap_or_default()));
        let advice = "A key is 0x and 66 digits from 0 to f, in lower case.";
        Problem::new(StatusCode::BAD_REQUEST, "Invalid address", text, advice)
    })?;
    let status = explorer.api.governance_status().await?;
    let found = explorer.api.governance_clients(after, Some(CLIENTS)).await?;
    let params = json!({ "after": given, "limit": CLIENTS });
    let frame = explorer.frame(headers, "/clients").call("governance_clients", &params);
    let page = ClientsPage {
        frame,
        next: found.clients.last().filter(|_| found.more).map(|client| client.key.to_string()),
        clients: found.clients,
        submit_mode: status.submit_mode.as_str(),
        total: status.clients,
        is_first: given.is_none(),
    };
    Ok(explorer.show(StatusCode::OK, &page))
}
