//! The local settings of a node: `config.toml`, and over it the environment.
//!
//! A setting `name` of the table `[table]` is also `QUORATE_TABLE__NAME` in the environment, which wins. A
//! list is written there as `a,b` or `["a","b"]`. Whatever is not known is refused, wherever it stands.
//! Nothing in here must be equal on all nodes; that is in the genesis.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::bail;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use quorate_rpc::{RpcConfig, is_origin};
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::home;

/// Most bytes of a config file.
const MAX_CONFIG_BYTES: usize = 64 << 10;

/// Most addresses of one kind.
const MAX_ADDRESSES: usize = 64;

/// Ceilings of the limits of the RPC server: beyond them a number was meant in another unit.
const MAX_BYTES: usize = 16 << 30;
const MAX_COUNT: usize = 1_000_000;

/// Most threads that check signatures: more than the largest machine has use for.
const MAX_VERIFY_THREADS: usize = 256;

/// In front of every variable of this program.
const PREFIX: &str = "QUORATE_";

/// Between table and setting in the name of a variable.
const SEPARATOR: &str = "__";

/// What a config file says, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    files: RawFiles,
    p2p: RawP2p,
    rpc: RawRpc,
    verification: RawVerification,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawFiles {
    genesis: PathBuf,
    key: PathBuf,
    ledger: PathBuf,
    journal: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawP2p {
    #[serde(deserialize_with = "list")]
    listen: Vec<String>,
    #[serde(deserialize_with = "list")]
    advertise: Vec<String>,
    #[serde(deserialize_with = "list")]
    bootstrap: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRpc {
    listen: String,
    max_body_bytes: usize,
    max_response_bytes: usize,
    max_memory_bytes: usize,
    max_batch: usize,
    max_connections: usize,
    max_concurrent_requests: usize,
    max_requests_per_second: usize,
    max_request_burst: usize,
    #[serde(deserialize_with = "flag")]
    limit_loopback: bool,
    max_streams: usize,
    max_streams_per_address: usize,
    max_subscriptions: usize,
    max_socket_requests: usize,
    max_message_bytes: usize,
    #[serde(deserialize_with = "list")]
    allowed_origins: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawVerification {
    threads: usize,
}

impl Default for RawFiles {
    fn default() -> Self {
        RawFiles {
            genesis: home::GENESIS_FILE.into(),
            key: home::KEY_FILE.into(),
            ledger: home::LEDGER_FILE.into(),
            journal: home::JOURNAL_FILE.into(),
        }
    }
}

impl Default for RawP2p {
    fn default() -> Self {
        RawP2p { listen: vec!["/ip4/0.0.0.0/tcp/9000".into()], advertise: Vec::new(), bootstrap: Vec::new() }
    }
}

impl Default for RawRpc {
    fn default() -> Self {
        let defaults = RpcConfig::default();
        RawRpc {
            listen: "127.0.0.1:8545".into(),
            max_body_bytes: defaults.max_body_bytes,
            max_response_bytes: defaults.max_response_bytes,
            max_memory_bytes: defaults.max_memory_bytes,
            max_batch: defaults.max_batch,
            max_connections: defaults.max_connections,
            max_concurrent_requests: defaults.max_concurrent_requests,
            max_requests_per_second: defaults.max_requests_per_second,
            max_request_burst: defaults.max_request_burst,
            limit_loopback: defaults.limit_loopback,
            max_streams: defaults.max_streams,
            max_streams_per_address: defaults.max_streams_per_address,
            max_subscriptions: defaults.max_subscriptions,
            max_socket_requests: defaults.max_socket_requests,
            max_message_bytes: defaults.max_message_bytes,
            allowed_origins: defaults.allowed_origins,
        }
    }
}

impl Default for RawVerification {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        RawVerification { threads: cores.min(MAX_VERIFY_THREADS) }
    }
}

/// The settings of a node, checked. Paths can be opened from here.
#[derive(Debug, Clone)]
pub(crate) struct Config {
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
    /// The RPC server.
    pub(crate) rpc: RpcConfig,
    /// Threads that check transaction signatures.
    pub(crate) verify_threads: usize,
}

/// Everything that is wrong with a config, one a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", .0.join("\n  - "))]
pub(crate) struct ConfigErrors(Vec<String>);

/// The variables of the environment that could be settings.
pub(crate) fn environment() -> Vec<(String, String)> {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// Reads `config.toml` in a home directory and lets `variables` override it.
///
/// # Errors
/// An unreadable file, and [`ConfigErrors`].
pub(crate) fn read(home: &Path, variables: &[(String, String)]) -> anyhow::Result<Config> {
    let path = home.join(home::CONFIG_FILE);
    if !path.exists() {
        bail!(
            "{} does not exist: `quorate testnet` writes home directories, `quorate node --help` says what \
             belongs in one",
            path.display()
        );
    }
    let text = files::read_text(&path, MAX_CONFIG_BYTES)?;
    let raw = parse(&path, &text, variables)?;
    Ok(raw.check(home)?)
}

fn parse(path: &Path, text: &str, variables: &[(String, String)]) -> Result<RawConfig, ConfigErrors> {
    let misspelt = misspelt_variables(variables);
    if !misspelt.is_empty() {
        return Err(ConfigErrors(misspelt));
    }
    let mut figment = Figment::from(Toml::string(text));
    for (name, value) in variables {
        if let Some(variable) = Variable::of(name, value) {
            figment = figment.merge(variable);
        }
    }
    figment
        .extract()
        .map_err(|errors| ConfigErrors(errors.into_iter().map(|error| explain(path, &error)).collect()))
}

fn explain(path: &Path, error: &figment::Error) -> String {
    let source = match &error.metadata {
        Some(metadata) if metadata.name.starts_with("environment") => metadata.name.to_string(),
        _ => path.display().to_string(),
    };
    let setting = error.path.join(".");
    let at = if setting.is_empty() { String::new() } else { format!("{setting}: ") };
    format!("{source}: {at}{}", error.kind.to_string().trim_end())
}

/// A variable of the environment as a setting of its own, so that errors can name it.
struct Variable {
    name: String,
    key: String,
    value: Value,
}

impl Variable {
    /// `None` for a variable that is no setting: those have a separator in their names.
    fn of(name: &str, text: &str) -> Option<Self> {
        let setting = name.strip_prefix(PREFIX)?;
        if !setting.contains(SEPARATOR) {
            return None;
        }
        let key = setting.to_ascii_lowercase().replace(SEPARATOR, ".");
        // A number stays a number; any other text is a string, whatever it looks like to a parser of values.
        let value = match text.trim().parse::<u64>() {
            Ok(number) => Value::from(number),
            Err(_) if text.trim_start().starts_with('[') => match text.parse::<Value>() {
                Ok(value) => value,
                Err(never) => match never {},
            },
            Err(_) => Value::from(text),
        };
        Some(Variable { name: name.to_owned(), key, value })
    }
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.key, self.value.clone()).into_dict();
        Ok(Profile::Default.collect(nested.unwrap_or_default()))
    }
}

/// Variables that were probably meant as settings: `QUORATE_RPC_LISTEN` for `QUORATE_RPC__LISTEN`. They would
/// otherwise be ignored without a word, as are variables that have nothing to do with this program.
fn misspelt_variables(variables: &[(String, String)]) -> Vec<String> {
    let known = Figment::from(figment::providers::Serialized::defaults(RawConfig::default()));
    let known: RawNames = known.extract().expect("the defaults are a table of tables");
    let settings =
        known.0.iter().flat_map(|(table, settings)| settings.keys().map(move |name| (table, name)));
    let spelling = |separator: &str, table: &str, name: &str| {
        format!("{PREFIX}{}{separator}{}", table.to_ascii_uppercase(), name.to_ascii_uppercase())
    };
    let wrong = |(table, name): (&String, &String)| {
        let wrong = spelling("_", table, name);
        let found = variables.iter().any(|(variable, _)| *variable == wrong);
        found.then(|| format!("environment variable {wrong}: write {}", spelling(SEPARATOR, table, name)))
    };
    settings.filter_map(wrong).collect()
}

#[derive(Deserialize)]
struct RawNames(Map<String, Map<String, de::IgnoredAny>>);

/// A list of texts, or one text with commas.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
            let mut list = Vec::new();
            while let Some(item) = items.next_element()? {
                list.push(item);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_any(List)
}

/// True or false, also as the text of a variable.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct Flag;

    impl Visitor<'_> for Flag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("true or false")
        }

        fn visit_bool<E: de::Error>(self, value: bool) -> Result<bool, E> {
            Ok(value)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<bool, E> {
            text.trim().parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_any(Flag)
}

impl RawConfig {
    fn check(self, home: &Path) -> Result<Config, ConfigErrors> {
        let mut problems = Vec::new();
        let addresses = [
            ("p2p.listen", &self.p2p.listen),
            ("p2p.advertise", &self.p2p.advertise),
            ("p2p.bootstrap", &self.p2p.bootstrap),
        ];
        for (setting, list) in addresses {
            problems.extend(problems_of_addresses(setting, list));
        }
        if self.p2p.listen.is_empty() {
            problems.push("p2p.listen is empty: give an address such as /ip4/0.0.0.0/tcp/9000".to_owned());
        }
        let listen = self.rpc.listen.parse::<SocketAddr>();
        if listen.is_err() {
            problems.push(format!(
                "rpc.listen is {:?}: write an IP address and a port, such as 127.0.0.1:8545",
                self.rpc.listen
            ));
        }
        let counts = [
            ("rpc.max_body_bytes", self.rpc.max_body_bytes, MAX_BYTES),
            ("rpc.max_response_bytes", self.rpc.max_response_bytes, MAX_BYTES),
            ("rpc.max_memory_bytes", self.rpc.max_memory_bytes, MAX_BYTES),
            ("rpc.max_batch", self.rpc.max_batch, MAX_COUNT),
            ("rpc.max_connections", self.rpc.max_connections, MAX_COUNT),
            ("rpc.max_concurrent_requests", self.rpc.max_concurrent_requests, MAX_COUNT),
            ("rpc.max_request_burst", self.rpc.max_request_burst, MAX_COUNT),
            ("rpc.max_streams", self.rpc.max_streams, MAX_COUNT),
            ("rpc.max_streams_per_address", self.rpc.max_streams_per_address, MAX_COUNT),
            ("rpc.max_subscriptions", self.rpc.max_subscriptions, MAX_COUNT),
            ("rpc.max_socket_requests", self.rpc.max_socket_requests, MAX_COUNT),
            ("rpc.max_message_bytes", self.rpc.max_message_bytes, MAX_BYTES),
            ("verification.threads", self.verification.threads, MAX_VERIFY_THREADS),
        ];
        for (setting, value, most) in counts {
            if value == 0 || value > most {
                problems.push(format!("{setting} is {value}: choose 1 to {most}"));
            }
        }
        problems.extend(self.rpc.problem_of_rates());
        let odd = self.rpc.allowed_origins.iter().filter(|origin| !is_origin(origin));
        problems.extend(odd.map(|origin| {
            format!("rpc.allowed_origins contains {origin:?}: write an origin such as https://explorer.example, or *")
        }));
        match listen {
            Ok(listen) if problems.is_empty() => Ok(self.checked(home, listen)),
            _ => Err(ConfigErrors(problems)),
        }
    }

    fn checked(self, home: &Path, listen: SocketAddr) -> Config {
        Config {
            genesis: home.join(self.files.genesis),
            key: home.join(self.files.key),
            ledger: home.join(self.files.ledger),
            journal: home.join(self.files.journal),
            p2p_listen: self.p2p.listen,
            p2p_advertise: self.p2p.advertise,
            p2p_bootstrap: self.p2p.bootstrap,
            rpc: RpcConfig {
                listen,
                max_body_bytes: self.rpc.max_body_bytes,
                max_response_bytes: self.rpc.max_response_bytes,
                max_memory_bytes: self.rpc.max_memory_bytes,
                max_batch: self.rpc.max_batch,
                max_connections: self.rpc.max_connections,
                max_concurrent_requests: self.rpc.max_concurrent_requests,
                max_requests_per_second: self.rpc.max_requests_per_second,
                max_request_burst: self.rpc.max_request_burst,
                limit_loopback: self.rpc.limit_loopback,
                max_streams: self.rpc.max_streams,
                max_streams_per_address: self.rpc.max_streams_per_address,
                max_subscriptions: self.rpc.max_subscriptions,
                max_socket_requests: self.rpc.max_socket_requests,
                max_message_bytes: self.rpc.max_message_bytes,
                allowed_origins: self.rpc.allowed_origins,
                ..RpcConfig::default()
            },
            verify_threads: self.verification.threads,
        }
    }
}

impl RawRpc {
    fn problem_of_rates(&self) -> Option<String> {
        let (rate, burst) = (self.max_requests_per_second, self.max_request_burst);
        if rate > MAX_COUNT {
            return Some(format!(
                "rpc.max_requests_per_second is {rate}: choose 1 to {MAX_COUNT}, or 0 for no limit"
            ));
        }
        // A batch above it could never be served.
        (rate > 0 && burst < self.max_batch).then(|| {
            format!("rpc.max_request_burst is {burst}: choose no less than rpc.max_batch, {}", self.max_batch)
        })
    }
}

fn problems_of_addresses(setting: &str, addresses: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    if addresses.len() > MAX_ADDRESSES {
        problems.push(format!("{setting} has {} addresses: at most {MAX_ADDRESSES}", addresses.len()));
    }
    let odd = addresses.iter().take(MAX_ADDRESSES).filter(|address| !address.starts_with('/'));
    problems.extend(odd.map(|address| {
        format!("{setting} contains {address:?}: write a multiaddress such as /ip4/10.0.0.5/tcp/9000")
    }));
    problems
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
