//! `quorate ledger`: commands for backups and verification of the chain.

mod compare;
mod export;
mod follow;
mod import;
mod proofs;
mod source;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
pub(crate) use follow::{Followed, follow_export};
use indicatif::{ProgressBar, ProgressStyle};
use quorate_genesis::Genesis;
use quorate_governance::State;
use quorate_store::StoreError;

use crate::config::{self, Config, Overrides};
use crate::exit::Outcome;
use crate::genesis_file;

/// Verify, export, import and compare chains.
///
/// A chain is in the home of a stopped node, behind the JSON-RPC of a running node, or in an
/// export. An export is one file that can be verified with the genesis alone. If the network took
/// over clients, verify, export and import also need genesis.clients beside the genesis. Receipts
/// do not.
///
/// The export of a running node is its backup: the node keeps running, the command checks every
/// block as it arrives, and the same command later adds the new blocks.
///
/// `verify`, `export` and `compare` only read a ledger: they change nothing in it and need no write
/// permission. `import` writes it.
///
/// Never back up the journal (data/journal.redb). It records what a validator has signed, and with
/// an older copy the validator could contradict its own votes. Copy config.toml, genesis.toml and
/// key.pem once, by hand.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  quorate ledger export chain.export --rpc http://127.0.0.1:8545 --genesis genesis.toml
  quorate ledger verify chain.export --genesis genesis.toml
  quorate ledger import chain.export --home /var/lib/quorate
  quorate ledger compare http://127.0.0.1:8545 http://127.0.0.1:8546 --genesis genesis.toml")]
pub(crate) enum Command {
    Verify(verify::VerifyArgs),
    Export(export::ExportArgs),
    Import(import::ImportArgs),
    Compare(compare::CompareArgs),
}

/// Runs `quorate ledger`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Verify(args) => verify::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Compare(args) => compare::run(args),
    }
}

/// Which chain the command uses.
#[derive(Debug, Clone, Args)]
struct Chain {
    /// The network's genesis file; the default is that of the home.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// A node's home directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: Option<PathBuf>,
}

impl Chain {
    fn genesis(&self) -> anyhow::Result<Genesis> {
        genesis_file::read_genesis(&self.genesis_file()?)
    }

    /// The genesis, and the governance state before block 1.
    fn beginning(&self) -> anyhow::Result<(Genesis, State)> {
        genesis_file::read_beginning(&self.genesis_file()?)
    }

    fn genesis_file(&self) -> anyhow::Result<PathBuf> {
        match (&self.genesis, &self.home) {
            (Some(file), _) => Ok(file.clone()),
            (None, Some(home)) => Ok(read_config(home)?.genesis),
            (None, None) => Err(anyhow!(
                "the network is not known: give --genesis FILE, or --home DIR of one of its nodes"
            )),
        }
    }

    /// The settings of the home, which must be given.
    fn config(&self) -> anyhow::Result<Config> {
        let home =
            self.home.as_deref().ok_or_else(|| anyhow!("no chain is given: use --home DIR of a node"))?;
        read_config(home)
    }
}

fn read_config(home: &Path) -> anyhow::Result<Config> {
    config::read(home, &Overrides::of_process(&[])?)
}

/// Adds advice to an error if a node uses the file.
fn advise(error: StoreError) -> anyhow::Error {
    let in_use = matches!(error, StoreError::InUse { .. });
    let error = anyhow::Error::new(error);
    if in_use {
        return error
            .context("a running node has locked its files; read its chain over JSON-RPC instead: --rpc URL");
    }
    error
}

/// A progress bar; visible if standard error is a terminal.
fn progress(unit: &str) -> ProgressBar {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(&format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{msg}}")) {
        bar.set_style(style);
    }
    bar
}

fn show_position(bar: &ProgressBar, position: u64, length: u64) {
    bar.set_length(length);
    bar.set_position(position);
}

/// Checks that a path exists, for an error before anything is opened.
fn must_exist(path: &Path) -> anyhow::Result<()> {
    path.symlink_metadata().map(drop).with_context(|| format!("{} cannot be read", path.display()))
}
