//! `quorate tx status`, `get` and `receipt`.

use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use quorate_api::{
    LocatedTransaction, MAX_EPOCH_PROOFS_JSON_BYTES, OperationJson, OutcomeJson, PayloadJson, ReceiptJson,
    TransactionStatus,
};
use quorate_client::Rpc;
use quorate_ledger::{ProofError, Receipt, TransactionId, to_hex};
use serde::Serialize;

use crate::commands::block_on;
use crate::commands::epochs::KnownEpochs;
use crate::exit::Outcome;
use crate::files;
use crate::genesis_file;
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
/// With --genesis, the command verifies the receipt before it prints it. It gets the epoch proofs from
/// the same node and verifies them too. The node need not be trusted.
///
/// Exit code 3 if the node has no such committed transaction, 1 if its receipt is not proven.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate tx receipt ID --output json > receipt.json
  quorate verify receipt.json --genesis genesis.toml

A receipt of epoch 0 needs nothing else. For a receipt of a later epoch, store the epoch proofs too:

  quorate governance epochs --genesis genesis.toml --out epochs.json
  quorate verify receipt.json --genesis genesis.toml --epochs epochs.json")]
pub(crate) struct ReceiptArgs {
    #[command(flatten)]
    which: Which,

    /// The network's genesis file. If it is given, the command verifies the receipt before printing
    /// it.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// A file of epoch proofs to begin with, as `quorate governance epochs` writes it.
    ///
    /// The node must prove at least these epochs. Without the file, the command begins with the
    /// genesis.
    #[arg(long, value_name = "FILE", requires = "genesis")]
    epochs: Option<PathBuf>,
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
    let known = known_epochs(args)?;
    let (found, verified) = block_on(async {
        let found = rpc.tx_receipt(which.id).await.map_err(remote::advise)?;
        let verified = match (&found, known) {
            (Some(json), Some(known)) => Some(verify(&rpc, which.id, json, known).await?),
            _ => None,
        };
        anyhow::Ok((found, verified))
    })?;
    which.found(found.as_ref(), |json| human_receipt(json, verified.as_ref()))
}

/// The epochs that follow from the genesis and the file of epoch proofs, if there is a genesis.
fn known_epochs(args: &ReceiptArgs) -> anyhow::Result<Option<KnownEpochs>> {
    let Some(genesis) = &args.genesis else { return Ok(None) };
    let genesis = genesis_file::read_genesis(genesis)?;
    let Some(path) = &args.epochs else { return Ok(Some(KnownEpochs::of_genesis(genesis.anchor()))) };
    let text = files::read_text(path, MAX_EPOCH_PROOFS_JSON_BYTES)?;
    let known = KnownEpochs::of_text(genesis.anchor(), &text);
    Ok(Some(known.map_err(|reason| anyhow!("{}: {reason}", path.display()))?))
}

/// Verifies a receipt of the node with all epochs that the node proves. Returns these epochs.
async fn verify(
    rpc: &Rpc,
    id: TransactionId,
    receipt: &ReceiptJson,
    mut known: KnownEpochs,
) -> anyhow::Result<KnownEpochs> {
    let receipt = Receipt::try_from(receipt).context("the node returned an invalid receipt")?;
    ensure!(
        receipt.transaction == id,
        "the node returned the receipt of another transaction, {}: do not trust it",
        receipt.transaction
    );
    known.extend_from(rpc).await?;
    receipt.verify(known.anchor()).map_err(|error| match error {
        ProofError::Unproven { .. } => anyhow::Error::new(error)
            .context("the node does not have the proof of its own receipt: ask another node"),
        _ => anyhow::Error::new(error)
            .context("the node's receipt proves nothing on the chain of this genesis"),
    })?;
    Ok(known)
}

fn human_receipt(receipt: &ReceiptJson, verified: Option<&KnownEpochs>) -> String {
    let (header, certificate) = (&receipt.proof.header, &receipt.proof.certificate);
    let signers: Vec<String> = certificate.signers.iter().map(u16::to_string).collect();
    let verified = match verified {
        Some(_) if header.epoch == 0 => "yes, with the genesis".to_owned(),
        Some(_) => format!("yes, with the genesis and the epoch proofs up to epoch {}", header.epoch),
        None => "not yet: save it with --output json, then `quorate verify FILE --genesis FILE`".to_owned(),
    };
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
                "height {}, epoch {}, view {}, by members {}",
                certificate.height,
                certificate.epoch,
                certificate.view,
                signers.join(", ")
            ),
        ),
        ("verified", verified),
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
