//! `quorate testnet`: creates the files of a network whose nodes run as separate processes.

mod addresses;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args as ClapArgs;
use quorate_genesis::{Genesis, TestNetwork};
use quorate_ledger::SecretKey;
use quorate_network::{PeerKey, peer_id_text};

use crate::commands;
use crate::config::{LISTED_OBSERVERS_MAX, Role};
use crate::data_files;
use crate::exit::Outcome;
use crate::files::{self, Access, NewDirectory};
use crate::keyfile;
use crate::layout;
use crate::network_file::{self, NETWORK_FILE, NetworkFile, ValidatorEntry};
use crate::output;
pub(crate) use addresses::{Addresses, BASE_P2P_PORT, BASE_RPC_PORT};

/// Create keys, genesis and configs of a network of separate nodes.
///
/// The command creates a home directory for each validator, to be run by `quorate node --home`. It
/// contains the key (plain PKCS#8 PEM that only you can read; for real networks see `quorate key`
/// for encrypted keys), a commented config, a copy of the genesis, an empty ledger and an empty
/// journal. It also contains governance.pem, the key with which the validator approves changes of
/// members, keys, clients and parameters. No node reads this file. In a real network, it belongs on
/// another machine, see `quorate genesis new --help`. DIR also contains the genesis and
/// network.json, which lists the nodes with their addresses. Validators are named in committee
/// order. Observers have the same kind of home without journal and governance key, and the configs
/// of all validators list them.
///
/// DIR is created completely or not at all.
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

    /// Number of observers, which follow the chain without a vote. With --hosts, each runs on the
    /// host with its name: observer-0, observer-1, ...
    #[arg(long, value_name = "N", default_value_t = 0)]
    observers: usize,

    /// The directory to write; it must not exist, or be empty.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    /// Name of the network: 1 to 64 characters of a-z, 0-9 and -.
    #[arg(long, default_value = "testnet")]
    name: String,

    /// Do nothing if DIR already contains a network with this number of validators. Scripts can
    /// then run the same command at every start.
    #[arg(long)]
    if_missing: bool,

    #[command(flatten)]
    addresses: Addresses,
}

/// Runs `quorate testnet`.
pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.if_missing && args.output.join(NETWORK_FILE).exists() {
        let network = network_file::read(&args.output)?;
        let present = network.validators.len();
        if present != args.validators {
            bail!("{} holds a network of {present} validators", args.output.display());
        }
        if network.observers < args.observers {
            output::note(format_args!(
                "it was created with {} observers; to change them, see p2p.observers",
                network.observers
            ));
        }
        output::note(format_args!("{} already contains the network", args.output.display()));
        return Ok(Outcome::Yes);
    }
    let nodes = (args.validators, args.observers);
    let file = write(&args.output, nodes, &args.name, &args.addresses)?;
    output::print(&next_steps(&args.output, &file))?;
    Ok(Outcome::Yes)
}

fn next_steps(directory: &Path, file: &NetworkFile) -> String {
    let mut table = output::Table::new(&["node", "public key", "rpc", "p2p"]);
    for validator in file.validators.iter().chain(&file.observers) {
        table.row([
            validator.name.clone(),
            output::short(&validator.public_key),
            validator.rpc.clone(),
            validator.p2p.split("/p2p/").next().unwrap_or_default().to_owned(),
        ]);
    }
    let directory = directory.display();
    let homes = file.validators.iter().chain(&file.observers).map(|validator| validator.home.display());
    let runs: String = homes.map(|home| format!("  quorate node --home {directory}/{home}\n")).collect();
    format!(
        "Wrote {directory}.\n\n{}\nRun each node in its own terminal, or on its host:\n{runs}\nThen:\n  \
         quorate status --network {directory}/{NETWORK_FILE}\n",
        table.render()
    )
}

/// Creates the directory of a new network with fresh keys, for this number of validators and
/// observers.
///
/// # Errors
/// A directory that is not empty, ports or numbers that are not possible, and errors of writing.
/// Then nothing is left behind.
pub(crate) fn write(
    target: &Path,
    (validators, observers): (usize, usize),
    name: &str,
    addresses: &Addresses,
) -> anyhow::Result<NetworkFile> {
    let network = TestNetwork::generate(validators, name, commands::now())
        .map_err(|errors| anyhow!("this network is not possible: {errors}"))?;
    if observers > LISTED_OBSERVERS_MAX {
        bail!("--observers {observers}: a validator admits at most {LISTED_OBSERVERS_MAX}");
    }
    addresses.check(validators, observers)?;
    let plan = Plan::of(&network, observers, addresses);
    let directory = NewDirectory::prepare(target)?;
    let file = plan.fill(directory.path())?;
    directory.finish()?;
    for warning in network.genesis().warnings(commands::now()) {
        output::note(format_args!("warning: {warning}"));
    }
    Ok(file)
}

