//! `quorate ledger export`: writes the chain of a running or a stopped node into one file.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use quorate_genesis::Genesis;
use quorate_ledger::Height;
use quorate_store::{CertifiedRange, ExportWriter, Ledger, StoreError};
use serde::Serialize;

use super::proofs::Proofs;
use super::source::{Node, runs_of_ledger, runs_of_node};
use super::{Chain, advise, progress, show_position};
use crate::exit::Outcome;
use crate::output::{self, Output};

/// Write a chain into a file that can be verified offline, or append new blocks to it.
///
/// With --rpc, the command reads the chain from a running node. This node need not be trusted: the
/// command refuses blocks that a quorum has not signed. Without --rpc, it reads the ledger of a
/// stopped node. If the file exists, the command continues where the file ends, so the same command
/// every night is an incremental backup. Repeat an export that was interrupted. The command never
/// writes to a file that is not an export of this network.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  quorate ledger export chain.export --rpc http://127.0.0.1:8545 --genesis genesis.toml
  quorate ledger export chain.export --home net/validator-0

The journal is not part of it, and must not be of any backup: an older one makes a validator contradict itself.")]
pub(crate) struct ExportArgs {
    /// The file to write, or to continue.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// URL of a running node's JSON-RPC. Without it, the command reads the ledger of --home.
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,

    #[command(flatten)]
    chain: Chain,

    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Report {
    file: String,
    height: u64,
    hash: String,
    added_blocks: u64,
    cut_bytes: u64,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let (genesis, initial) = args.chain.beginning()?;
    // Report errors of the source before a file is created.
    let node = args.rpc.as_deref().map(Node::new).transpose()?;
    let ledger = match &node {
        Some(node) => {
            node.head()?;
            None
        }
        None => Some(Ledger::open_read_only(args.chain.config()?.ledger, genesis.header()).map_err(advise)?),
    };
    let bar = progress("bytes read");
    let progress_of = |position, length| show_position(&bar, position, length);
    let opened = ExportWriter::open(&args.file, genesis.header(), &initial, genesis.anchor(), progress_of);
    bar.finish_and_clear();
    let (writer, cut) = opened.map_err(|error| on_open(error, args))?;
    if cut > 0 {
        output::note(format_args!("{cut} bytes of an interrupted export were removed from its end"));
    }
    let begun = writer.head();
    let bar = progress("blocks");
    let proofs = Proofs::new(writer.anchor().clone(), writer.state());
    let mut target = Target { writer, proofs, bar: &bar };
    let from = begun.height.next();
    let copied = match (&node, &ledger) {
        (Some(node), _) => {
            check_continues(node, &target, &genesis)?;
            runs_of_node(node, from, |range, head| target.take(range, head))
        }
        (None, Some(ledger)) => runs_of_ledger(ledger, from, |range, head| target.take(range, head)),
        (None, None) => unreachable!("one of both was opened"),
    };
    // Keep the blocks that were proven before an error: the next export continues there.
    let finished = target.finish();
    bar.finish_and_clear();
    copied.and(finished)?;
    let head = target.writer.head();
    let report = Report {
        file: args.file.display().to_string(),
        height: head.height.0,
        hash: head.hash.to_string(),
        added_blocks: head.height.0.saturating_sub(begun.height.0),
        cut_bytes: cut,
    };
    args.output.show(&report, || human(&report))?;
    Ok(Outcome::Yes)
}

fn human(report: &Report) -> String {
    let Report { file, height, hash, added_blocks, .. } = report;
    output::fields([
        ("export", file.clone()),
        ("added", format!("{added_blocks} blocks")),
        ("head", format!("{hash} at height {height}")),
    ])
}

fn on_open(error: StoreError, args: &ExportArgs) -> anyhow::Error {
    match error {
        StoreError::InUse { .. } => {
            anyhow!("{} is being written by another export; wait for it", args.file.display())
        }
        StoreError::Damaged { .. } => {
            let advice = "this export cannot be continued: keep it, and write a new one to another file";
            anyhow::Error::new(error).context(advice)
        }
        other => other.into(),
    }
}

/// Checks that the node's chain contains the last block of the export. Without this check the error
/// would come later and be less clear.
fn check_continues(node: &Node, target: &Target<'_>, genesis: &Genesis) -> anyhow::Result<()> {
    let (end, (head, _)) = (target.writer.head(), node.head()?);
    if end.height > head {
        output::note(format_args!("the node has blocks up to {head}, the export up to {}", end.height));
        return Ok(());
    }
    if end.height == Height(0) {
        return Ok(());
    }
    match node.hash_at(end.height)? {
        Some(hash) if hash == end.hash => Ok(()),
        found => Err(anyhow!(
            "the node has another block than the export at height {}: {} instead of {}: is it a node of {} \
             (chain {})? `quorate ledger compare` shows the first difference",
            end.height,
            found.map_or_else(|| "none".to_owned(), |hash| hash.to_string()),
            end.hash,
            genesis.name(),
            genesis.chain_id()
        )),
    }
}

struct Target<'a> {
    writer: ExportWriter,
    proofs: Proofs,
    bar: &'a ProgressBar,
}

impl Target<'_> {
    fn take(&mut self, range: CertifiedRange, head: Height) -> anyhow::Result<()> {
        let proven = self.proofs.push(range).map_err(|reason| not_proven(&reason))?;
        self.write(proven)?;
        show_position(self.bar, self.writer.head().height.0, head.0);
        Ok(())
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        let proven = self.proofs.finish().map_err(|reason| not_proven(&reason))?;
        self.write(proven)?;
        self.writer.sync().context("the export is not complete")
    }

    fn write(&mut self, proven: Vec<CertifiedRange>) -> anyhow::Result<()> {
        for range in proven {
            self.writer.write(range)?;
        }
        self.proofs.advance(self.writer.anchor(), self.writer.state());
        Ok(())
    }
}

fn not_proven(reason: &str) -> anyhow::Error {
    anyhow!("the node returned blocks without a valid proof, which are not written: {reason}")
}
