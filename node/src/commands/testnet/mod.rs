//! `quorate testnet`: the files of a network whose validators run as separate processes.

mod addresses;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args as ClapArgs;
use quorate_genesis::{Genesis, TestNetwork};
use quorate_ledger::{PublicKey, ReplicaId};
use quorate_network::{PeerKey, peer_id_text};

use crate::commands;
use crate::exit::Outcome;
use crate::files::{self, Access, NewDirectory};
use crate::home;
use crate::keyfile;
use crate::network_file::{self, NETWORK_FILE, NetworkFile, ValidatorEntry};
use crate::output;
use crate::runtime;
pub(crate) use addresses::{Addresses, BASE_P2P_PORT, BASE_RPC_PORT};

/// Write keys, genesis and configs of a network of separate nodes.
///
/// Makes a directory for each validator that `quorate node --home` runs: its key (plain PKCS#8 PEM, readable by
/// you alone; these are keys for trying out, see `quorate key` for encrypted ones), a commented config, its own
/// copy of the genesis, an empty ledger and an empty journal. Beside them stand the genesis and network.json,
/// which says where everything is. Validators are named in committee order.
///
/// DIR appears complete or not at all.
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Example:
  quorate testnet --validators 4 --output net
  quorate node --home net/validator-0              and so on, each in its own terminal
  quorate status --network net/network.json
  quorate tx send --data 'hello' --rpc http://127.0.0.1:8545

On hosts of their own, such as containers:
  quorate testnet --output net --hosts alpha,beta,gamma,delta")]
pub(crate) struct Args {
    /// Number of validators; with 4, one may fail.
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: usize,

    /// The directory to write; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// What people call the network: 1 to 64 of a-z, 0-9 and -.
    #[arg(long, default_value = "testnet")]
    name: String,

    /// Do nothing if DIR holds a network of so many validators already, so that the same command can run at every start.
    #[arg(long)]
    if_missing: bool,

    #[command(flatten)]
    addresses: Addresses,
}

/// Runs `quorate testnet`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.if_missing && args.output.join(NETWORK_FILE).exists() {
        let present = network_file::read(&args.output)?.validators.len();
        if present != args.validators {
            bail!("{} holds a network of {present} validators", args.output.display());
        }
        output::note(format_args!("{} holds the network already", args.output.display()));
        return Ok(Outcome::Yes);
    }
    let file = write(&args.output, args.validators, &args.name, &args.addresses)?;
    output::print(&next_steps(&args.output, &file))?;
    Ok(Outcome::Yes)
}

fn next_steps(directory: &Path, file: &NetworkFile) -> String {
    let mut table = output::Table::new(&["validator", "public key", "rpc", "p2p"]);
    for validator in &file.validators {
        table.row([
            validator.name.clone(),
            output::short(&validator.public_key),
            validator.rpc.clone(),
            validator.p2p.split("/p2p/").next().unwrap_or_default().to_owned(),
        ]);
    }
    let directory = directory.display();
    let homes = file.validators.iter().map(|validator| validator.home.display());
    let runs: String = homes.map(|home| format!("  quorate node --home {directory}/{home}\n")).collect();
    format!(
        "Wrote {directory}.\n\n{}\nRun each in a terminal of its own, or on its host:\n{runs}\nThen:\n  \
         quorate status --network {directory}/{NETWORK_FILE}\n",
        table.render()
    )
}

/// Writes the directory of a new network with fresh keys.
///
/// # Errors
/// A directory with something in it, impossible ports or numbers, and whatever cannot be written. Then nothing
/// is left behind.
pub(crate) fn write(
    target: &Path,
    validators: usize,
    name: &str,
    addresses: &Addresses,
) -> anyhow::Result<NetworkFile> {
    let network = TestNetwork::generate(validators, name, commands::now())
        .map_err(|errors| anyhow!("no such network: {errors}"))?;
    addresses.check(validators)?;
    let directory = NewDirectory::prepare(target)?;
    let file = fill(directory.path(), &network, addresses)?;
    directory.finish()?;
    for warning in network.genesis().warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    Ok(file)
}

fn fill(directory: &Path, network: &TestNetwork, addresses: &Addresses) -> anyhow::Result<NetworkFile> {
    let genesis = network.genesis();
    files::write_new(&directory.join(home::GENESIS_FILE), &genesis.to_toml(), Access::Shared)?;
    let mut validators = Vec::new();
    for replica in genesis.committee().replicas() {
        write_home(directory, network, addresses, replica)?;
        validators.push(entry(genesis, addresses, replica)?);
    }
    let file = NetworkFile { genesis: home::GENESIS_FILE.into(), validators };
    files::write_new(&directory.join(NETWORK_FILE), &file.to_json(), Access::Shared)?;
    Ok(file)
}

fn entry(genesis: &Genesis, addresses: &Addresses, replica: ReplicaId) -> anyhow::Result<ValidatorEntry> {
    let validator = genesis.validator(replica).context("a member without a name")?;
    Ok(ValidatorEntry {
        name: validator.name.clone(),
        home: validator.name.clone().into(),
        rpc: format!("http://{}", addresses.rpc(replica.0)),
        p2p: full_address(addresses, replica, &validator.public_key)?,
        public_key: validator.public_key.to_string(),
    })
}

