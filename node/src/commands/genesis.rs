//! `quorate genesis`: the parameters that all nodes of a network agree on.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use quorate_genesis::{Genesis, GenesisDraft, MAX_FILE_BYTES, Validator};
use quorate_ledger::Timestamp;
use serde_json::{Value, json};

use crate::commands;
use crate::exit::Outcome;
use crate::files::{self, Access};
use crate::home;
use crate::output::{self, Output, Table};

/// Create, check and show genesis files.
///
/// A genesis file contains what all nodes of a network must agree on before its first block: the
/// validators, the limits of blocks and the timeouts of the protocol. Its hash is the chain id.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(NewArgs),
    Check(CheckArgs),
    Show(ShowArgs),
}

/// Create a genesis from the validators' public keys.
///
/// All parameters get their defaults, each with a comment that explains it. Edit the file to change
/// them, then run `quorate genesis check`. Any change results in another chain id, and therefore
/// another chain.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate genesis new --name clearing --file genesis.toml \\
    --validator bank-a=0x02… --validator bank-b=0x03… --validator bank-c=0x02… --validator bank-d=0x03…

Each validator makes its key with `quorate key new` and hands out what `quorate key show` prints.")]
pub(crate) struct NewArgs {
    /// Name of the network: 1 to 64 characters of a-z, 0-9 and -.
    #[arg(long)]
    name: String,

    /// A validator: its name and its public key as hex. Give the option once for each validator.
    #[arg(long = "validator", value_name = "NAME=KEY", required = true, value_parser = parse_validator)]
    validators: Vec<Validator>,

    /// Time of the genesis in milliseconds since 1970; the default is the current time. No block
    /// has an earlier time.
    #[arg(long, value_name = "MILLISECONDS")]
    time_ms: Option<u64>,

    /// The file to write; it must not exist. The default is standard output.
    #[arg(long)]
    file: Option<PathBuf>,
}

/// Check a genesis file and show the chain that it defines.
///
/// The command reports every error. Exit code 3 if there is one.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The genesis file; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: Output,
}

/// Show a genesis with all its parameters, including those that its file leaves at their defaults.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The genesis file; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    output: Output,
}

fn parse_validator(text: &str) -> Result<Validator, String> {
    let (name, key) = text.split_once('=').ok_or("write NAME=KEY, as in bank-a=0x02…")?;
    let public_key = key.parse().map_err(|error| format!("{key:?} is not a public key: {error}"))?;
    Ok(Validator::new(name, public_key))
}

/// Runs `quorate genesis`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::New(args) => new(args),
        Command::Check(args) => check(args),
        Command::Show(args) => show(&args.file, args.output),
    }
}

fn new(args: &NewArgs) -> anyhow::Result<Outcome> {
    let time = args.time_ms.map_or_else(commands::now, Timestamp);
    let draft = GenesisDraft::new(&args.name, time, args.validators.clone());
    let genesis = draft.check().map_err(|errors| {
        anyhow!("this is not a valid genesis:\n  - {}", errors.to_string().replace('\n', "\n  - "))
    })?;
    warn(&genesis);
    match &args.file {
        Some(file) => {
            files::write_new(file, &genesis.to_toml(), Access::Shared)?;
            output::note(format_args!("wrote {} (chain {})", file.display(), genesis.chain_id()));
        }
        None => output::print(&genesis.to_toml())?,
    }
    Ok(Outcome::Yes)
}

fn warn(genesis: &Genesis) {
    for warning in genesis.warnings(commands::now()) {
        output::note(format_args!("warning: {warning}"));
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let text = files::read_text(&args.file, MAX_FILE_BYTES)?;
    match Genesis::parse(&text) {
        Ok(genesis) => {
            warn(&genesis);
            args.output.show(&summary(&genesis), || human_summary(&genesis))?;
            Ok(Outcome::Yes)
        }
        Err(errors) => {
            let list: Vec<String> = errors.errors().iter().map(ToString::to_string).collect();
            args.output.show(&json!({ "valid": false, "errors": list }), || {
                format!("{} is not a valid genesis:\n  - {}", args.file.display(), list.join("\n  - "))
            })?;
            Ok(Outcome::No)
        }
    }
}

fn summary(genesis: &Genesis) -> Value {
    let committee = genesis.committee();
    let validator = |validator: &Validator| json!({ "name": validator.name, "public_key": validator.public_key.to_string() });
    json!({
        "valid": true,
        "chain_id": genesis.chain_id().to_string(),
        "name": genesis.name(),
        "genesis_time_ms": genesis.time().0,
        "quorum": committee.quorum(),
        "faults_tolerated": committee.faults(),
        "validators": genesis.validators().iter().map(validator).collect::<Vec<_>>(),
        "warnings": genesis.warnings(commands::now()).iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn human_summary(genesis: &Genesis) -> String {
    let committee = genesis.committee();
    let mut table = Table::new(&["index", "validator", "public key"]);
    for (index, validator) in genesis.validators().iter().enumerate() {
        table.row([index.to_string(), validator.name.clone(), validator.public_key.to_string()]);
    }
    let fields = output::fields([
        ("chain id", genesis.chain_id().to_string()),
        ("name", genesis.name().to_owned()),
        ("time", output::time(genesis.time().0)),
        ("quorum", format!("{} of {}", committee.quorum(), committee.size())),
        ("may be faulty", committee.faults().to_string()),
        ("may be down", committee.may_be_down().to_string()),
    ]);
    format!("{fields}\n{}", table.render())
}

fn show(file: &Path, output: Output) -> anyhow::Result<Outcome> {
    let genesis = home::read_genesis(file)?;
    let mut all: Value =
        toml::from_str(&genesis.to_toml()).context("the canonical genesis cannot be read back")?;
    let Value::Object(fields) = &mut all else { bail!("the canonical genesis is not a table") };
    fields.insert("chain_id".to_owned(), genesis.chain_id().to_string().into());
    output.show(&all, || genesis.to_toml())?;
    Ok(Outcome::Yes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;

    use super::*;

    #[test]
    fn a_validator_is_a_name_and_a_key() {
        let key = TestNetwork::seeded(1, 1).keys()[0].public();
        let validator = parse_validator(&format!("bank-a={key}")).unwrap();
        assert_eq!((validator.name.as_str(), validator.public_key), ("bank-a", key));
        for wrong in ["bank-a", "bank-a=", "bank-a=0x02", &format!("bank-a:{key}")] {
            assert!(parse_validator(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_summary_names_chain_and_quorum() {
        let network = TestNetwork::seeded(4, 1);
        let summary = summary(network.genesis());
        assert_eq!(summary["chain_id"], network.genesis().chain_id().to_string());
        assert_eq!((&summary["quorum"], &summary["faults_tolerated"]), (&json!(3), &json!(1)));
        assert_eq!(summary["validators"][3]["name"], "validator-3");
    }
}
