//! The command line as clap sees it. Each command's options and help are in its own file.

use clap::{Parser, Subcommand};

use crate::commands::{
    bench, block, completions, config, devnet, explain, genesis, key, ledger, log_level, node, status,
    testnet, tx, verify,
};
use crate::exit::EXIT_CODES;

const EXAMPLES: &str = "\
Try it:
  quorate devnet                                   a whole network in this terminal
  quorate tx send --data 'hello'                   in another one: order a transaction, wait for its receipt
  quorate block list

Run validators as processes of their own:
  quorate testnet --validators 4 --output net
  quorate node --home net/validator-0              and so on, each in its own terminal
  quorate status --network net/network.json
  quorate explain --rpc http://127.0.0.1:8546      why a node makes progress, or does not";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_CODES}")
}

/// A permissioned blockchain ordering node, and everything around it.
///
/// Quorate orders signed transactions: a committee of validators agrees on one hash-chained sequence of
/// blocks (PBFT), and whoever submitted a transaction gets a receipt that anybody can verify offline.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = after_help(), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Devnet(devnet::Args),
    Testnet(testnet::Args),
    Node(node::Args),
    #[command(subcommand)]
    Config(config::Command),
    #[command(subcommand)]
    Key(key::Command),
    #[command(subcommand)]
    Genesis(genesis::Command),
    #[command(subcommand)]
    Tx(tx::Command),
    #[command(subcommand)]
    Block(block::Command),
    #[command(subcommand)]
    Ledger(ledger::Command),
    Status(status::Args),
    Explain(explain::Args),
    LogLevel(log_level::Args),
    Verify(verify::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    /// A command or option without a line of help is one that nobody finds.
    #[test]
    fn everything_has_a_help_text() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
            for argument in command.get_arguments() {
                let documented = argument.get_help().is_some() || argument.get_id() == "help";
                assert!(documented, "{} of {} has no help", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
