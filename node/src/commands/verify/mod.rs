//! `quorate verify`: verifies a receipt offline.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use quorate_api::{MAX_EPOCH_PROOFS_JSON_BYTES, MAX_PROOF_JSON_BYTES, ReceiptJson, parse_receipt};
use quorate_client::{ClientConfig, Rpc};
use quorate_genesis::Genesis;
use quorate_ledger::{ChainAnchor, Committee, ProofError, PublicKey, Receipt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::commands::block_on;
use crate::commands::epochs::KnownEpochs;
use crate::exit::Outcome;
use crate::files;
use crate::genesis_file;
use crate::output::{self, Output};

/// Verify a receipt offline: did this network order this transaction?
///
/// The command needs only the receipt, the genesis file and, for a block of a later epoch than 0, the
/// epoch proofs. It needs no node and no network, unless --rpc gets the epoch proofs from a node. Exit
/// code 0 only if the receipt proves that the transaction is at its place in a final block of the chain
/// that the genesis defines; otherwise 3.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate tx receipt ID --output json > receipt.json
  quorate verify receipt.json --genesis genesis.toml

  quorate tx send --data 'hello' --output json | quorate verify - --genesis genesis.toml

Get the genesis file from a source you trust: a receipt proves what validators signed, and the genesis
defines who these validators are.

Later epochs:
  The genesis names the members of epoch 0. A change of members or keys, a renewal, or a change of most
  parameters begins a new epoch. An epoch proof is the last block of an epoch, signed by a quorum of its
  members, with the members of the next epoch. So the epoch proofs lead from the genesis to the members
  that signed the receipt. Without the proofs up to its epoch, a receipt is unproven: neither valid nor
  invalid. Get them once, as a file:

  quorate governance epochs --genesis genesis.toml --out epochs.json --rpc http://127.0.0.1:8545
  quorate verify receipt.json --genesis genesis.toml --epochs epochs.json

  or each time, from a node that you need not trust:

  quorate verify receipt.json --genesis genesis.toml --rpc http://127.0.0.1:8545

  Prefer a file with the proofs of all epochs. Members that left may still have their keys, and can sign
  blocks beyond their epoch. A verifier that knows the end of the epoch refuses such blocks.")]
pub(crate) struct Args {
    /// The receipt as JSON, as `tx receipt` or `tx send` prints it; - is standard input.
    #[arg(value_name = "RECEIPT")]
    receipt: PathBuf,

    /// The network's genesis file.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// The epoch proofs as JSON, for receipts of blocks of later epochs than 0.
    ///
    /// They prove which members follow on those of the genesis. Any source will do: the signatures in
    /// them are verified. `quorate governance epochs` writes this file.
    #[arg(long, value_name = "FILE")]
    epochs: Option<PathBuf>,

    /// URL of a node's JSON-RPC, to get the epoch proofs of all epochs from it.
    ///
    /// The node is not trusted: the signatures in the proofs are verified. With --epochs too, the
    /// command begins with the file. It refuses a node that proves fewer epochs than the file, or other
    /// ones.
    #[arg(long = "rpc", value_name = "URL")]
    rpc: Option<String>,

    #[command(flatten)]
    output: Output,
}

/// Why a receipt is not proven.
#[derive(Debug)]
enum NotProven {
    /// The receipt or the epoch proofs are not valid.
    Invalid(String),
    /// The epoch proofs do not reach the epoch of the receipt, so it may be valid or not.
    Unproven(String),
}

impl NotProven {
    fn of(error: &ProofError) -> Self {
        match error {
            ProofError::Unproven { .. } => NotProven::Unproven(error.to_string()),
            _ => NotProven::Invalid(error.to_string()),
        }
    }

    fn reason(&self) -> &str {
        let (NotProven::Invalid(reason) | NotProven::Unproven(reason)) = self;
        reason
    }
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
    /// Of a governance transaction. A receipt does not prove it, so it is not repeated as proven.
    #[serde(default, rename = "outcome")]
    _outcome: Option<IgnoredAny>,
    receipt: ReceiptJson,
}

/// Runs `quorate verify`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let genesis = genesis_file::read_genesis(&args.genesis)?;
    let text = files::read_text(&args.receipt, 2 * MAX_PROOF_JSON_BYTES)?;
    let epochs = args.epochs.as_ref().map(|path| files::read_text(path, MAX_EPOCH_PROOFS_JSON_BYTES));
    let known = match (known_epochs(&genesis, epochs.transpose()?.as_deref()), &args.rpc) {
        (Ok(known), Some(url)) => Ok(extended(known, url)?),
        (known, _) => known,
    };
    match known.and_then(|known| prove(&text, known.anchor())) {
        Ok(proven) => {
            args.output.show(&proven.to_json(&genesis), || proven.to_text(&genesis))?;
            Ok(Outcome::Yes)
        }
        Err(error) => {
            let unproven = matches!(error, NotProven::Unproven(_));
            let json = json!({ "proven": false, "unproven": unproven, "reason": error.reason() });
            args.output.show(&json, || not_proven(&args.receipt, &error))?;
            Ok(Outcome::No)
        }
    }
}

