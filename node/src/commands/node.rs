//! `quorate node`: one validator, until it is told to stop.

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

/// How long a node may take to stop. What it has promised is on disk at any moment, so ending it then loses
/// nothing.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Stop signals within this time count as one. A later one ends the node at once.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// Run a validator until it is told to stop.
///
/// The home directory holds config.toml, and unless the config says otherwise genesis.toml, key.pem,
/// data/ledger.redb and data/journal.redb. `quorate testnet` writes such directories. When the node is ready it
/// prints one line with its addresses; log lines go to standard error. SIGINT, SIGTERM and SIGHUP stop it cleanly, a
/// second one more than a second later at once.
///
/// A validator never starts without its journal, since it could contradict votes it has given. Only the very
/// first start creates one, with --init.
///
/// While it runs, its own user can change what it logs: see `quorate log-level`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate node --home net/validator-0
  QUORATE_RPC__LISTEN=0.0.0.0:8545 quorate node --home /var/lib/quorate --log-format json

Every setting of config.toml can be overridden in the environment: QUORATE_ and the table, two underscores, the
setting, as in QUORATE_P2P__LISTEN=/ip4/0.0.0.0/tcp/9000; and both by --set. `quorate config` shows, checks and
explains them.")]
pub(crate) struct Args {
    /// The validator's directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// First start: create an empty ledger and an empty journal. Refused if either exists.
    #[arg(long)]
    init: bool,

    /// A setting over those of config.toml and of the environment, as in rpc.listen=127.0.0.1:8545; may be repeated.
    /// `quorate config options` lists them.
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
    for warning in home.genesis().warnings(commands::now()) {
        tracing::warn!("{warning}");
    }
    if args.init {
        home.create_data()?;
    }
    home.check_data()?;
    let setup = home.into_setup(Some(log_level));
    runtime::make_room(setup.config.rpc.max_connections);
    block_on_all_cores(serve(setup))
}

async fn serve(setup: Setup) -> anyhow::Result<Outcome> {
    // From here on a signal is not lost, even one that comes while the node starts.
    let mut signals = StopSignals::listen().context("signals cannot be listened to")?;
    let name = setup.name.clone();
    let running = tokio::select! {
        running = runtime::start(setup) => running.with_context(|| format!("{name} cannot start"))?,
        signal = signals.next() => {
            tracing::info!(signal, "{name} was told to stop before it had started");
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
        () = tokio::time::sleep(STOP_PATIENCE) => {
            Err(anyhow!("it did not stop within {} seconds and was ended", STOP_PATIENCE.as_secs()))
        }
        signal = signals.next_after(SAME_SIGNAL) => {
            Err(anyhow!("it was told to stop again ({signal}) and did so at once"))
        }
    };
    match failure {
        Some(error) => Err(error.context(format!("{name} failed"))),
        None => stopped.with_context(|| format!("{name} did not stop cleanly")).map(|()| Outcome::Yes),
    }
}

/// Prints the line that says where the node is, on a thread of its own: if standard output is a pipe without a reader, or
/// a terminal that was stopped, the write fails or blocks, and the node goes on.
fn announce(ready: String) -> anyhow::Result<()> {
    let print = move || {
        if let Err(error) = output::print(&ready) {
            tracing::warn!("{ready} ({error})");
        }
    };
    let printing = std::thread::Builder::new().name("ready".to_owned()).spawn(print);
    printing.map(drop).context("the system refuses another thread")
}