/// A node to write. Observers come after the validators.
struct Planned {
    name: String,
    index: u16,
    key: SecretKey,
    /// Only of a validator.
    governance_key: Option<SecretKey>,
    role: Role,
}

/// Everything to write.
struct Plan<'a> {
    genesis: &'a Genesis,
    addresses: Addresses,
    nodes: Vec<Planned>,
}

impl<'a> Plan<'a> {
    fn of(network: &'a TestNetwork, observers: usize, addresses: &Addresses) -> Self {
        let genesis = network.genesis();
        let validators = genesis.committee().replicas().zip(genesis.validators());
        let validators = validators.map(|(replica, validator)| Planned {
            name: validator.name.clone(),
            index: replica.0,
            key: network.key(replica).clone(),
            governance_key: Some(network.governance_key(replica).clone()),
            role: Role::Validator,
        });
        let first = u16::try_from(genesis.committee().size()).expect("a committee is small");
        let observers_planned = (0..u16::try_from(observers).expect("checked")).map(|number| Planned {
            name: format!("observer-{number}"),
            index: first + number,
            key: SecretKey::generate(),
            governance_key: None,
            role: Role::Observer,
        });
        let nodes = validators.chain(observers_planned).collect();
        Plan { genesis, addresses: addresses.with_observers(observers), nodes }
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = &Planned> {
        self.nodes.iter().filter(move |node| node.role == role)
    }

    fn fill(&self, directory: &Path) -> anyhow::Result<NetworkFile> {
        files::write_new(&directory.join(layout::GENESIS_FILE), &self.genesis.to_toml(), Access::Shared)?;
        for node in &self.nodes {
            self.write_home(directory, node)?;
        }
        let entries =
            |role| self.of_role(role).map(|node| self.entry(node)).collect::<anyhow::Result<Vec<_>>>();
        let file = NetworkFile {
            genesis: layout::GENESIS_FILE.into(),
            validators: entries(Role::Validator)?,
            observers: entries(Role::Observer)?,
        };
        files::write_new(&directory.join(NETWORK_FILE), &file.to_json(), Access::Shared)?;
        Ok(file)
    }

    fn entry(&self, node: &Planned) -> anyhow::Result<ValidatorEntry> {
        Ok(ValidatorEntry {
            name: node.name.clone(),
            home: node.name.clone().into(),
            rpc: format!("http://{}", self.addresses.rpc(node.index)),
            p2p: self.full_address(node)?,
            public_key: node.key.public().to_string(),
        })
    }

    /// A multiaddress with the peer id of the node.
    fn full_address(&self, node: &Planned) -> anyhow::Result<String> {
        let peer_id = peer_id_text(&PeerKey(*node.key.public().as_bytes()))?;
        Ok(format!("{}/p2p/{peer_id}", self.addresses.p2p(node.index)))
    }

    fn write_home(&self, directory: &Path, node: &Planned) -> anyhow::Result<()> {
        let home = directory.join(&node.name);
        let (ledger, journal) = (home.join(layout::LEDGER_FILE), home.join(layout::JOURNAL_FILE));
        std::fs::create_dir_all(files::parent_of(&ledger))
            .with_context(|| format!("{} cannot be created", home.display()))?;
        keyfile::write_plain(&home.join(layout::KEY_FILE), &node.key)?;
        if let Some(key) = &node.governance_key {
            keyfile::write_plain(&home.join(layout::GOVERNANCE_KEY_FILE), key)?;
        }
        files::write_new(&home.join(layout::GENESIS_FILE), &self.genesis.to_toml(), Access::Shared)?;
        files::write_new(&home.join(layout::CONFIG_FILE), &self.config_text(node)?, Access::Shared)?;
        let journal = (node.role == Role::Validator).then_some(journal.as_path());
        let initial = self.genesis.governance_state();
        data_files::create(self.genesis, &initial, &node.key.public(), &ledger, journal)?;
        files::sync_directory(&home)?;
        Ok(())
    }

    /// The config of one node. It lists all other validators: one reachable validator is enough to
    /// find the others, but any of them may be down.
    fn config_text(&self, node: &Planned) -> anyhow::Result<String> {
        let others = self.of_role(Role::Validator).filter(|other| other.index != node.index);
        let bootstrap = others.map(|other| self.full_address(other)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(format!(
            "\
# Local settings of {name} of {network}. Parameters that must be equal on all nodes are in the genesis.
# The environment overrides every setting: QUORATE_RPC__LISTEN is rpc.listen. Settings that are not in this file
# have their defaults; unknown settings are refused.

[files]
{files}
[p2p]
# Multiaddresses on which to listen for other validators.
listen = [\"{listen}\"]
# Multiaddresses under which others reach this node, if they differ: behind a NAT, in a container.
advertise = {advertise}
# Validators to connect to first. One that responds is enough: the node discovers the others.
bootstrap = {bootstrap}
{admits}
[rpc]
# Address of the JSON-RPC interface. All clients that reach this address may {may}read the chain.
listen = \"{rpc}\"
",
            name = node.name,
            network = self.genesis.name(),
            files = files_of_role(node.role),
            listen = self.addresses.p2p_listen(node.index),
            advertise = self.addresses.advertised(node.index),
            bootstrap = list(&bootstrap),
            admits = self.admitted(node.role),
            may = if node.role == Role::Validator { "submit transactions and " } else { "" },
            rpc = self.addresses.rpc_listen(node.index),
        ))
    }

    /// The setting with the keys of all observers, which only validators have.
    fn admitted(&self, role: Role) -> String {
        let key = |observer: &Planned| observer.key.public().to_string();
        match role {
            Role::Validator => format!(
                "# Public keys of observers that are admitted. They are served blocks and have no \
                 vote.\nobservers = {}\n",
                list(&self.of_role(Role::Observer).map(key).collect::<Vec<_>>())
            ),
            Role::Observer => String::new(),
        }
    }
}

/// The table of files, and the role of a node that has another one than the default.
fn files_of_role(role: Role) -> String {
    match role {
        Role::Validator => format!(
            "\
# Paths relative to this directory. The journal records what this validator has signed: never restore an older copy.
genesis = \"{}\"
key = \"{}\"
ledger = \"{}\"
journal = \"{}\"
",
            layout::GENESIS_FILE,
            layout::KEY_FILE,
            layout::LEDGER_FILE,
            layout::JOURNAL_FILE,
        ),
        Role::Observer => format!(
            "\
# Paths relative to this directory.
genesis = \"{}\"
key = \"{}\"
ledger = \"{}\"

[node]
# This node follows the chain without a vote. Validators admit it if p2p.observers contains its key.
role = \"observer\"
",
            layout::GENESIS_FILE,
            layout::KEY_FILE,
            layout::LEDGER_FILE,
        ),
    }
}

/// A list in the syntax of the config, one entry per line.
fn list(entries: &[String]) -> String {
    if entries.is_empty() {
        return "[]".to_owned();
    }
    let lines: String = entries.iter().map(|entry| format!("\n    \"{entry}\",")).collect();
    format!("[{lines}\n]")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn validators_list_all_others_and_a_single_validator_lists_none() {
        let addresses = Addresses::loopback(9000, 8545);
        let network = TestNetwork::seeded(4, 1);
        let plan = Plan::of(&network, 0, &addresses);
        for node in &plan.nodes {
            let config = plan.config_text(node).unwrap();
            let own = format!("/tcp/{}/p2p/", 9000 + node.index);
            assert_eq!(config.matches("\n    \"/ip4/127.0.0.1/tcp/900").count(), 3, "{config}");
            assert!(!config.contains(&own), "no node lists itself: {config}");
            assert!(config.contains("observers = []"), "{config}");
        }
        let alone = TestNetwork::seeded(1, 1);
        let plan = Plan::of(&alone, 0, &addresses);
        let config = plan.config_text(&plan.nodes[0]).unwrap();
        assert!(config.contains("bootstrap = []"), "{config}");
    }

    #[test]
    fn observers_know_all_validators_and_are_known_to_them() {
        let network = TestNetwork::seeded(4, 1);
        let plan = Plan::of(&network, 2, &Addresses::loopback(9000, 8545));
        let [observer, other] = &plan.nodes[4..] else { panic!("two observers") };
        let config = plan.config_text(observer).unwrap();
        assert!(config.contains("role = \"observer\"") && !config.contains("journal"), "{config}");
        assert_eq!(config.matches("\n    \"/ip4/127.0.0.1/tcp/900").count(), 4, "{config}");
        assert!(config.contains("/ip4/127.0.0.1/tcp/9004\"") && !config.contains("observers ="), "{config}");
        for validator in plan.of_role(Role::Validator) {
            let config = plan.config_text(validator).unwrap();
            for key in [observer, other].map(|node| node.key.public().to_string()) {
                assert!(config.contains(&key), "{config}");
            }
            assert!(!config.contains("/tcp/9004"), "no validator dials an observer: {config}");
        }
    }

    #[test]
    fn a_validator_on_its_own_host_listens_on_all_addresses_and_advertises_its_name() {
        let addresses = Addresses::on_hosts(&["alpha", "b-1.example.org", "10.0.0.3", "delta"]);
        let network = TestNetwork::seeded(4, 1);
        let plan = Plan::of(&network, 1, &addresses);
        let config = plan.config_text(&plan.nodes[1]).unwrap();
        assert!(config.contains("listen = [\"/ip4/0.0.0.0/tcp/9000\"]"), "{config}");
        assert!(config.contains("advertise = [\"/dns/b-1.example.org/tcp/9000\"]"), "{config}");
        assert!(config.contains("listen = \"0.0.0.0:8545\""), "{config}");
        assert!(config.contains("\"/dns/alpha/tcp/9000/p2p/"), "{config}");
        assert_eq!(plan.entry(&plan.nodes[4]).unwrap().rpc, "http://observer-0:8545");
    }
}