/// A multiaddress that also says who must answer there.
fn full_address(addresses: &Addresses, replica: ReplicaId, key: &PublicKey) -> anyhow::Result<String> {
    let peer_id = peer_id_text(&PeerKey(*key.as_bytes()))?;
    Ok(format!("{}/p2p/{peer_id}", addresses.p2p(replica.0)))
}

fn write_home(
    directory: &Path,
    network: &TestNetwork,
    addresses: &Addresses,
    replica: ReplicaId,
) -> anyhow::Result<()> {
    let genesis = network.genesis();
    let entry = entry(genesis, addresses, replica)?;
    let home = directory.join(&entry.home);
    let (ledger, journal) = (home.join(home::LEDGER_FILE), home.join(home::JOURNAL_FILE));
    std::fs::create_dir_all(files::parent_of(&ledger))
        .with_context(|| format!("{} cannot be created", home.display()))?;

    let key = network.key(replica);
    keyfile::write_plain(&home.join(home::KEY_FILE), key)?;
    files::write_new(&home.join(home::GENESIS_FILE), &genesis.to_toml(), Access::Shared)?;
    let config = config_text(genesis, addresses, replica)?;
    files::write_new(&home.join(home::CONFIG_FILE), &config, Access::Shared)?;
    runtime::create_files(genesis, &key.public(), &ledger, &journal)?;
    files::sync_directory(&home)?;
    Ok(())
}

/// The config of one validator. One reachable member is enough to find the others, but any of them may be away.
fn config_text(genesis: &Genesis, addresses: &Addresses, replica: ReplicaId) -> anyhow::Result<String> {
    let mut bootstrap = String::from("[");
    for other in genesis.committee().replicas().filter(|other| *other != replica) {
        let validator = genesis.validator(other).context("a member of the committee is a validator")?;
        write!(bootstrap, "\n    \"{}\",", full_address(addresses, other, &validator.public_key)?)?;
    }
    bootstrap.push_str(if bootstrap.len() > 1 { "\n]" } else { "]" });
    let name = genesis.validator(replica).map_or("", |validator| &validator.name);
    Ok(format!(
        "\
# {name} of {network}: what is local to this node. Whatever must be equal on all nodes is in the genesis.
# The environment overrides every setting: QUORATE_RPC__LISTEN is rpc.listen. Settings that are not here have
# defaults; unknown ones are refused.

[files]
# Relative to this directory. The journal holds what this validator has promised: never copy it back in time.
genesis = \"{genesis_file}\"
key = \"{key_file}\"
ledger = \"{ledger_file}\"
journal = \"{journal_file}\"

[p2p]
# Where to listen for other validators, as multiaddresses.
listen = [\"{listen}\"]
# Where others reach this node, if that differs: behind a NAT, in a container.
advertise = {advertise}
# Where to look for members first. One that answers is enough, the others are discovered.
bootstrap = {bootstrap}

[rpc]
# Where JSON-RPC is served. Anybody who reaches this address may submit transactions and read the chain.
listen = \"{rpc}\"
",
        network = genesis.name(),
        genesis_file = home::GENESIS_FILE,
        key_file = home::KEY_FILE,
        ledger_file = home::LEDGER_FILE,
        journal_file = home::JOURNAL_FILE,
        listen = addresses.p2p_listen(replica.0),
        advertise = addresses.advertised(replica.0),
        rpc = addresses.rpc_listen(replica.0),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_validator_knows_all_others_and_a_single_one_nobody() {
        let addresses = Addresses::loopback(9000, 8545);
        let network = TestNetwork::seeded(4, 1);
        for replica in network.genesis().committee().replicas() {
            let config = config_text(network.genesis(), &addresses, replica).unwrap();
            let own = format!("/tcp/{}/p2p/", 9000 + replica.0);
            assert_eq!(config.matches("\n    \"/ip4/127.0.0.1/tcp/900").count(), 3, "{config}");
            assert!(!config.contains(&own), "nobody looks for itself: {config}");
        }
        let alone = TestNetwork::seeded(1, 1);
        let config = config_text(alone.genesis(), &addresses, ReplicaId(0)).unwrap();
        assert!(config.contains("bootstrap = []"), "{config}");
    }

    #[test]
    fn a_validator_on_a_host_of_its_own_listens_everywhere_and_tells_its_name() {
        let addresses = Addresses::on_hosts(&["alpha", "b-1.example.org", "10.0.0.3", "delta"]);
        let network = TestNetwork::seeded(4, 1);
        let config = config_text(network.genesis(), &addresses, ReplicaId(1)).unwrap();
        assert!(config.contains("listen = [\"/ip4/0.0.0.0/tcp/9000\"]"), "{config}");
        assert!(config.contains("advertise = [\"/dns/b-1.example.org/tcp/9000\"]"), "{config}");
        assert!(config.contains("listen = \"0.0.0.0:8545\""), "{config}");
        assert!(config.contains("\"/dns/alpha/tcp/9000/p2p/"), "{config}");
    }
}
