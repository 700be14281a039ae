//! The command line. The options and help of each command are in its own file.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    bench, block, client, completions, config, devnet, explain, genesis, governance, key, ledger, log_level,
    node, status, testnet, tx, validator, verify,
};
use crate::exit::EXIT_CODES;

const EXAMPLES: &str = "\
Try it:
  quorate devnet                                   a whole network in this terminal
  quorate tx send --data 'hello'                   in another one: order a transaction, wait for its receipt
  quorate block list

Change the network while it runs:
  quorate governance status                        who decides, and what is scheduled
  quorate validator remove bank-2 --dry-run        what a change would do; see `quorate validator --help`

Run validators as processes of their own:
  quorate testnet --validators 4 --output net
  quorate node --home net/validator-0              and so on, each in its own terminal
  quorate status --network net/network.json
  quorate explain --rpc http://127.0.0.1:8546      why a node makes progress, or does not";

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_CODES}")
}

/// A permissioned blockchain ordering node and its tools.
///
/// Quorate orders signed transactions. A committee of validators agrees on one hash-chained
/// sequence of blocks (PBFT). The sender of a transaction gets a receipt that can be verified
/// offline, from the genesis on.
#[derive(Debug, Parser)]
#[command(name = "quorate", version, after_help = after_help(), arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
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
    Governance(governance::Command),
    #[command(subcommand)]
    Validator(validator::Command),
    #[command(subcommand)]
    Client(client::Command),
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

/// Parses the command line and the environment variables that stand for options. Exits the program
/// if they are invalid.
pub(crate) fn parse() -> Cli {
    let command = without_empty_variables(Cli::command(), &|name| env::var_os(name));
    let arguments: Vec<OsString> = env::args_os().collect();
    let parsed = command.clone().try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => naming_the_variable(error, &command, &arguments).exit(),
    }
}

/// Treats empty variables as unset. Scripts and service units set them to empty in order to use the
/// default.
fn without_empty_variables(
    command: clap::Command,
    value: &dyn Fn(&OsStr) -> Option<OsString>,
) -> clap::Command {
    let command = command.mut_args(|argument| {
        let empty = argument.get_env().and_then(value).is_some_and(|value| value.is_empty());
        if empty { argument.env(Resettable::Reset) } else { argument }
    });
    command.mut_subcommands(|command| without_empty_variables(command, value))
}

/// Names the environment variable in an error about a value, if the value comes from a variable.
fn naming_the_variable(
    mut error: clap::Error,
    command: &clap::Command,
    arguments: &[OsString],
) -> clap::Error {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    let option = shown.split_whitespace().next().unwrap_or_default();
    let is_option = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument == option || argument.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
    };
    if let Some(variable) = variable_of(command, option)
        && !arguments.iter().any(is_option)
    {
        let named = format!("{shown} (environment variable {variable})");
        error.insert(ContextKind::InvalidArg, ContextValue::String(named));
    }
    error
}

/// The environment variable for an option such as `--log-format`, in any command that has the
/// option.
fn variable_of(command: &clap::Command, option: &str) -> Option<String> {
    let has_name = |argument: &&clap::Arg| option.strip_prefix("--") == argument.get_long();
    let here = command.get_arguments().find(|argument| has_name(argument) && argument.get_env().is_some());
    let variable = here.and_then(clap::Arg::get_env).map(|name| name.to_string_lossy().into_owned());
    variable.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, option)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none() {
        let variables = |command: &clap::Command| {
            let mut options = Vec::new();
            let node = command.find_subcommand("node").into_iter().flat_map(clap::Command::get_arguments);
            options.extend(node.filter_map(clap::Arg::get_env).map(OsStr::to_os_string));
            options
        };
        let all = variables(&Cli::command());
        assert!(all.contains(&"QUORATE_LOG_LEVEL".into()) && all.contains(&"QUORATE_HOME".into()), "{all:?}");
        let level_is_empty = |name: &OsStr| Some(if name == "QUORATE_LOG_LEVEL" { "" } else { "x" }.into());
        let left = variables(&without_empty_variables(Cli::command(), &level_is_empty));
        assert_eq!(left.len(), all.len() - 1);
        assert!(!left.contains(&"QUORATE_LOG_LEVEL".into()));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// A command or option without help text cannot be discovered by users.
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
