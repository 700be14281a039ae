//! Reads a genesis file.
//!
//! The reader takes each known field out of the parsed table; fields that remain are unknown. A
//! derived deserialiser would stop at the first unknown or misplaced field, but an operator needs
//! all errors at once.

use quorate_governance::{Parameters, Submit};
use quorate_ledger::{PublicKey, Timestamp};
use toml::{Table, Value};

use crate::check::{self, shortened};
use crate::draft::{GenesisDraft, Validator};
use crate::error::{GenesisError, GenesisErrors};
use crate::{FORMAT_VERSION, MAX_FILE_BYTES};

const TOP_FIELDS: [&str; 8] =
    ["version", "name", "genesis_time_ms", "validators", "block", "consensus", "mempool", "clients"];
const VALIDATOR_FIELDS: [&str; 2] = ["name", "public_key"];
const CLIENT_FIELDS: [&str; 1] = ["submit"];

/// Placeholder for a name whose error is reported already, so that it is not reported again.
const UNREADABLE_NAME: &str = "unreadable";

/// Reads and checks a file.
///
/// # Errors
/// All errors. If the file is not TOML or has another version, only that one.
pub(crate) fn read(text: &str) -> Result<GenesisDraft, GenesisErrors> {
    if text.len() > MAX_FILE_BYTES {
        return Err(GenesisError::TooLarge(text.len()).into());
    }
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| syntax_error(text, &error))?;
    let mut reader = Reader::default();
    let version = reader.number(&mut table, "", "version").unwrap_or(FORMAT_VERSION.into());
    if version != u64::from(FORMAT_VERSION) {
        return Err(GenesisError::Version(version).into());
    }
    let draft = reader.draft(table);
    let Reader { mut errors, unreadable } = reader;
    errors.extend(check::errors(&draft, unreadable));
    match GenesisErrors::of(errors) {
        Some(errors) => Err(errors),
        None => Ok(draft),
    }
}

fn syntax_error(text: &str, error: &toml::de::Error) -> GenesisError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    GenesisError::Syntax {
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: error.message().trim().replace('\n', ", "),
    }
}

#[derive(Default)]
struct Reader {
    errors: Vec<GenesisError>,
    /// Number of validators that could not be parsed.
    unreadable: usize,
}

impl Reader {
    fn draft(&mut self, mut table: Table) -> GenesisDraft {
        let name = self.required_text(&mut table, "", "name", "the network a name");
        let genesis_time = self.genesis_time(&mut table);
        let validators = self.validators(table.remove("validators"));
        let parameters = self.parameters(&mut table);
        self.refuse_rest("", &table, &TOP_FIELDS);
        GenesisDraft {
            name: name.unwrap_or_else(|| UNREADABLE_NAME.to_owned()),
            genesis_time,
            validators,
            parameters,
        }
    }

    fn genesis_time(&mut self, table: &mut Table) -> Timestamp {
        let field = "genesis_time_ms";
        if !table.contains_key(field) {
            self.errors.push(GenesisError::Missing {
                field: field.to_owned(),
                what: "the time of the genesis in milliseconds since 1970",
            });
        }
        Timestamp(self.number(table, "", field).unwrap_or_default())
    }

    fn validators(&mut self, value: Option<Value>) -> Vec<Validator> {
        let entries = match value {
            None => return Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                self.unreadable += 1;
                self.kind("validators".to_owned(), "an array of tables [[validators]]", &other);
                return Vec::new();
            }
        };
        let mut validators = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match self.validator(&format!("validators[{index}]"), entry) {
                Some(validator) => validators.push(validator),
                None => self.unreadable += 1,
            }
        }
        validators
    }

    fn validator(&mut self, path: &str, entry: Value) -> Option<Validator> {
        let Value::Table(mut table) = entry else {
            self.kind(path.to_owned(), "a table with name and public_key", &entry);
            return None;
        };
        let name = self.required_text(&mut table, path, "name", "the validator a name");
        let key = self.required_text(&mut table, path, "public_key", "the validator's public key as 0x hex");
        let public_key = key.and_then(|text| self.public_key(path, &text));
        self.refuse_rest(path, &table, &VALIDATOR_FIELDS);
        Some(Validator { name: name?, public_key: public_key? })
    }

    fn public_key(&mut self, path: &str, text: &str) -> Option<PublicKey> {
        text.parse()
            .map_err(|reason| {
                self.errors.push(GenesisError::Key { field: joined(path, "public_key"), reason });
            })
            .ok()
    }

    fn parameters(&mut self, table: &mut Table) -> Parameters {
        let mut parameters = Parameters::default();
        for section in parameters.sections() {
            let mut fields = self.section(table, section.name);
            let mut known = Vec::new();
            for parameter in section.parameters {
                if let Some(value) = self.number(&mut fields, section.name, parameter.name) {
                    *parameter.value = value;
                }
                known.push(parameter.name);
            }
            self.refuse_rest(section.name, &fields, &known);
        }
        let mut clients = self.section(table, "clients");
        if let Some(submit) = self.text(&mut clients, "clients", "submit")
            && submit != Submit::Open.as_str()
        {
            self.errors.push(GenesisError::Submit(shortened(&submit)));
        }
        self.refuse_rest("clients", &clients, &CLIENT_FIELDS);
        parameters
    }

    /// A section of the file. A missing section counts as empty.
    fn section(&mut self, table: &mut Table, name: &'static str) -> Table {
        match table.remove(name) {
            None => Table::new(),
            Some(Value::Table(section)) => section,
            Some(other) => {
                self.kind(name.to_owned(), "a table", &other);
                Table::new()
            }
        }
    }

    fn number(&mut self, table: &mut Table, path: &str, name: &str) -> Option<u64> {
        let value = table.remove(name)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        if number.is_none() {
            self.kind(joined(path, name), "a whole number, not negative", &value);
        }
        number
    }

    fn text(&mut self, table: &mut Table, path: &str, name: &str) -> Option<String> {
        match table.remove(name)? {
            Value::String(text) => Some(text),
            other => {
                self.kind(joined(path, name), "a text in quotes", &other);
                None
            }
        }
    }

    fn required_text(
        &mut self,
        table: &mut Table,
        path: &str,
        name: &str,
        what: &'static str,
    ) -> Option<String> {
        if !table.contains_key(name) {
            self.errors.push(GenesisError::Missing { field: joined(path, name), what });
        }
        self.text(table, path, name)
    }

    fn refuse_rest(&mut self, path: &str, rest: &Table, known: &[&str]) {
        for name in rest.keys() {
            self.errors.push(GenesisError::Unknown {
                field: joined(path, &shortened(name)).escape_debug().to_string(),
                known: known.join(", "),
            });
        }
    }

    fn kind(&mut self, field: String, expected: &'static str, found: &Value) {
        let found = match found {
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Boolean(truth) => truth.to_string(),
            other => format!("of type {}", other.type_str()),
        };
        self.errors.push(GenesisError::Kind { field, expected, found });
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