fn not_proven(path: &Path, error: &NotProven) -> String {
    let path = path.display();
    match error {
        NotProven::Invalid(reason) => format!("NOT PROVEN: {path}: {reason}"),
        NotProven::Unproven(reason) => format!(
            "NOT PROVEN: {path}: {reason}.\n\nThe receipt may be valid or not. Give --rpc URL to get the proofs \
             from a node, or --epochs FILE: `quorate governance epochs --out FILE` writes it."
        ),
    }
}

/// A verified receipt.
#[derive(Debug)]
struct Proven {
    receipt: Receipt,
    /// The members that certified its block.
    committee: Committee,
}

/// The epochs that follow from the genesis and the text of epoch proofs.
fn known_epochs(genesis: &Genesis, epochs: Option<&str>) -> Result<KnownEpochs, NotProven> {
    match epochs {
        Some(text) => KnownEpochs::of_text(genesis.anchor(), text).map_err(NotProven::Invalid),
        None => Ok(KnownEpochs::of_genesis(genesis.anchor())),
    }
}

/// The same with all epochs that a node proves.
fn extended(mut known: KnownEpochs, url: &str) -> anyhow::Result<KnownEpochs> {
    let rpc = Rpc::new(url, &ClientConfig::default())?;
    block_on(known.extend_from(&rpc))?;
    Ok(known)
}

/// The receipt in a text, after it was verified with the anchor.
fn prove(text: &str, anchor: &ChainAnchor) -> Result<Proven, NotProven> {
    let receipt = read_receipt(text).map_err(NotProven::Invalid)?;
    receipt.verify(anchor).map_err(|error| NotProven::of(&error))?;
    let epoch = receipt.proof.header.epoch;
    let committee = anchor.committee(epoch).expect("the receipt was verified with it").clone();
    Ok(Proven { receipt, committee })
}

/// The unverified receipt in a text.
fn read_receipt(text: &str) -> Result<Receipt, String> {
    // A receipt itself has no such field.
    if text.contains("\"receipt\"") && text.trim_start().starts_with('{') {
        let sent: Sent = serde_json::from_str(text).map_err(|error| format!("not a receipt: {error}"))?;
        unwrap_sent(&sent)
    } else {
        parse_receipt(text).map_err(|error| error.to_string())
    }
}

fn unwrap_sent(sent: &Sent) -> Result<Receipt, String> {
    let receipt = Receipt::try_from(&sent.receipt).map_err(|error| error.to_string())?;
    let agrees = sent.status == "committed"
        && sent.id == receipt.transaction.to_string()
        && sent.height == receipt.proof.header.height.0
        && sent.index == receipt.index;
    if agrees { Ok(receipt) } else { Err("the fields next to the receipt contradict it".to_owned()) }
}

impl Proven {
    fn to_json(&self, genesis: &Genesis) -> serde_json::Value {
        let header = &self.receipt.proof.header;
        json!({
            "proven": true,
            "transaction": self.receipt.transaction.to_string(),
            "height": header.height.0,
            "index": self.receipt.index,
            "block": header.hash().to_string(),
            "timestamp_ms": header.timestamp.0,
            "chain_id": header.chain_id.to_string(),
            "epoch": header.epoch.0,
            "network": genesis.name(),
            "signers": self.signers(genesis),
        })
    }

    /// The names of the signers. The genesis has no names for the keys of members that came later.
    fn signers(&self, genesis: &Genesis) -> Vec<String> {
        let name = |key: &PublicKey| genesis.name_of(key).map_or_else(|| key.to_string(), str::to_owned);
        let signers = self.receipt.proof.certificate.votes().signers();
        signers.iter().filter_map(|replica| self.committee.member(replica)).map(name).collect()
    }

    fn to_text(&self, genesis: &Genesis) -> String {
        let Proven { receipt, committee } = self;
        let header = &receipt.proof.header;
        let certified = receipt.proof.certificate.ballot();
        let fields = output::fields([
            ("transaction", receipt.transaction.to_string()),
            ("block", format!("{} (height {}, index {})", header.hash(), header.height, receipt.index)),
            ("time", output::time(header.timestamp.0)),
            ("network", format!("{} (chain {})", genesis.name(), header.chain_id)),
            (
                "certified",
                format!(
                    "at height {} by {} of {} validators of epoch {}: {}",
                    certified.height,
                    committee.quorum(),
                    committee.size(),
                    header.epoch,
                    self.signers(genesis).join(", ")
                ),
            ),
        ]);
        format!("PROVEN: the network ordered the transaction at this place.\n\n{fields}")
    }
}

/// Verifies as the command does with these texts.
#[cfg(test)]
fn proven(text: &str, genesis: &Genesis, epochs: Option<&str>) -> Result<Proven, NotProven> {
    prove(text, known_epochs(genesis, epochs)?.anchor())
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod files_tests;
