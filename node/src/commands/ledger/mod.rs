//! `quorate ledger`: the chain as data, for those who keep it.

mod compare;
mod export;
mod import;
mod proofs;
mod source;
mod verify;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use quorate_genesis::Genesis;
use quorate_store::StoreError;

use crate::config::{self, Config, Overrides};
use crate::exit::Outcome;
use crate::home;

/// Verify, export, import and compare chains.
///
/// A chain is in the home of a node, where a stopped node leaves it; behind the JSON-RPC of a running one; or in an export, a file of
/// its own that anybody can verify with the genesis alone. An export of a running node is its backup: nothing is stopped, every block
/// is checked as it comes, and saying the same again adds what is new.
///
/// `verify`, `export` and `compare` only read a ledger: they change nothing in it, and need no right to write it. `import` writes it.
///
/// What must never be in a backup is the journal (data/journal.redb), which holds what a validator has promised: an older one makes
/// it contradict itself. config.toml, genesis.toml and key.pem are copied once, by hand.
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

/// Which chain is meant.
#[derive(Debug, Clone, Args)]
struct Chain {
    /// The network's genesis file; that of the home, if not given.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// A node's directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: Option<PathBuf>,
}

impl Chain {
    fn genesis(&self) -> anyhow::Result<Genesis> {
        match (&self.genesis, &self.home) {
            (Some(file), _) => home::read_genesis(file),
            (None, Some(home)) => home::read_genesis(&read_config(home)?.genesis),
            (None, None) => {
                Err(anyhow!("say which network it is: --genesis FILE, or --home DIR of one of its nodes"))
            }
        }
    }

    /// The settings of the home, which must be given.
    fn config(&self) -> anyhow::Result<Config> {
        let home = self.home.as_deref().ok_or_else(|| anyhow!("say which node's chain it is: --home DIR"))?;
        read_config(home)
    }
}

fn read_config(home: &Path) -> anyhow::Result<Config> {
    config::read(home, &Overrides::of_process(&[])?)
}

/// What to do when a node holds its files.
fn advise(error: StoreError) -> anyhow::Error {
    let in_use = matches!(error, StoreError::InUse { .. });
    let error = anyhow::Error::new(error);
    if in_use {
        return error
            .context("a running node has its files to itself; ask it over JSON-RPC instead: --rpc URL");
    }
    error
}

/// A bar on standard error, where somebody looks at it.
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

/// Whether a path names something, for messages that come before anything is opened.
fn must_exist(path: &Path) -> anyhow::Result<()> {
    path.symlink_metadata().map(drop).with_context(|| format!("{} cannot be read", path.display()))
}
