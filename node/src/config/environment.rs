//! Settings from sources other than the file: environment variables and command-line flags.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::bail;
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::settings::{Setting, settings};

/// The prefix of all variables of this program.
const PREFIX: &str = "QUORATE_";

/// The separator between table and setting in the name of a variable.
const SEPARATOR: &str = "__";

/// The text before the name of a variable in messages about the source of a value.
const VARIABLE: &str = "environment variable ";

/// The source of a value from the command line.
const FLAG: &str = "--set";

/// Settings that override the file: environment variables, and flags that override the variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    /// Name and text of each variable.
    pub(super) variables: Vec<(String, String)>,
    /// In the order of the command line; later ones override earlier ones.
    pub(super) flags: Vec<SettingFlag>,
}

impl Overrides {
    /// The environment variables of this process that could be settings, and flags.
    ///
    /// # Errors
    /// As [`Overrides::new`].
    pub(crate) fn of_process(flags: &[SettingFlag]) -> anyhow::Result<Self> {
        Overrides::new(std::env::vars_os(), flags)
    }

    /// Keeps the variables that could be settings, and the flags. An empty variable counts as
    /// unset.
    ///
    /// # Errors
    /// Lists the variables that are meant as settings and are not UTF-8 text.
    pub(super) fn new(
        variables: impl Iterator<Item = (OsString, OsString)>,
        flags: &[SettingFlag],
    ) -> anyhow::Result<Self> {
        let (mut texts, mut unreadable) = (Vec::new(), Vec::new());
        for (name, value) in variables.filter(|(_, value)| !value.is_empty()) {
            let readable = name.to_str().is_some();
            let name = name.to_string_lossy().into_owned();
            if !name.starts_with(PREFIX) {
                continue;
            }
            match value.into_string() {
                Ok(text) if readable => texts.push((name, text)),
                // Other variables may contain paths of any bytes.
                _ if name.contains(SEPARATOR) => unreadable.push(name),
                _ => {}
            }
        }
        unreadable.sort();
        match unreadable.as_slice() {
            [] => Ok(Overrides { variables: texts, flags: flags.to_vec() }),
            [one] => bail!("{VARIABLE}{one}: it is not UTF-8 text"),
            several => bail!("environment variables {}: they are not UTF-8 text", several.join(", ")),
        }
    }
}

/// A setting on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingFlag {
    key: String,
    text: String,
}

impl FromStr for SettingFlag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, text)) if key.contains('.') => {
                Ok(SettingFlag { key: key.trim().to_owned(), text: text.to_owned() })
            }
            _ => Err("write SETTING=VALUE, as in rpc.listen=127.0.0.1:8545"),
        }
    }
}

/// A value that overrides the file, with its source for error messages.
pub(super) struct Given {
    source: String,
    key: String,
    value: Result<Value, &'static str>,
}

impl Given {
    /// `None` for a variable that is not a setting: settings have a separator in their names.
    pub(super) fn by_variable(name: &str, text: &str) -> Option<Self> {
        let setting = name.strip_prefix(PREFIX)?;
        let key =
            setting.contains(SEPARATOR).then(|| setting.to_ascii_lowercase().replace(SEPARATOR, "."))?;
        Some(Given { source: format!("{VARIABLE}{name}"), key, value: value(text) })
    }

    /// As in `--set rpc.listen=127.0.0.1:8545`.
    pub(super) fn by_flag(setting: &SettingFlag) -> Self {
        Given { source: FLAG.to_owned(), key: setting.key.clone(), value: value(&setting.text) }
    }
}

/// A number stays a number; any other text is a string, even if it looks like another kind of
/// value.
///
/// # Errors
/// A text that begins like a list but is not one: no setting has such a text.
fn value(text: &str) -> Result<Value, &'static str> {
    if let Ok(number) = text.trim().parse::<u64>() {
        return Ok(Value::from(number));
    }
    if !text.trim_start().starts_with('[') || is_socket_address(text) {
        return Ok(Value::from(text));
    }
    match text.parse::<Value>() {
        Ok(list @ Value::Array(..)) => Ok(list),
        _ => Err("it begins like a list but is not one: write a,b or [\"a\",\"b\"]"),
    }
}

/// As in `[::1]:8545`.
fn is_socket_address(text: &str) -> bool {
    text.trim().parse::<SocketAddr>().is_ok()
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let value = self
            .value
            .clone()
            .map_err(|problem| figment::Error::from(problem.to_owned()).with_path(&self.key))?;
        let nested = figment::util::nest(&self.key, value).into_dict();
        Ok(Profile::Default.collect(nested.unwrap_or_default()))
    }
}

/// Whether a value with this source overrides the file.
pub(super) fn is_beside_the_file(source: &Metadata) -> bool {
    source.name == FLAG || source.name.starts_with(VARIABLE)
}

/// Variables that were probably meant as settings, such as `QUORATE_RPC_LISTEN` for
/// `QUORATE_RPC__LISTEN`. Without this check they would be silently ignored, like variables of
/// other programs.
pub(super) fn misspelt_variables(variables: &[(String, String)]) -> Vec<String> {
    let wrong = |setting: Setting| {
        let wrong = spelling("_", &setting.table, &setting.name);
        let found = variables.iter().any(|(variable, _)| *variable == wrong);
        found.then(|| format!("environment variable {wrong}: write {}", setting.variable()))
    };
    settings().filter_map(wrong).collect()
}

/// The name of a setting in the environment.
pub(super) fn variable(table: &str, name: &str) -> String {
    spelling(SEPARATOR, table, name)
}

fn spelling(separator: &str, table: &str, name: &str) -> String {
    format!("{PREFIX}{}{separator}{}", table.to_ascii_uppercase(), name.to_ascii_uppercase())
}
