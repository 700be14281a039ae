//! `quorate config`: the settings of a node.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};

use crate::commands;
use crate::config::{self, Effective, Overrides, SettingFlag, SettingsTable};
use crate::exit::Outcome;
use crate::home::SealedHome;
use crate::output::{self, Output, Table};

/// Show, check and explain the settings of a node.
///
/// A setting on the command line overrides the environment, which overrides config.toml in the home
/// directory, which overrides the default.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show every setting with its value and the source of the value.
    Show(Show),
    /// Check whether a node could start with its config, genesis, key and data files.
    ///
    /// The command refuses what a start would refuse. It cannot check what depends on a passphrase
    /// or on the running system: whether an encrypted key is the right one, whether ports are free,
    /// and whether the data files are in use or damaged.
    Check(Check),
    /// List all settings with their defaults, environment variables and meanings.
    Options,
}

/// Options of `quorate config show`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate config show --home net/validator-0
  QUORATE_RPC__LISTEN=0.0.0.0:8545 quorate config show --home net/validator-0 --changed")]
pub(crate) struct Show {
    #[command(flatten)]
    home: HomeDirectory,

    /// Show only settings that differ from their defaults.
    #[arg(long)]
    changed: bool,

    #[command(flatten)]
    output: Output,
}

/// Options of `quorate config check`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  quorate config check --home net/validator-0")]
pub(crate) struct Check {
    #[command(flatten)]
    home: HomeDirectory,
}

/// Whose settings.
#[derive(Debug, ClapArgs)]
struct HomeDirectory {
    /// The node's home directory.
    #[arg(long, value_name = "DIR", env = "QUORATE_HOME")]
    home: PathBuf,

    /// A setting that overrides config.toml and the environment, as `quorate node` accepts it; may
    /// be repeated.
    #[arg(long, value_name = "SETTING=VALUE")]
    set: Vec<SettingFlag>,
}

/// Runs `quorate config`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Show(args) => show(args),
        Command::Check(args) => check(args),
        Command::Options => options(),
    }
}

fn show(args: &Show) -> anyhow::Result<Outcome> {
    let (_, mut settings) = config::effective(&args.home.home, &Overrides::of_process(&args.home.set)?)?;
    if args.changed {
        settings.retain(|setting| !setting.is_default());
    }
    args.output.show(&settings, || table(&settings))?;
    Ok(Outcome::Yes)
}

fn table(settings: &[Effective]) -> String {
    let mut table = Table::new(&["setting", "value", "from"]);
    for Effective { setting, value, origin } in settings {
        table.row([setting.clone(), value.to_string(), origin.clone()]);
    }
    table.render()
}

fn check(args: &Check) -> anyhow::Result<Outcome> {
    let overrides = Overrides::of_process(&args.home.set)?;
    let home = SealedHome::open(&args.home.home, &overrides)?;
    let (_, settings) = config::effective(&args.home.home, &overrides)?;
    let genesis = home.genesis();
    for warning in genesis.warnings(commands::now()) {
        output::note(format_args!("warning: {warning}"));
    }
    if home.is_encrypted() {
        output::note(format_args!(
            "the key is encrypted: whether it is the right key can only be checked when the node starts"
        ));
    }
    home.check_data(&args.home.home.display().to_string())?;
    let changed = settings.iter().filter(|setting| !setting.is_default()).count();
    output::print(&format!(
        "the settings are valid: {changed} of {} differ from their defaults; chain {}, {} validators",
        settings.len(),
        genesis.chain_id(),
        genesis.validators().len()
    ))?;
    Ok(Outcome::Yes)
}

fn options() -> anyhow::Result<Outcome> {
    let mut text = String::new();
    for SettingsTable { name, meaning, settings } in config::tables() {
        let mut table = Table::new(&["setting", "variable", "default", "meaning"]);
        for setting in settings {
            table.row([setting.name.clone(), setting.variable(), setting.default, setting.meaning]);
        }
        text += &format!("[{name}]  {meaning}\n\n{}\n", table.render());
    }
    output::print(&text)?;
    Ok(Outcome::Yes)
}
