//! Every setting with its default and its meaning, generated from the types that parse it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::environment::variable;
use super::raw::RawConfig;

/// A setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The table in the file.
    pub(crate) table: String,
    /// The name within the table.
    pub(crate) name: String,
    /// The default, in the syntax of the file.
    pub(crate) default: String,
    /// The meaning.
    pub(crate) meaning: String,
}

impl Setting {
    /// The full name, as in `rpc.listen`.
    pub(crate) fn key(&self) -> String {
        format!("{}.{}", self.table, self.name)
    }

    /// The environment variable.
    pub(crate) fn variable(&self) -> String {
        variable(&self.table, &self.name)
    }
}

/// A table of settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SettingsTable {
    /// Its name.
    pub(crate) name: String,
    /// The meaning of the table.
    pub(crate) meaning: String,
    /// The settings by name.
    pub(crate) settings: Vec<Setting>,
}

/// All settings, by table and name.
pub(crate) fn settings() -> impl Iterator<Item = Setting> {
    tables().into_iter().flat_map(|table| table.settings)
}

/// All tables, by name.
pub(crate) fn tables() -> Vec<SettingsTable> {
    let inline = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let schema = inline.into_generator().into_root_schema_for::<RawConfig>().to_value();
    let defaults = serde_json::to_value(RawConfig::default()).expect("settings are JSON");
    let setting = |table: &str, (name, schema): (String, Value)| Setting {
        table: table.to_owned(),
        default: match schema["x-default"].as_str() {
            Some(words) => words.to_owned(),
            None => defaults[table][&name].to_string(),
        },
        meaning: meaning(&schema),
        name,
    };
    let table = |(name, schema): (String, Value)| SettingsTable {
        meaning: meaning(&schema),
        settings: members(&schema).into_iter().map(|member| setting(&name, member)).collect(),
        name,
    };
    members(&schema).into_iter().map(table).collect()
}

/// Sorted here: the order of the map depends on how other crates use the library.
fn members(schema: &Value) -> BTreeMap<String, Value> {
    let members = schema["properties"].as_object().into_iter().flatten();
    members.map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn meaning(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const DOCUMENT: &str = include_str!("../../CONFIGURATION.md");

    fn reference() -> String {
        let mut text = String::new();
        for SettingsTable { name, meaning, settings } in tables() {
            let _ = writeln!(
                text,
                "\n## `[{name}]`\n\n{meaning}\n\n| setting | default | meaning |\n|---|---|---|"
            );
            for Setting { name, default, meaning, .. } in settings {
                let _ = writeln!(text, "| `{name}` | `{default}` | {meaning} |");
            }
        }
        text
    }

    #[test]
    fn the_document_has_every_setting_as_it_is() {
        let start = DOCUMENT.find("\n## `[").unwrap_or(DOCUMENT.len());
        let expected = reference();
        assert_eq!(
            DOCUMENT[start..].trim(),
            expected.trim(),
            "put this into node/CONFIGURATION.md:\n{expected}"
        );
    }

    #[test]
    fn every_setting_has_a_meaning_that_ends() {
        assert!(settings().count() > 20);
        for setting in settings() {
            assert!(setting.meaning.ends_with('.'), "{}: {:?}", setting.key(), setting.meaning);
        }
    }
}
