//! The `quorate` binary: a permissioned blockchain ordering node and its tools.

mod cli;
mod commands;
mod config;
mod data_files;
mod exit;
mod files;
mod genesis_file;
mod home;
mod http;
mod keyfile;
mod layout;
mod logging;
mod network_file;
mod output;
mod remote;
mod runtime;
mod signals;

use std::process::ExitCode;

fn main() -> ExitCode {
    // A damaged file causes an error that says what to do; the output of the underlying panic would
    // only confuse.
    quorate_store::hide_caught_panics();
    let cli = cli::parse();
    let code = exit::code_of(commands::run(cli.command));
    logging::flush();
    code
}
