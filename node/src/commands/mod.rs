//! One file for each command.

pub(crate) mod bench;
pub(crate) mod block;
pub(crate) mod client;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod devnet;
mod epochs;
pub(crate) mod explain;
pub(crate) mod genesis;
pub(crate) mod governance;
pub(crate) mod key;
pub(crate) mod ledger;
pub(crate) mod log_level;
pub(crate) mod node;
pub(crate) mod status;
pub(crate) mod testnet;
pub(crate) mod tx;
pub(crate) mod validator;
pub(crate) mod verify;

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use quorate_ledger::Timestamp;

use crate::cli::Command;
use crate::exit::Outcome;

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Devnet(args) => devnet::run(&args),
        Command::Testnet(args) => testnet::run(&args),
        Command::Node(args) => node::run(&args),
        Command::Key(command) => key::run(&command),
        Command::Genesis(command) => genesis::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Tx(command) => tx::run(&command),
        Command::Governance(command) => governance::run(&command),
        Command::Validator(command) => validator::run(&command),
        Command::Client(command) => client::run(&command),
        Command::Block(command) => block::run(&command),
        Command::Ledger(command) => ledger::run(&command),
        Command::Status(args) => status::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::LogLevel(args) => log_level::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Runs commands that only wait for a few responses.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("no asynchronous runtime can be started")?.block_on(work)
}

/// Runs commands that need all cores. Tasks that still run when `work` is done have a second to
/// end.
fn block_on_all_cores<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("no asynchronous runtime can be started")?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(TIMEOUT);
    result
}

/// The current time, in the unit of blocks and transactions.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
