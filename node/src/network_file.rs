//! `network.json`: the addresses of a network's nodes.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use quorate_genesis::Genesis;
use quorate_ledger::PublicKey;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::genesis_file;

/// Name of the file.
pub(crate) const NETWORK_FILE: &str = "network.json";

/// Upper limit of the size in bytes. The largest network takes less than a tenth.
const MAX_NETWORK_FILE_BYTES: usize = 128 << 10;

/// The nodes of a network. Paths are relative to the file.
///
/// Scripts outside this project read it: fields may be added, but existing fields must not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NetworkFile {
    /// The genesis file.
    pub(crate) genesis: PathBuf,
    /// The validators in committee order.
    pub(crate) validators: Vec<ValidatorEntry>,
    /// The observers that all validators admit, if there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) observers: Vec<ValidatorEntry>,
}

/// One validator, or one observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ValidatorEntry {
    /// Its name: for a validator, the one in the genesis.
    pub(crate) name: String,
    /// The directory for `quorate node --home`.
    pub(crate) home: PathBuf,
    /// URL of its JSON-RPC.
    pub(crate) rpc: String,
    /// The multiaddress at which other validators reach it.
    pub(crate) p2p: String,
    /// Its compressed public key as hex.
    pub(crate) public_key: String,
}

/// A network file together with the genesis it names.
#[derive(Debug, Clone)]
pub(crate) struct KnownNetwork {
    /// The genesis.
    pub(crate) genesis: Genesis,
    /// Path of its file.
    pub(crate) genesis_path: PathBuf,
    /// The validators in committee order; their homes are relative to the working directory, or
    /// absolute.
    pub(crate) validators: Vec<ValidatorEntry>,
    /// Number of its observers.
    pub(crate) observers: usize,
}

impl NetworkFile {
    /// The text of the file.
    pub(crate) fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("paths of this program are UTF-8");
        text.push('\n');
        text
    }
}

/// Reads a network file and its genesis; `path` may also be the directory that contains it.
///
/// # Errors
/// Also if the validators are not those of the genesis, in committee order.
pub(crate) fn read(path: &Path) -> anyhow::Result<KnownNetwork> {
    let path = if path.is_dir() { path.join(NETWORK_FILE) } else { path.to_owned() };
    let text = files::read_text(&path, MAX_NETWORK_FILE_BYTES)?;
    let file: NetworkFile = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a network file of `quorate testnet`", path.display()))?;
    let base = files::parent_of(&path);
    let genesis_path = base.join(&file.genesis);
    let genesis = genesis_file::read_genesis(&genesis_path)?;
    let mut validators = file.validators;
    check_validators(&genesis, &validators)
        .with_context(|| format!("{} does not match its genesis", path.display()))?;
    for validator in &mut validators {
        validator.home = base.join(&validator.home);
    }
    Ok(KnownNetwork { genesis, genesis_path, validators, observers: file.observers.len() })
}

fn check_validators(genesis: &Genesis, validators: &[ValidatorEntry]) -> anyhow::Result<()> {
    let expected = genesis.validators();
    if expected.len() != validators.len() {
        bail!("it lists {} validators, the genesis has {}", validators.len(), expected.len());
    }
    for (listed, known) in validators.iter().zip(expected) {
        let key: Option<PublicKey> = listed.public_key.parse().ok();
        if listed.name != known.name || key != Some(known.public_key) {
            bail!(
                "{:?} with key {} is in the place of {:?} with key {}",
                listed.name,
                listed.public_key,
                known.name,
                known.public_key
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_genesis::TestNetwork;

    use super::*;

    fn file_of(genesis: &Genesis) -> NetworkFile {
        let entry = |validator: &quorate_genesis::Validator| ValidatorEntry {
            name: validator.name.clone(),
            home: validator.name.clone().into(),
            rpc: "http://127.0.0.1:8545".into(),
            p2p: "/ip4/127.0.0.1/tcp/9000".into(),
            public_key: validator.public_key.to_string(),
        };
        NetworkFile {
            genesis: "genesis.toml".into(),
            validators: genesis.validators().iter().map(entry).collect(),
            observers: Vec::new(),
        }
    }

    #[test]
    fn the_keys_of_the_json_are_those_that_scripts_rely_on() {
        let network = TestNetwork::seeded(1, 1);
        let json: serde_json::Value = serde_json::from_str(&file_of(network.genesis()).to_json()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "genesis": "genesis.toml",
                "validators": [{
                    "name": "validator-0",
                    "home": "validator-0",
                    "rpc": "http://127.0.0.1:8545",
                    "p2p": "/ip4/127.0.0.1/tcp/9000",
                    "public_key": network.keys()[0].public().to_string(),
                }],
            })
        );
    }

    #[test]
    fn paths_are_relative_to_the_file_and_validators_are_compared_with_the_genesis() {
        let directory = tempfile::tempdir().unwrap();
        let network = TestNetwork::seeded(4, 1);
        std::fs::write(directory.path().join("genesis.toml"), network.genesis().to_toml()).unwrap();
        let path = directory.path().join(NETWORK_FILE);
        let good = file_of(network.genesis());
        std::fs::write(&path, good.to_json()).unwrap();
        for given in [path.as_path(), directory.path()] {
            let known = read(given).unwrap();
            assert_eq!(known.genesis.chain_id(), network.genesis().chain_id());
            assert_eq!(known.validators[2].home, directory.path().join("validator-2"));
        }

        let mut swapped = good.clone();
        swapped.validators.swap(0, 1);
        let mut fewer = good.clone();
        fewer.validators.pop();
        let mut other_key = good;
        other_key.validators[3].public_key = other_key.validators[2].public_key.clone();
        for wrong in [swapped, fewer, other_key] {
            std::fs::write(&path, wrong.to_json()).unwrap();
            let error = format!("{:#}", read(&path).unwrap_err());
            assert!(error.contains("does not match its genesis"), "{error}");
        }
        std::fs::write(&path, "{}").unwrap();
        assert!(read(&path).is_err());
    }
}
