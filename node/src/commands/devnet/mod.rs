//! `quorate devnet`: a whole network in one process.

mod directory;
mod members;
mod sample;
mod screen;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args as ClapArgs;

use self::directory::NetworkDirectory;
use self::members::{Members, Ports};
use crate::commands::block_on_all_cores;
use crate::exit::Outcome;
use crate::logging::Logging;
use crate::output;
use crate::signals::StopSignals;

/// Start a whole network in this process, order sample transactions, and show what to try next.
///
/// The command creates keys and a genesis as `quorate testnet` does. It starts all validators, each
/// with its own ledger, journal, peer-to-peer and RPC ports, as separate processes would have. Then
/// it orders a sample of signed transactions, verifies every receipt against the genesis, and runs
/// until Ctrl-C. The data is deleted at the end unless --dir is given.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate devnet
  quorate devnet --validators 7 --dir net          keeps its data and continues from it next time
  quorate devnet --once                            exit code 0 only if everything was committed everywhere")]
pub(crate) struct Args {
    /// Number of validators: 4, unless DIR already holds a network.
    #[arg(long, value_name = "N")]
    validators: Option<usize>,

    /// Keep keys and data in this directory, in the layout of `testnet`. If it holds a network,
    /// continue with it.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Stop after the sample. Unless base ports are given, the system chooses the ports.
    #[arg(long)]
    once: bool,

    /// Peer-to-peer port of the first validator of a new network.
    #[arg(long, value_name = "PORT")]
    base_p2p_port: Option<u16>,

    /// JSON-RPC port of the first validator of a new network.
    #[arg(long, value_name = "PORT")]
    base_rpc_port: Option<u16>,

    #[command(flatten)]
    logging: Logging,
}

impl Args {
    fn ports(&self) -> Ports {
        let chosen = self.base_p2p_port.is_some() || self.base_rpc_port.is_some();
        match (chosen, self.once) {
            (true, _) => Ports::Exactly,
            (false, true) => Ports::Any,
            (false, false) => Ports::IfFree,
        }
    }
}

/// Runs `quorate devnet`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let _ = args.logging.start("warn")?;
    block_on_all_cores(live(args))
}

async fn live(args: &Args) -> anyhow::Result<Outcome> {
    let mut signals = StopSignals::listen().context("cannot install signal handlers")?;
    // Declared before the nodes, so it is dropped last, after the nodes closed their files.
    let directory = NetworkDirectory::prepare(args)?;
    let mut members = tokio::select! {
        members = Members::start(&directory, args.ports()) => members?,
        _ = signals.next() => return Ok(Outcome::Yes),
    };
    let result = accompany(args, &directory, &mut members, &mut signals).await;
    let stopped = members.stop().await;
    // The first error is the most useful one.
    let outcome = result?;
    stopped?;
    Ok(outcome)
}

async fn accompany(
    args: &Args,
    directory: &NetworkDirectory,
    members: &mut Members,
    signals: &mut StopSignals,
) -> anyhow::Result<Outcome> {
    let network = members.publish(directory)?;
    let working = async {
        let sample = sample::order(&network).await?;
        output::print(&screen::render(&network, &sample).await?)?;
        anyhow::Ok(())
    };
    tokio::select! {
        done = working => done?,
        error = members.failed() => return Err(error),
        _ = signals.next() => return Ok(Outcome::of(!args.once)),
    }
    if args.once {
        return Ok(Outcome::Yes);
    }
    output::print(&screen::next_steps(&network, directory.is_kept()))?;
    tokio::select! {
        error = members.failed() => Err(error),
        signal = signals.next() => {
            output::note(format_args!("stopping ({signal})"));
            Ok(Outcome::Yes)
        }
    }
}
