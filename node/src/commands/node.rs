//! `quorate node`: runs one node until a signal stops it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args as ClapArgs;

use crate::commands::{self, block_on_all_cores};
use crate::config::{Overrides, SettingFlag};
use crate::exit::Outcome;
use crate::home::Home;
use crate::keyfile::PassphraseSource;
use crate::logging::Logging;
use crate::output;
use crate::runtime::{self, Setup};
use crate::signals::StopSignals;

/// How long a node may take to stop. Everything it has signed is on disk at any moment, so ending
/// it then loses nothing.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Stop signals within this time count as one. A later one ends the node at once.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Run a validator or an observer until a signal stops it.
///
/// The home directory contains config.toml and, unless the config sets other paths, genesis.toml,
/// key.pem, data/ledger.redb and data/journal.redb. `quorate testnet` creates such directories.
/// When the node is ready, it prints one line with its addresses; it logs to standard error.
/// SIGINT, SIGTERM or SIGHUP stops it cleanly; a second signal more than a second later stops it at
/// once.
///
/// A validator never starts without its journal, because it could contradict its earlier votes.
/// --init creates one: for the first start, or after ledger and journal are lost. In the second
/// case, the validator votes again in the next epoch.
///
/// While the node runs, the user who runs it can change what it logs: see `quorate log-level`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate node --home net/validator-0
  QUORATE_RPC__LISTEN=0.0.0.0:8545 quorate node --home /var/lib/quorate --log-format json

Every setting of config.toml can be overridden in the environment: QUORATE_ and the table, two underscores, the
setting, as in QUORATE_P2P__LISTEN=/ip4/0.0.0.0/tcp/9000; and both by --set. `quorate config` shows, checks and
explains them.")]
pub(crate) struct Args {
    /// The node's home directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// First start, or ledger and journal are lost: create an empty ledger and an empty journal.
    /// Refused if either exists.
    #[arg(long)]
    init: bool,

    /// A setting that overrides config.toml and the environment, as in rpc.listen=127.0.0.1:8545;
    /// may be repeated. `quorate config options` lists all settings.
    #[arg(long, value_name = "SETTING=VALUE")]
    set: Vec<SettingFlag>,

    #[command(flatten)]
    passphrase: PassphraseSource,

    #[command(flatten)]
    logging: Logging,
}

/// Runs `quorate node`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let log_level = args.logging.start("info")?;
    let home = Home::open(&args.home, &Overrides::of_process(&args.set)?, &args.passphrase)?;
    for warning in home.genesis.warnings(commands::now()) {
        tracing::warn!("{warning}");
    }
    if args.init {
        home.create_data()?;
    }
    home.check_data()?;
    let setup = Setup::of(home, Some(log_level));
    runtime::make_room(setup.config.rpc.max_connections);
    block_on_all_cores(serve(setup))
}

async fn serve(setup: Setup) -> anyhow::Result<Outcome> {
    // From here on no signal is lost, even if it arrives while the node starts.
    let mut signals = StopSignals::listen().context("cannot install signal handlers")?;
    let name = setup.name.clone();
    let running = tokio::select! {
        running = runtime::start(setup) => running.with_context(|| format!("{name} cannot start"))?,
        signal = signals.next() => {
            tracing::info!(signal, "{name} received a stop signal while it was starting");
            return Ok(Outcome::Yes);
        }
    };
    let ready = format!(
        "{name} is ready: RPC http://{}, P2P {}",
        running.rpc_address(),
        running.p2p_addresses().join(" ")
    );
    announce(ready)?;
    let failure = tokio::select! {
        error = running.failed() => Some(error),
        signal = signals.next() => {
            tracing::info!(signal, "stopping");
            None
        }
    };
    let stopped = tokio::select! {
        stopped = running.stop() => stopped,
        () = tokio::time::sleep(STOP_TIMEOUT) => {
            Err(anyhow!("it did not stop within {} seconds and was aborted", STOP_TIMEOUT.as_secs()))
        }
        signal = signals.next_after(SAME_SIGNAL) => {
            Err(anyhow!("it received a second stop signal ({signal}) and was aborted"))
        }
    };
    match failure {
        Some(error) => Err(error.context(format!("{name} failed"))),
        None => stopped.with_context(|| format!("{name} did not stop cleanly")).map(|()| Outcome::Yes),
    }
}

/// Prints the line with the node's addresses on a thread of its own. If standard output is a pipe
/// without a reader or a stopped terminal, the write fails or blocks, and the node must continue.
fn announce(ready: String) -> anyhow::Result<()> {
    let print = move || {
        if let Err(error) = output::print(&ready) {
            tracing::warn!("{ready} ({error})");
        }
    };
    let printing = std::thread::Builder::new().name("ready".to_owned()).spawn(print);
    printing.map(drop).context("cannot start a thread")
}
