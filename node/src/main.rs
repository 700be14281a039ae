//! The `quorate` binary: a permissioned blockchain ordering node and everything around it.

mod cli;
mod commands;
mod config;
mod exit;
mod files;
mod home;
mod http;
mod keyfile;
mod logging;
mod network_file;
mod output;
mod remote;
mod runtime;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let code = exit::code_of(commands::run(cli.command));
    logging::flush();
    code
}
