//! `quorate verify`: verifies a receipt offline.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use quorate_api::{MAX_PROOF_JSON_BYTES, ReceiptJson, parse_receipt};
use quorate_genesis::Genesis;
use quorate_ledger::{Receipt, ReplicaId};
use serde::Deserialize;
use serde_json::json;

use crate::exit::Outcome;
use crate::files;
use crate::home;
use crate::output::{self, Output};

/// Verify a receipt offline: did this network order this transaction?
///
/// The command needs only the receipt and the genesis file, no node and no network. Exit code 0
/// only if the receipt proves that the transaction is at its place in a final block of the chain
/// that the genesis defines; otherwise 3.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate tx receipt ID --output json > receipt.json
  quorate verify receipt.json --genesis genesis.toml

  quorate tx send --data 'hello' --output json | quorate verify - --genesis genesis.toml

Get the genesis file from a source you trust: a receipt proves what validators signed, and the genesis
defines who these validators are.")]
pub(crate) struct Args {
    /// The receipt as JSON, as `tx receipt` or `tx send` prints it; - is standard input.
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,

    /// The network's genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    #[command(flatten)]
    output: Output,
}

/// The output of `tx send --output json`. None of its fields may contradict the receipt: a reader
/// of the output would believe that these fields are proven too.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: String,
    status: String,
    height: u64,
    index: u32,
    receipt: ReceiptJson,
}

/// Runs `quorate verify`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let genesis = home::read_genesis(&args.genesis)?;
    let text = files::read_text(&args.receipt, 2 * MAX_PROOF_JSON_BYTES)?;
    match prove(&text, &genesis) {
        Ok(receipt) => {
            args.output.show(&proven(&receipt, &genesis), || human(&receipt, &genesis))?;
            Ok(Outcome::Yes)
        }
        Err(reason) => {
            args.output
                .show(&json!({ "proven": false, "reason": reason }), || not_proven(&args.receipt, &reason))?;
            Ok(Outcome::No)
        }
    }
}

fn not_proven(path: &Path, reason: &str) -> String {
    format!("NOT PROVEN: {}: {reason}", path.display())
}

/// The receipt in a text, after it was verified.
fn prove(text: &str, genesis: &Genesis) -> Result<Receipt, String> {
    // A receipt itself has no such field.
    let receipt = if text.contains("\"receipt\"") && text.trim_start().starts_with('{') {
        let sent: Sent = serde_json::from_str(text).map_err(|error| format!("not a receipt: {error}"))?;
        unwrap_sent(&sent)?
    } else {
        parse_receipt(text).map_err(|error| error.to_string())?
    };
    receipt.verify(genesis.anchor()).map_err(|error| error.to_string())?;
    Ok(receipt)
}

fn unwrap_sent(sent: &Sent) -> Result<Receipt, String> {
    let receipt = Receipt::try_from(&sent.receipt).map_err(|error| error.to_string())?;
    let agrees = sent.status == "committed"
        && sent.id == receipt.transaction.to_string()
        && sent.height == receipt.proof.header.height.0
        && sent.index == receipt.index;
    if agrees { Ok(receipt) } else { Err("the fields next to the receipt contradict it".to_owned()) }
}

fn proven(receipt: &Receipt, genesis: &Genesis) -> serde_json::Value {
    let header = &receipt.proof.header;
    json!({
        "proven": true,
        "transaction": receipt.transaction.to_string(),
        "height": header.height.0,
        "index": receipt.index,
        "block": header.hash().to_string(),
        "timestamp_ms": header.timestamp.0,
        "chain_id": header.chain_id.to_string(),
        "network": genesis.name(),
        "signers": signers(receipt, genesis),
    })
}

fn signers(receipt: &Receipt, genesis: &Genesis) -> Vec<String> {
    let name = |replica: ReplicaId| match genesis.validator(replica) {
        Some(validator) => validator.name.clone(),
        None => replica.to_string(),
    };
    receipt.proof.certificate.votes().signers().iter().map(name).collect()
}

fn human(receipt: &Receipt, genesis: &Genesis) -> String {
    let header = &receipt.proof.header;
    let committee = genesis.committee();
    let certified = receipt.proof.certificate.ballot();
    let fields = output::fields([
        ("transaction", receipt.transaction.to_string()),
        ("block", format!("{} (height {}, index {})", header.hash(), header.height, receipt.index)),
        ("time", output::time(header.timestamp.0)),
        ("network", format!("{} (chain {})", genesis.name(), header.chain_id)),
        (
            "certified",
            format!(
                "at height {} by {} of {} validators: {}",
                certified.height,
                committee.quorum(),
                committee.size(),
                signers(receipt, genesis).join(", ")
            ),
        ),
    ]);
    format!("PROVEN: the network ordered the transaction at this place.\n\n{fields}")
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod files_tests;
