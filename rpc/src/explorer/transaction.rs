//! One transaction: committed, with its receipt, or not.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use quorate_api::{
    LocatedTransaction, OperationJson, OutcomeJson, PayloadJson, ReceiptJson, TransactionStatus, excerpt,
};
use quorate_ledger::TransactionId;
use serde_json::json;

use super::Explorer;
use super::block::Certified;
use super::governance;
use super::page::{Frame, Problem};
use super::text::{self, Moment, Shown};
use crate::node::Node;

#[derive(Template)]
#[template(path = "transaction.html")]
struct TransactionPage {
    frame: Frame,
    id: String,
    located: LocatedTransaction,
    kind: &'static str,
    payload: Shown,
    /// The operation of a governance transaction in words.
    operation: Option<String>,
    receipt: Option<ReceiptJson>,
    certified: Option<Certified>,
}

impl TransactionPage {
    fn valid_until(&self) -> Moment {
        Moment(self.located.transaction.valid_until_ms)
    }

    fn size(&self) -> String {
        text::bytes(&(self.payload.bytes as u64))
    }

    fn outcome(&self, outcome: &OutcomeJson) -> String {
        governance::words(outcome)
    }
}

/// A transaction that is in no block of this node.
#[derive(Template)]
#[template(path = "status.html")]
struct StatusPage {
    frame: Frame,
    id: String,
    status: TransactionStatus,
}

/// `GET /transactions/{id}`
pub(super) async fn page<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    given: &str,
) -> Result<Response, Problem> {
    let id: TransactionId = given.parse().map_err(|_| {
        let text = format!("“{}” is not a transaction id.", excerpt(given));
        let advice = "An id is 0x and 64 digits from 0 to f, in lower case.";
        Problem::new(StatusCode::BAD_REQUEST, "No such transaction", text, advice)
    })?;
    match explorer.api.tx_get(id).await? {
        Some(located) => committed(explorer, headers, id, located).await,
        None => not_committed(explorer, headers, id).await,
    }
}

async fn committed<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    id: TransactionId,
    located: LocatedTransaction,
) -> Result<Response, Problem> {
    let members = explorer.members_at(located.height)?;
    let receipt = explorer.api.tx_receipt(id).await?;
    let (kind, payload, operation) = match &located.transaction.payload {
        PayloadJson::Data { data } => ("data", Shown::of(data), None),
        PayloadJson::Governance { data } => {
            ("governance", Shown::of(data), Some(OperationJson::of_payload(data).to_string()))
        }
    };
    let params = json!({ "id": id.to_string() });
    let frame = explorer.frame(headers, "").call("tx_get", &params).call("tx_receipt", &params);
    let page = TransactionPage {
        frame,
        id: id.to_string(),
        certified: receipt.as_ref().map(|receipt| Certified::of(&receipt.proof.certificate, &members)),
        receipt,
        located,
        kind,
        payload,
        operation,
    };
    Ok(explorer.show(StatusCode::OK, &page))
}

async fn not_committed<N: Node>(
    explorer: &Explorer<N>,
    headers: &HeaderMap,
    id: TransactionId,
) -> Result<Response, Problem> {
    let status = explorer.api.tx_status(id).await?.status;
    let code = match status {
        TransactionStatus::Unknown => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    };
    let frame = explorer.frame(headers, "").call("tx_status", &json!({ "id": id.to_string() }));
    // An expired transaction stays expired, so its page needs no updates.
    let open = matches!(
        status,
        TransactionStatus::Unknown | TransactionStatus::Pending | TransactionStatus::Committed { .. }
    );
    let frame = frame.live(if open { "poll" } else { "" });
    Ok(explorer.show(code, &StatusPage { frame, id: id.to_string(), status }))
}
