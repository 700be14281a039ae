//! The command line as clap sees it. Each command's options and help are in its own file.

use std::env;
use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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

/// Reads the command line, and the variables that stand for options. Ends the program if they cannot be meant.
pub(crate) fn parse() -> Cli {
    let command = without_empty_variables(Cli::command(), &|name| env::var_os(name));
    let arguments: Vec<OsString> = env::args_os().collect();
    let parsed = command.clone().try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => naming_the_variable(error, &command, &arguments).exit(),
    }
}

/// Lets empty variables count as none: scripts and units set them so to leave a choice to the program.
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

/// Adds to an error about a value the variable that it came from, if it is not from the command line.
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

/// The variable that stands for an option such as `--log-format`, in whichever command has it.
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
