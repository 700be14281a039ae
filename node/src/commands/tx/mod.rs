//! `quorate tx`: transactions, from signing to receipt.

mod build;
mod look;
mod send;

pub(crate) use build::valid_until;
pub(crate) use look::{describe, outcome, payload};
pub(crate) use send::{client, genesis_from, submit};

use clap::Subcommand;

use crate::exit::Outcome;

/// Sign and send transactions, and follow them up to their receipts.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Send(send::SendArgs),
    Sign(build::SignArgs),
    Status(look::StatusArgs),
    Get(look::GetArgs),
    Receipt(look::ReceiptArgs),
}

/// Runs `quorate tx`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Send(args) => send::run(args),
        Command::Sign(args) => build::run(args),
        Command::Status(args) => look::status(args),
        Command::Get(args) => look::get(args),
        Command::Receipt(args) => look::receipt(args),
    }
}
