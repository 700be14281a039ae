//! The local settings of a node. `config.toml` is overridden by the environment, and both are
//! overridden by the command line.
//!
//! A setting `name` of the table `[table]` is also `QUORATE_TABLE__NAME` in the environment and
//! `--set table.name=` on the command line. A list is written there as `a,b` or `["a","b"]`.
//! Unknown settings are refused in every source. Nothing in here must be equal on all nodes; such
//! parameters are in the genesis.

mod check;
mod effective;
mod environment;
mod raw;
mod settings;
mod values;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::bail;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Toml};
use quorate_ledger::PublicKey;
use quorate_rpc::RpcConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::layout;
pub(crate) use effective::{Effective, effective};
use environment::{Given, misspelt_variables};
pub(crate) use environment::{Overrides, SettingFlag};
use raw::RawConfig;
pub(crate) use settings::{SettingsTable, tables};

/// Upper limit of the size of a config file in bytes.
const MAX_CONFIG_BYTES: usize = 64 << 10;

/// Upper limit of keys in `p2p.observers`.
pub(crate) const LISTED_OBSERVERS_MAX: usize = 32;

/// The role that a node is configured for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Proposes and votes while its key is in the committee, and follows the chain otherwise.
    #[default]
    Validator,
    /// Follows the chain and serves clients, without a vote.
    Observer,
}

/// The checked settings of a node. Paths are relative to the working directory, or absolute.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The role of the node.
    pub(crate) role: Role,
    /// The genesis file.
    pub(crate) genesis: PathBuf,
    /// The key file.
    pub(crate) key: PathBuf,
    /// The ledger file.
    pub(crate) ledger: PathBuf,
    /// The journal file.
    pub(crate) journal: PathBuf,
    /// Multiaddresses to listen on.
    pub(crate) p2p_listen: Vec<String>,
    /// Multiaddresses under which other nodes reach this node, if they differ from those it listens
    /// on.
    pub(crate) p2p_advertise: Vec<String>,
    /// Multiaddresses of members to connect to first.
    pub(crate) p2p_bootstrap: Vec<String>,
    /// Keys of observers that are admitted.
    pub(crate) p2p_observers: Vec<PublicKey>,
    /// The RPC server.
    pub(crate) rpc: RpcConfig,
    /// The administration socket, if it is enabled.
    pub(crate) admin_socket: Option<PathBuf>,
    /// Threads that check transaction signatures.
    pub(crate) verify_threads: usize,
}

/// All errors of a config, one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", .0.join("\n  - "))]
pub(crate) struct ConfigErrors(Vec<String>);

/// Reads `config.toml` in a home directory and applies overrides.
///
/// # Errors
/// An unreadable file, and [`ConfigErrors`].
pub(crate) fn read(home: &Path, overrides: &Overrides) -> anyhow::Result<Config> {
    let (_, raw) = load(home, overrides)?;
    Ok(raw.check(home)?)
}

/// Merges all sources. The figment keeps the source of each value.
fn load(home: &Path, overrides: &Overrides) -> anyhow::Result<(Figment, RawConfig)> {
    let path = home.join(layout::CONFIG_FILE);
    if !path.exists() {
        bail!(
            "{} does not exist: `quorate testnet` creates home directories, and `quorate node --help` lists what \
             they contain",
            path.display()
        );
    }
    let text = files::read_text(&path, MAX_CONFIG_BYTES)?;
    Ok(parse(&path, &text, overrides)?)
}

fn parse(path: &Path, text: &str, overrides: &Overrides) -> Result<(Figment, RawConfig), ConfigErrors> {
    let misspelt = misspelt_variables(&overrides.variables);
    if !misspelt.is_empty() {
        return Err(ConfigErrors(misspelt));
    }
    let mut figment = Figment::from(Toml::string(text));
    let by_variables = overrides.variables.iter().filter_map(|(name, text)| Given::by_variable(name, text));
    for given in by_variables.chain(overrides.flags.iter().map(Given::by_flag)) {
        figment = figment.merge(given);
    }
    match figment.extract() {
        Ok(raw) => Ok((figment, raw)),
        Err(errors) => Err(ConfigErrors(errors.into_iter().map(|error| explain(path, &error)).collect())),
    }
}

fn explain(path: &Path, error: &figment::Error) -> String {
    let source = match &error.metadata {
        Some(metadata) if environment::is_beside_the_file(metadata) => metadata.name.to_string(),
        _ => path.display().to_string(),
    };
    let setting = error.path.join(".");
    let at = if setting.is_empty() { String::new() } else { format!("{setting}: ") };
    let meant = match &error.kind {
        Kind::UnknownField(written, known) => match nearest(written, known) {
            Some(known) => format!("; did you mean {known}?"),
            None => String::new(),
        },
        _ => String::new(),
    };
    format!("{source}: {at}{}{meant}", error.kind.to_string().trim_end())
}

/// The known name that is most similar to what was written, if one is similar enough.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Similarity of a short name and the same name with two letters swapped.
    const ALIKE: f64 = 0.8;
    let likeness = |name: &str| strsim::jaro_winkler(written, name);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}
