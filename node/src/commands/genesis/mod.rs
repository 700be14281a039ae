//! `quorate genesis`: the parameters that all nodes of a network agree on.

mod continuing;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use quorate_genesis::{Genesis, GenesisDraft, MAX_FILE_BYTES, Predecessor, Submit, Validator};
use quorate_ledger::{PublicKey, Timestamp};
use serde_json::{Value, json};

use crate::commands;
use crate::exit::Outcome;
use crate::files::{self, Access};
use crate::genesis_file;
use crate::output::{self, Output, Table};

/// Create, check and show genesis files.
///
/// A genesis file contains what all nodes of a network must agree on before its first block: the
/// validators with their keys, the limits of blocks, the timeouts of the protocol, and the
/// parameters of governance. Its hash is the chain id.
///
/// `continue` is for a network that can never order again, because too many of its validators have
/// lost their journals or keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(NewArgs),
    Continue(continuing::ContinueArgs),
    Check(CheckArgs),
    Show(ShowArgs),
}

/// Create a genesis from the validators' public keys.
///
/// All parameters get their defaults, each with a comment that explains it. Edit the file to change
/// them, then run `quorate genesis check`. Any change results in another chain id, and therefore
/// another chain.
///
/// Each validator has two keys. With its consensus key, the running node signs votes, so the secret
/// is on its host. With its governance key, a person approves changes of members, keys, clients and
/// parameters. Keep its secret on another machine that is not connected to any network. Connect it
/// only while a command signs. Then a thief of the host can neither change the network nor keep the
/// validator: its operator replaces the consensus key with the governance key, and restores a
/// validator that lost its journal. Without --governance-key, the consensus key is also the
/// governance key, and a thief has both.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  quorate genesis new --name clearing --file genesis.toml \\
    --validator bank-a=0x02… --validator bank-b=0x03… --validator bank-c=0x02… --validator bank-d=0x03… \\
    --governance-key bank-a=0x03… --governance-key bank-b=0x02… \\
    --governance-key bank-c=0x03… --governance-key bank-d=0x02…

Each validator makes both keys with `quorate key new`, the governance key on another machine, and hands out what
`quorate key show` prints.")]
pub(crate) struct NewArgs {
    /// Name of the network: 1 to 64 characters of a-z, 0-9 and -.
    #[arg(long)]
    name: String,

    /// A validator: its name and its public consensus key as hex. Give the option once for each
    /// validator.
    #[arg(long = "validator", value_name = "NAME=KEY", required = true, value_parser = parse_key)]
    validators: Vec<NamedKey>,

