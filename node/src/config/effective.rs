//! The settings that a node would use, with the source of each value.

use std::path::Path;

use figment::Figment;
use serde::Serialize;
use serde_json::Value;

use super::settings::settings;
use super::{Config, Overrides, environment, load};
use crate::layout;

/// A setting with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Effective {
    /// The name, as in `rpc.listen`.
    pub(crate) setting: String,
    /// Its value.
    pub(crate) value: Value,
    /// `default`, `config.toml`, the name of an environment variable, or `--set`.
    pub(crate) origin: String,
}

/// The source of a value that is not set explicitly.
const DEFAULT: &str = "default";

impl Effective {
    /// Whether the value is the default.
    pub(crate) fn is_default(&self) -> bool {
        self.origin == DEFAULT
    }
}

/// All settings of a home directory, checked.
///
/// # Errors
/// As [`super::read`].
pub(crate) fn effective(directory: &Path, overrides: &Overrides) -> anyhow::Result<(Config, Vec<Effective>)> {
    let (figment, raw) = load(directory, overrides)?;
    let values = serde_json::to_value(&raw).expect("settings are JSON");
    let all = settings()
        .map(|setting| Effective {
            value: values[&setting.table][&setting.name].clone(),
            origin: origin(&figment, &setting.key()),
            setting: setting.key(),
        })
        .collect();
    Ok((raw.check(directory)?, all))
}

fn origin(figment: &Figment, key: &str) -> String {
    match figment.find_metadata(key) {
        None => DEFAULT.to_owned(),
        Some(source) if environment::is_beside_the_file(source) => source.name.to_string(),
        Some(_) => layout::CONFIG_FILE.to_owned(),
    }
}
