//! `quorate governance epochs`: the file of epoch proofs.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use quorate_api::MAX_EPOCH_PROOFS_JSON_BYTES;
use quorate_ledger::ChainAnchor;
use serde::Serialize;

use crate::commands::epochs::KnownEpochs;
use crate::commands::{block_on, tx};
use crate::exit::Outcome;
use crate::files::{self, Access};
use crate::output::{self, Output};
use crate::remote::Node;

/// Write the epoch proofs of the network to a file, or add new ones to it.
///
/// The proofs lead from the committee of the genesis to that of every later epoch. `quorate verify
/// --epochs` and the clients in other languages read this file. The command verifies each proof before
/// it writes the file.
///
/// If the file exists, the command begins with its proofs and adds those of later epochs. It refuses a
/// node that proves fewer epochs than the file, or other ones, and leaves the file as it is: members
/// that left the committee may still have their keys, and could show an old chain as the present one.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance epochs --genesis genesis.toml --out epochs.json
  quorate verify receipt.json --genesis genesis.toml --epochs epochs.json

Run the first command again after each new epoch. A receipt needs the proofs up to its epoch; more of
them do no harm.")]
pub(crate) struct EpochsArgs {
    #[command(flatten)]
    node: Node,

    /// The network's genesis file. Without it, the command trusts the genesis that the node returns.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// The file to write, or to add to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    file: String,
    epochs: usize,
    added: usize,
    newest_epoch: u64,
}

pub(super) fn run(args: &EpochsArgs) -> anyhow::Result<Outcome> {
    let exists = args.out.exists();
    let (known, added) = block_on(async {
        let rpc = args.node.rpc()?;
        let genesis = tx::genesis_from(args.genesis.as_deref(), &rpc).await?;
        let anchor = genesis.anchor();
        let mut known = if exists { in_file(args, anchor)? } else { KnownEpochs::of_genesis(anchor) };
        let before = known.count();
        known.extend_from(&rpc).await?;
        let added = known.count() - before;
        anyhow::Ok((known, added))
    })?;
    let text = serde_json::to_string(&known.to_json()).context("epoch proofs cannot be encoded")? + "\n";
    match (exists, added) {
        (false, _) => files::write_new(&args.out, &text, Access::Shared)?,
        (true, 0) => {}
        (true, _) => files::replace(&args.out, &text)?,
    }
    let report = Report {
        file: args.out.display().to_string(),
        epochs: known.count(),
        added,
        newest_epoch: known.anchor().newest().epoch().0,
    };
    args.output.show(&report, || {
        output::fields([
            ("file", report.file.clone()),
            ("proofs", format!("{}, of which {added} are new", report.epochs)),
            ("newest epoch", report.newest_epoch.to_string()),
        ])
    })?;
    Ok(Outcome::Yes)
}

/// The proofs of the existing file.
fn in_file(args: &EpochsArgs, anchor: &ChainAnchor) -> anyhow::Result<KnownEpochs> {
    let text = files::read_text(&args.out, MAX_EPOCH_PROOFS_JSON_BYTES)?;
    KnownEpochs::of_text(anchor, &text).map_err(|reason| {
        anyhow!("{}: {reason}: the file is not changed, so give another name with --out", args.out.display())
    })
}
