//! `quorate tx status`, `get` and `receipt`.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use quorate_api::{
    LocatedTransaction, OperationJson, OutcomeJson, PayloadJson, ReceiptJson, TransactionStatus,
};
use quorate_ledger::{Receipt, TransactionId, to_hex};
use serde::Serialize;

use crate::commands::block_on;
use crate::exit::Outcome;
use crate::home;
use crate::output::{self, Output};
use crate::remote::{self, Node};

/// Which transaction.
#[derive(Debug, Clone, Args)]
struct Which {
    /// The transaction's id.
    #[arg(value_name = "ID")]
    id: TransactionId,

    #[command(flatten)]
    node: Node,

    #[command(flatten)]
    output: Output,
}

/// Show the status of a transaction at a node.
///
/// The status is unknown, pending, committed (with its place), expired or rejected. For a governance
/// transaction in a block, the outcome says whether it changed something. Exit code 3 if the status is
/// unknown.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    which: Which,
}

/// Show a committed transaction.
///
/// Exit code 3 if the node has no such committed transaction.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    which: Which,
}

/// Get the receipt of a committed transaction: a proof that can be verified offline.
///
/// Exit code 3 if the node has no such committed transaction.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate tx receipt ID --output json > receipt.json
  quorate verify receipt.json --genesis genesis.toml")]
pub(crate) struct ReceiptArgs {
    #[command(flatten)]
    which: Which,

    /// The network's genesis file. If it is given, the command verifies the receipt before printing
    /// it.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

impl Which {
    /// Prints the value, or that there is none.
    fn found<T: Serialize>(
        &self,
        found: Option<&T>,
        human: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<Outcome> {
        self.output.show(&found, || match found {
            Some(found) => human(found),
            None => format!("{} has no committed transaction {}", self.node.url, self.id),
        })?;
        Ok(Outcome::of(found.is_some()))
    }
}

/// Runs `quorate tx status`.
pub(super) fn status(args: &StatusArgs) -> anyhow::Result<Outcome> {
    let which = &args.which;
    let rpc = which.node.rpc()?;
    let result = block_on(async { rpc.tx_status(which.id).await.map_err(remote::advise) })?;
    which.output.show(&result, || {
        let outcome = result.outcome.as_ref().map(|found| format!("\n{}", outcome(found)));
        describe(&result.status) + &outcome.unwrap_or_default()
    })?;
    Ok(Outcome::of(result.status != TransactionStatus::Unknown))
}

/// A status as text.
pub(crate) fn describe(status: &TransactionStatus) -> String {
    match status {
        TransactionStatus::Committed { height, index } => {
            format!("committed at height {height}, index {index}")
        }
        TransactionStatus::Expired => "expired: no later block can contain it".to_owned(),
        TransactionStatus::Rejected { message, .. } => format!("rejected: {message}"),
        TransactionStatus::Pending => {
            "pending: a node holds it, but no final block contains it yet".to_owned()
        }
        TransactionStatus::Unknown => "unknown to this node".to_owned(),
    }
}

/// The outcome of a governance transaction as text.
pub(crate) fn outcome(outcome: &OutcomeJson) -> String {
    match outcome {
        OutcomeJson::Executed => "executed".to_owned(),
        OutcomeJson::Failed { reason, message } => format!("failed ({reason}): {message}"),
    }
}

/// Runs `quorate tx get`.
pub(super) fn get(args: &GetArgs) -> anyhow::Result<Outcome> {
    let which = &args.which;
    let rpc = which.node.rpc()?;
    let found = block_on(async { rpc.tx_get(which.id).await.map_err(remote::advise) })?;
    which.found(found.as_ref(), human_transaction)
}

fn human_transaction(located: &LocatedTransaction) -> String {
    let transaction = &located.transaction;
    let outcome = located.outcome.as_ref().map(|found| ("outcome", outcome(found)));
    let fields = [
        ("id", transaction.id.to_string()),
        ("place", format!("height {}, index {}", located.height, located.index)),
        ("sender", transaction.sender.to_string()),
        ("nonce", transaction.nonce.to_string()),
        ("valid until", output::time(transaction.valid_until_ms)),
        ("payload", payload(&transaction.payload)),
        ("signature", transaction.signature.to_string()),
    ];
    output::fields(fields.into_iter().chain(outcome))
}

/// A payload as text if it is readable text, otherwise as hex.
pub(crate) fn payload(payload: &PayloadJson) -> String {
    let data = match payload {
        PayloadJson::Data { data } => data,
        PayloadJson::Governance { data } => return OperationJson::of_payload(data).to_string(),
    };
    match std::str::from_utf8(data) {
        Ok(text) if !text.is_empty() && !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => to_hex(data),
    }
}

/// Runs `quorate tx receipt`.
pub(super) fn receipt(args: &ReceiptArgs) -> anyhow::Result<Outcome> {
    let which = &args.which;
    let rpc = which.node.rpc()?;
    let found = block_on(async { rpc.tx_receipt(which.id).await.map_err(remote::advise) })?;
    if let (Some(json), Some(path)) = (&found, &args.genesis) {
        let genesis = home::read_genesis(path)?;
        let receipt = Receipt::try_from(json).context("the node returned an invalid receipt")?;
        receipt
            .verify(genesis.anchor())
            .context("the node's receipt proves nothing on the chain of this genesis")?;
    }
    which.found(found.as_ref(), |json| human_receipt(json, args.genesis.is_some()))
}

fn human_receipt(receipt: &ReceiptJson, verified: bool) -> String {
    let (header, certificate) = (&receipt.proof.header, &receipt.proof.certificate);
    let signers: Vec<String> = certificate.signers.iter().map(u16::to_string).collect();
    let next = "not yet: save it with --output json, then `quorate verify FILE --genesis FILE`";
    output::fields([
        ("transaction", receipt.transaction.to_string()),
        (
            "place",
            format!("height {}, index {} of {}", header.height, receipt.index, header.transaction_count),
        ),
        ("time", output::time(header.timestamp_ms)),
        ("chain", header.chain_id.to_string()),
        (
            "certificate",
            format!(
                "height {}, view {}, by members {}",
                certificate.height,
                certificate.view,
                signers.join(", ")
            ),
        ),
        ("verified", if verified { "yes".to_owned() } else { next.to_owned() }),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_shown_as_text_only_if_they_are_harmless_text() {
        let shown = |data: &[u8]| payload(&PayloadJson::Data { data: data.to_vec() });
        assert_eq!(shown("grüezi".as_bytes()), "\"grüezi\"");
        assert_eq!(shown(b"\x1b[2J"), "0x1b5b324a");
        assert_eq!(shown(&[0xff]), "0xff");
        assert_eq!(shown(b""), "0x");
    }
}