    /// The public governance key of a validator as hex. Give the option once for each validator
    /// that has one; the others use their consensus keys.
    #[arg(long = "governance-key", value_name = "NAME=KEY", value_parser = parse_key)]
    governance_keys: Vec<NamedKey>,

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
/// The command reports every error. Exit code 3 if there is one. If the network takes over clients
/// from a chain that it continues, the command also checks the file with the clients, if it is
/// beside the genesis.
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

/// A public key of the validator with this name.
#[derive(Debug, Clone)]
struct NamedKey {
    name: String,
    key: PublicKey,
}

fn parse_key(text: &str) -> Result<NamedKey, String> {
    let (name, key) = text.split_once('=').ok_or("write NAME=KEY, as in bank-a=0x02…")?;
    let key = key.parse().map_err(|error| format!("{key:?} is not a public key: {error}"))?;
    Ok(NamedKey { name: name.to_owned(), key })
}

/// The validators with their governance keys.
///
/// # Errors
/// A governance key of an unknown validator, and a second one of the same validator.
fn validators(keys: &[NamedKey], governance_keys: &[NamedKey]) -> anyhow::Result<Vec<Validator>> {
    let mut validators: Vec<Validator> =
        keys.iter().map(|NamedKey { name, key }| Validator::new(name, *key)).collect();
    for (place, NamedKey { name, key }) in governance_keys.iter().enumerate() {
        if governance_keys[..place].iter().any(|earlier| earlier.name == *name) {
            bail!("--governance-key is given twice for {name:?}: a validator has one governance key");
        }
        let owner = validators.iter_mut().find(|validator| validator.name == *name);
        let owner = owner.ok_or_else(|| {
            anyhow!("--governance-key names {name:?}, but no --validator has this name: correct one of the two names")
        })?;
        owner.governance_key = *key;
    }
    Ok(validators)
}

/// Runs `quorate genesis`.
pub(crate) fn run(command: &Command) -> anyhow::Result<Outcome> {
    match command {
        Command::New(args) => new(args),
        Command::Continue(args) => continuing::run(args),
        Command::Check(args) => check(args),
        Command::Show(args) => show(&args.file, args.output),
    }
}

fn new(args: &NewArgs) -> anyhow::Result<Outcome> {
    let time = args.time_ms.map_or_else(commands::now, Timestamp);
    let draft = GenesisDraft::new(&args.name, time, validators(&args.validators, &args.governance_keys)?);
    let genesis = draft.check().map_err(|errors| {
        anyhow!("this is not a valid genesis:\n  - {}", errors.to_string().replace('\n', "\n  - "))
    })?;
    warn(&genesis);
    advise(&genesis);
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

/// Recommends governance keys to validators that have none of their own.
fn advise(genesis: &Genesis) {
    let single = genesis.validators().iter().filter(|validator| !validator.has_own_governance_key());
    let names: Vec<&str> = single.map(|validator| validator.name.as_str()).collect();
    if !names.is_empty() {
        output::note(format_args!(
            "without a governance key: {}. A thief who breaks into the host of such a validator can also approve \
             changes of the network in its name. Give it a governance key with --governance-key",
            names.join(", ")
        ));
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Outcome> {
    let text = files::read_text(&args.file, MAX_FILE_BYTES)?;
    let checked = Genesis::parse(&text)
        .map_err(|errors| errors.errors().iter().map(ToString::to_string).collect::<Vec<_>>())
        .and_then(|genesis| {
            check_clients(&genesis, &args.file).map(|()| genesis).map_err(|error| vec![error])
        });
    match checked {
        Ok(genesis) => {
            warn(&genesis);
            args.output.show(&summary(&genesis), || human_summary(&genesis))?;
            Ok(Outcome::Yes)
        }
        Err(errors) => {
            args.output.show(&json!({ "valid": false, "errors": errors }), || {
                format!("{} is not a valid genesis:\n  - {}", args.file.display(), errors.join("\n  - "))
            })?;
            Ok(Outcome::No)
        }
    }
}

/// Checks the file with the clients that the network takes over, if there is one. The genesis is
/// valid without it.
fn check_clients(genesis: &Genesis, path: &Path) -> Result<(), String> {
    let file = genesis_file::clients_file(path);
    let count = genesis.inherited_clients();
    if count == 0 {
        return Ok(());
    }
    if path == Path::new("-") || !file.exists() {
        output::note(format_args!(
            "warning: the network takes over clients ({count}), and {} is not there: a node needs this file beside its \
             genesis at its first start",
            file.display()
        ));
        return Ok(());
    }
    genesis_file::initial_state(genesis, path).map(drop).map_err(|error| format!("{error:#}"))
}

fn summary(genesis: &Genesis) -> Value {
    let validator = |validator: &Validator| {
        json!({
            "name": validator.name,
            "public_key": validator.public_key.to_string(),
            "governance_key": validator.governance_key.to_string(),
        })
    };
    let mut summary = json!({
        "valid": true,
        "chain_id": genesis.chain_id().to_string(),
        "name": genesis.name(),
        "genesis_time_ms": genesis.time().0,
        "submit": genesis.parameters().clients.submit.as_str(),
        "validators": genesis.validators().iter().map(validator).collect::<Vec<_>>(),
        "warnings": genesis.warnings(commands::now()).iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    for (name, count) in arithmetic(genesis) {
        summary[name] = count.into();
    }
    if let Some(predecessor) = genesis.predecessor() {
        summary["predecessor"] = json!({
            "chain_id": predecessor.chain_id.to_string(),
            "height": predecessor.height.0,
            "block": predecessor.block.to_string(),
            "epoch": predecessor.epoch.0,
            "state_root": predecessor.state_root.to_string(),
            "clients": predecessor.clients,
            "clients_root": predecessor.clients_root.to_string(),
        });
    }
    summary
}

fn human_summary(genesis: &Genesis) -> String {
    let committee = genesis.committee();
    let mut table = Table::new(&["index", "validator", "public key", "governance key"]);
    for (index, validator) in genesis.validators().iter().enumerate() {
        let governance_key = match validator.has_own_governance_key() {
            true => validator.governance_key.to_string(),
            false => "the public key".to_owned(),
        };
        let public_key = validator.public_key.to_string();
        table.row([index.to_string(), validator.name.clone(), public_key, governance_key]);
    }
    let clients = match genesis.parameters().clients.submit {
        Submit::Open => "open: everyone who can sign may submit transactions",
        Submit::Registry => "registry: only clients that a validator has registered may submit transactions",
    };
    let mut fields = vec![
        ("chain id", genesis.chain_id().to_string()),
        ("name", genesis.name().to_owned()),
        ("time", output::time(genesis.time().0)),
    ];
    if let Some(Predecessor { chain_id, height, block, epoch, state_root, clients, .. }) =
        genesis.predecessor()
    {
        fields.push(("continues", format!("chain {chain_id}")));
        fields.push(("after block", format!("{block} at height {height} in epoch {epoch}")));
        fields.push(("state root", format!("{state_root} after that block")));
        fields.push(("takes over", format!("clients: {clients}")));
    }
    fields.extend([
        ("quorum", format!("{} of {}", committee.quorum(), committee.size())),
        ("may be faulty", committee.faults().to_string()),
        ("may be down", committee.may_be_down().to_string()),
        ("approvals", format!("{} of {} to change the network", committee.quorum(), committee.size())),
        ("clients", clients.to_owned()),
    ]);
    format!("{}\n{}", output::fields(fields), table.render())
}

/// How many validators decide, and how many may fail.
fn arithmetic(genesis: &Genesis) -> [(&'static str, usize); 4] {
    let committee = genesis.committee();
    [
        ("quorum", committee.quorum()),
        ("faults_tolerated", committee.faults()),
        ("may_be_down", committee.may_be_down()),
        ("approvals_needed", committee.quorum()),
    ]
}

fn show(file: &Path, output: Output) -> anyhow::Result<Outcome> {
    let genesis = genesis_file::read_genesis(file)?;
    let mut all: Value =
        toml::from_str(&genesis.to_toml()).context("the canonical genesis cannot be read back")?;
    let Value::Object(fields) = &mut all else { bail!("the canonical genesis is not a table") };
    fields.insert("chain_id".to_owned(), genesis.chain_id().to_string().into());
    fields.extend(arithmetic(&genesis).map(|(name, count)| (name.to_owned(), count.into())));
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
        let named = parse_key(&format!("bank-a={key}")).unwrap();
        assert_eq!((named.name.as_str(), named.key), ("bank-a", key));
        for wrong in ["bank-a", "bank-a=", "bank-a=0x02", &format!("bank-a:{key}")] {
            assert!(parse_key(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn governance_keys_belong_to_named_validators_once() {
        let network = TestNetwork::seeded(2, 1);
        let named = |name: &str, key| NamedKey { name: name.to_owned(), key };
        let keys: Vec<NamedKey> = network
            .genesis()
            .validators()
            .iter()
            .zip(["a", "b"])
            .map(|(validator, name)| named(name, validator.public_key))
            .collect();
        let governance_key = network.genesis().validators()[1].governance_key;
        let made = validators(&keys, &[named("b", governance_key)]).unwrap();
        assert_eq!((made[0].has_own_governance_key(), made[1].governance_key), (false, governance_key));
        for wrong in
            [vec![named("c", governance_key)], vec![named("b", governance_key), named("b", keys[0].key)]]
        {
            let error = validators(&keys, &wrong).unwrap_err().to_string();
            assert!(error.contains("--governance-key"), "{error}");
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
