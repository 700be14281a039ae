//! The home directory of a node, read and checked. [`crate::layout`] names its files.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use quorate_genesis::Genesis;
use quorate_ledger::{PublicKey, SecretKey};
use quorate_network::{AddressProblem, AddressSettings};
use quorate_rpc::check_admin_path;

use crate::config::{self, Config, Overrides, Role};
use crate::data_files;
use crate::files;
use crate::genesis_file::{initial_state, read_genesis};
use crate::keyfile::{KeyFile, PassphraseSource};
use crate::layout::NEXT_KEY_FILE;
use crate::output;

/// A home whose files were read and are consistent, as far as can be checked without the passphrase
/// of its key.
///
/// `config check` stops here and a start continues from here, so both refuse the same homes.
pub(crate) struct SealedHome {
    config: Config,
    genesis: Genesis,
    key: KeyFile,
    /// The key that replaces it, if there is one.
    next_key: Option<KeyFile>,
}

impl SealedHome {
    /// Reads config, genesis and key file of a home directory. The overrides replace settings of
    /// the config.
    ///
    /// # Errors
    /// Everything that prevents a node from starting here, one problem per line.
    pub(crate) fn open(path: &Path, overrides: &Overrides) -> anyhow::Result<Self> {
        let config = config::read(path, overrides)?;
        let genesis = read_genesis(&config.genesis)?;
        let (mut problems, mut sealed) = (Vec::new(), None);
        match KeyFile::open(&config.key) {
            Ok(key) => {
                // An encrypted key is compared when its passphrase is known.
                let named = key.public().map(|public| name(&config, &genesis, &public));
                problems.extend(named.and_then(Result::err));
                sealed = Some(key);
            }
            Err(error) => problems.push(error),
        }
        let next_key = config.key.with_file_name(NEXT_KEY_FILE);
        let next_key = next_key.exists().then(|| KeyFile::open(&next_key)).transpose();
        let next_key = next_key.unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        problems.extend(unusable_addresses(&config));
        problems.extend(
            config.admin_socket.as_deref().and_then(|path| Some(check_admin_path(path).err()?.into())),
        );
        match (problems.len(), sealed) {
            (0, Some(key)) => Ok(SealedHome { config, genesis, key, next_key }),
            (1, _) => Err(problems.remove(0)),
            _ => {
                let lines: Vec<String> =
                    problems.iter().map(|problem| format!("\n  - {problem:#}")).collect();
                bail!("a node cannot start here:{}", lines.concat())
            }
        }
    }

    /// The parameters that all nodes agree on.
    pub(crate) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Whether the key is encrypted, so that its public key is not known.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.key.public().is_none()
    }

    /// Checks that ledger and journal exist. `name` is the name of the node in errors.
    ///
    /// # Errors
    /// As [`check_data`].
    pub(crate) fn check_data(&self, name: &str) -> anyhow::Result<()> {
        check_data(&self.config, &self.genesis, name)
    }

    /// Decrypts the key.
    ///
    /// # Errors
    /// A wrong passphrase, or a key that does not fit the role of the node.
    pub(crate) fn unlock(self, passphrase: &PassphraseSource) -> anyhow::Result<Home> {
        let SealedHome { config, genesis, key, next_key } = self;
        let key = key.unlock(passphrase)?;
        let next_key = next_key.map(|next| next.unlock(passphrase)).transpose()?;
        let name = name(&config, &genesis, &key.public())?;
        Ok(Home { config, genesis, key, next_key, name })
    }
}

/// A home with everything that a node needs.
pub(crate) struct Home {
    /// The settings.
    pub(crate) config: Config,
    /// The parameters that all nodes agree on.
    pub(crate) genesis: Genesis,
    /// The key of the node.
    pub(crate) key: SecretKey,
    /// The key that replaces it with the epoch in which it is that of a member, and the other is not.
    pub(crate) next_key: Option<SecretKey>,
    /// The name of the node in messages.
    pub(crate) name: String,
}

impl Home {
    /// As [`SealedHome::open`], and decrypts the key.
    ///
    /// # Errors
    /// As [`SealedHome::open`] and [`SealedHome::unlock`].
    pub(crate) fn open(
        path: &Path,
        overrides: &Overrides,
        passphrase: &PassphraseSource,
    ) -> anyhow::Result<Self> {
        SealedHome::open(path, overrides)?.unlock(passphrase)
    }

