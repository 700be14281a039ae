//! `quorate governance epochs`: the file of epoch proofs.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use quorate_api::{EpochProofsJson, MAX_EPOCH_PROOFS};
use quorate_client::Rpc;
use quorate_ledger::ChainAnchor;
use serde::Serialize;

use crate::commands::{block_on, tx};
use crate::exit::Outcome;
use crate::files::{self, Access};
use crate::output::{self, Output};
use crate::remote::{self, Node};

/// Write the epoch proofs of the network to a file.
///
/// The proofs lead from the committee of the genesis to that of every later epoch. `quorate verify
/// --epochs` and the clients in other languages read this file. The command verifies each proof before
/// it writes the file.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate governance epochs --genesis genesis.toml --out epochs.json
  quorate verify receipt.json --genesis genesis.toml --epochs epochs.json")]
pub(crate) struct EpochsArgs {
    #[command(flatten)]
    node: Node,

    /// The network's genesis file. Without it, the command trusts the genesis that the node returns.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// The file to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    file: String,
    epochs: usize,
    newest_epoch: u64,
}

pub(super) fn run(args: &EpochsArgs) -> anyhow::Result<Outcome> {
    let (proofs, anchor) = block_on(async {
        let rpc = args.node.rpc()?;
        let genesis = tx::genesis_from(args.genesis.as_deref(), &rpc).await?;
        fetch(&rpc, genesis.anchor()).await
    })?;
    let text = serde_json::to_string(&proofs).context("epoch proofs cannot be encoded")?;
    files::write_new(&args.out, &(text + "\n"), Access::Shared)?;
    let report = Report {
        file: args.out.display().to_string(),
        epochs: proofs.proofs.len(),
        newest_epoch: anchor.newest().epoch().0,
    };
    args.output.show(&report, || {
        output::fields([
            ("file", report.file.clone()),
            ("proofs", report.epochs.to_string()),
            ("newest epoch", report.newest_epoch.to_string()),
        ])
    })?;
    Ok(Outcome::Yes)
}

/// All epoch proofs of a node, verified, and the anchor that they lead to.
///
/// # Errors
/// The node cannot be reached, or returns a proof that is not valid.
pub(crate) async fn fetch(rpc: &Rpc, anchor: &ChainAnchor) -> anyhow::Result<(EpochProofsJson, ChainAnchor)> {
    let mut anchor = anchor.clone();
    let mut all = EpochProofsJson { chain_id: anchor.chain_id(), proofs: Vec::new() };
    while all.proofs.len() < MAX_EPOCH_PROOFS {
        let more = rpc.network_epochs(anchor.newest().epoch().0).await.map_err(remote::advise)?;
        if more.chain_id != all.chain_id {
            bail!("the node is one of chain {}, but the genesis is of {}", more.chain_id, all.chain_id);
        }
        if more.proofs.is_empty() {
            break;
        }
        let proofs = more.to_proofs().context("the node returned invalid epoch proofs")?;
        for proof in &proofs {
            anchor.extend(proof).context("the node returned an invalid epoch proof")?;
        }
        all.proofs.extend(more.proofs);
    }
    Ok((all, anchor))
}
