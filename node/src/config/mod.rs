//! The local settings of a node: `config.toml`, over it the environment, and over both the command line.
//!
//! A setting `name` of the table `[table]` is also `QUORATE_TABLE__NAME` in the environment and
//! `--set table.name=` on the command line. A
//! list is written there as `a,b` or `["a","b"]`. Whatever is not known is refused, wherever it stands.
//! Nothing in here must be equal on all nodes; that is in the genesis.

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
use crate::home;
pub(crate) use effective::{Effective, effective};
use environment::{Given, misspelt_variables};
pub(crate) use environment::{Overrides, SettingFlag};
use raw::RawConfig;
pub(crate) use settings::{SettingsTable, tables};

/// Most bytes of a config file.
const MAX_CONFIG_BYTES: usize = 64 << 10;

/// What a node does in the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Proposes and votes.
    #[default]
    Validator,
    /// Follows and serves, without a vote.
    Observer,
}

/// The settings of a node, checked. Paths can be opened from here.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// What the node does.
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
    /// Multiaddresses under which others reach this node, if they differ.
    pub(crate) p2p_advertise: Vec<String>,
    /// Multiaddresses of members to look for first.
    pub(crate) p2p_bootstrap: Vec<String>,
    /// Keys of observers that are admitted.
    pub(crate) p2p_observers: Vec<PublicKey>,
    /// The RPC server.
    pub(crate) rpc: RpcConfig,
    /// Where the node is administered, if anywhere.
    pub(crate) admin_socket: Option<PathBuf>,
    /// Threads that check transaction signatures.
    pub(crate) verify_threads: usize,
}

/// Everything that is wrong with a config, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", .0.join("\n  - "))]
pub(crate) struct ConfigErrors(Vec<String>);

/// Reads `config.toml` in a home directory and lets others override it.
///
/// # Errors
/// An unreadable file, and [`ConfigErrors`].
pub(crate) fn read(home: &Path, overrides: &Overrides) -> anyhow::Result<Config> {
    let (_, raw) = load(home, overrides)?;
    Ok(raw.check(home)?)
}

/// What is said in all places, with what tells where.
fn load(home: &Path, overrides: &Overrides) -> anyhow::Result<(Figment, RawConfig)> {
    let path = home.join(home::CONFIG_FILE);
    if !path.exists() {
        bail!(
            "{} does not exist: `quorate testnet` writes home directories, `quorate node --help` says what \
             belongs in one",
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

/// The name that looks most like what was written, if one looks like it at all.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    /// As much as two letters changed places in a short name.
    const ALIKE: f64 = 0.8;
    let likeness = |name: &str| strsim::jaro_winkler(written, name);
    let best = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= ALIKE).then_some(best)
}