    /// Creates the ledger, and for a validator the journal, of a node that has neither.
    ///
    /// # Errors
    /// If either exists: an empty journal would lose what the validator has signed.
    pub(crate) fn create_data(&self) -> anyhow::Result<()> {
        let journal = journal_of(&self.config);
        for path in [self.config.ledger.as_path()].into_iter().chain(journal) {
            if path.exists() {
                if let Some(error) = data_files::check_chain(&self.genesis, &self.config.ledger, journal) {
                    return Err(error);
                }
                bail!(
                    "{} already exists: this node was already initialised, so start it without --init",
                    path.display()
                );
            }
            let directory = files::parent_of(path);
            std::fs::create_dir_all(directory)
                .with_context(|| format!("{} cannot be created", directory.display()))?;
            files::sync_directory(files::parent_of(directory))?;
        }
        let initial = initial_state(&self.genesis, &self.config.genesis)?;
        data_files::create(&self.genesis, &initial, &self.key.public(), &self.config.ledger, journal)
    }

    /// Checks that ledger and journal exist.
    ///
    /// # Errors
    /// As [`check_data`].
    pub(crate) fn check_data(&self) -> anyhow::Result<()> {
        check_data(&self.config, &self.genesis, &self.name)
    }
}

/// The name of the node in messages, if its key fits its role.
fn name(config: &Config, genesis: &Genesis, key: &PublicKey) -> anyhow::Result<String> {
    let member = genesis.validators().iter().find(|validator| validator.public_key == *key);
    let owner = genesis.validators().iter().find(|validator| validator.governance_key == *key);
    if let (None, Some(owner)) = (member, owner) {
        bail!(
            "{} is the governance key of {}: no node runs with it. Keep it on another machine, and set files.key to \
             the consensus key of the validator, or to a new key for an observer",
            config.key.display(),
            owner.name
        );
    }
    match (config.role, member) {
        (Role::Validator, Some(validator)) => Ok(validator.name.clone()),
        (Role::Observer, None) => Ok(format!("observer {}", output::short(&key))),
        // The members may add the key, or may have added it since the genesis. Until then the node
        // follows the chain.
        (Role::Validator, None) => Ok(format!("validator {}", output::short(&key))),
        (Role::Observer, Some(validator)) => bail!(
            "{} is the key of {}, but node.role is \"observer\": set node.role = \"validator\" to run that \
             validator, or set files.key to another key for the observer (quorate key new)",
            config.key.display(),
            validator.name
        ),
    }
}

/// Addresses that cannot be used. A peer id may be that of a member that the genesis does not name.
fn unusable_addresses(config: &Config) -> Vec<anyhow::Error> {
    let addresses = AddressSettings {
        listen: &config.p2p_listen,
        advertise: &config.p2p_advertise,
        bootstrap: &config.p2p_bootstrap,
    };
    let problem = |problem: &AddressProblem| anyhow!("p2p.{problem}");
    addresses.problems(None).iter().map(problem).collect()
}

/// The journal that a node of this role has.
fn journal_of(config: &Config) -> Option<&Path> {
    (config.role == Role::Validator).then_some(config.journal.as_path())
}

/// Checks that ledger and journal of the node with this name exist.
///
/// # Errors
/// Explains what a missing file means, what to do, and what not to do.
fn check_data(config: &Config, genesis: &Genesis, name: &str) -> anyhow::Result<()> {
    // If one file is missing and the other one is of another chain, advice for this chain would be
    // wrong.
    check_files(config, name).map_err(|missing| {
        data_files::check_chain(genesis, &config.ledger, journal_of(config)).unwrap_or(missing)
    })
}

fn check_files(config: &Config, name: &str) -> anyhow::Result<()> {
    let (ledger, journal) = (&config.ledger, &config.journal);
    if config.role == Role::Observer {
        if !ledger.exists() {
            bail!(
                "{name} has no ledger ({}). If it never ran, start it once with --init. If it did, its disk is not \
                 mounted or its file is lost: with --init it fetches all blocks again",
                ledger.display()
            );
        }
        return Ok(());
    }
    match (ledger.exists(), journal.exists()) {
        (true, true) => Ok(()),
        (false, false) => bail!(
            "{} has neither ledger ({}) nor journal ({}). If it never ran, start it once with --init. If it \
             did, look whether its disk is mounted. If its files are lost, start it once with --init, too: it \
             then fetches the chain, and votes again in the epoch that its governance key begins (quorate \
             validator renew)",
            name,
            ledger.display(),
            journal.display()
        ),
        (true, false) => bail!(
            "{} has a ledger but no journal ({}): the record of its votes is lost, and without it the \
             validator could contradict its earlier votes. Never use an older copy of the journal instead. \
             If the newest file cannot be recovered intact, or if --init was interrupted: move {} away and \
             use --init. The validator then fetches the chain, and votes again in the epoch that its \
             governance key begins (quorate validator renew)",
            name,
            journal.display(),
            ledger.display()
        ),
        (false, true) => bail!(
            "{} has a journal but no ledger ({}): restore a copy of the ledger of any age, its own or that of another \
             validator of the same network, or create a new one with `quorate ledger import`; do not \
             change the journal",
            name,
            ledger.display()
        ),
    }
}
