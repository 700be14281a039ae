//! Reads a genesis file.
//!
//! The reader takes each known field out of the parsed table; fields that remain are unknown. A
//! derived deserialiser would stop at the first unknown or misplaced field, but an operator needs
//! all errors at once.

use quorate_governance::{GovernanceParameters, Section, Settings, Submit};
use quorate_ledger::{BlockHash, ChainId, Epoch, Hash, Height, HexError, PublicKey, Timestamp};
use toml::{Table, Value};

use crate::check::{self, shortened};
use crate::draft::{GenesisDraft, Validator};
use crate::error::{GenesisError, GenesisErrors};
use crate::predecessor::Predecessor;
use crate::{FORMAT_VERSION, MAX_FILE_BYTES};

const TOP_FIELDS: [&str; 10] = [
    "version",
    "name",
    "genesis_time_ms",
    "predecessor",
    "validators",
    "block",
    "consensus",
    "mempool",
    "governance",
    "clients",
];
const VALIDATOR_FIELDS: [&str; 3] = ["name", "public_key", "governance_key"];
const PREDECESSOR_FIELDS: [&str; 7] =
    ["chain_id", "height", "block", "epoch", "state_root", "clients", "clients_root"];
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
    // Required, because a file of version 1 may lack it.
    reader.require(&table, "", "version", "the version of this format, 2");
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
        let predecessor = self.predecessor(&mut table);
        let validators = self.validators(table.remove("validators"));
        let settings = self.settings(&mut table);
        self.refuse_rest("", &table, &TOP_FIELDS);
        GenesisDraft {
            name: name.unwrap_or_else(|| UNREADABLE_NAME.to_owned()),
            genesis_time,
            validators,
            settings,
            predecessor,
        }
    }

    fn genesis_time(&mut self, table: &mut Table) -> Timestamp {
        let field = "genesis_time_ms";
        self.require(table, "", field, "the time of the genesis in milliseconds since 1970");
        Timestamp(self.number(table, "", field).unwrap_or_default())
    }

    /// The chain that the network continues. A table with an error of its own counts as none: the
    /// error is reported, and prevents a genesis.
    fn predecessor(&mut self, table: &mut Table) -> Option<Predecessor> {
        let path = "predecessor";
        let mut fields = match table.remove(path)? {
            Value::Table(fields) => fields,
            other => {
                self.kind(path.to_owned(), "a table", &other);
                return None;
            }
        };
        let chain_id =
            self.hash(&mut fields, path, "chain_id", "the chain id of the network that is continued");
        let height = self.required_number(&mut fields, path, "height", "the height of its last block");
        let block = self.hash(&mut fields, path, "block", "the hash of that block");
        let epoch = self.required_number(&mut fields, path, "epoch", "the epoch of that block");
        let state_root =
            self.hash(&mut fields, path, "state_root", "the root of the governance state after it");
        let clients =
            self.required_number(&mut fields, path, "clients", "the number of clients to take over");
        let clients_root =
            self.hash(&mut fields, path, "clients_root", "the root of the tree of these clients");
        self.refuse_rest(path, &fields, &PREDECESSOR_FIELDS);
        Some(Predecessor {
            chain_id: ChainId(chain_id?),
            height: Height(height?),
            block: BlockHash(block?),
            epoch: Epoch(epoch?),
            state_root: state_root?,
            clients: clients?,
            clients_root: clients_root?,
        })
    }

    fn hash(&mut self, table: &mut Table, path: &str, name: &str, what: &'static str) -> Option<Hash> {
        let text = self.required_text(table, path, name, what)?;
        let hash: Result<Hash, HexError> = text.parse();
        hash.map_err(|reason| self.errors.push(GenesisError::Hash { field: joined(path, name), reason })).ok()
    }

    fn required_number(
        &mut self,
        table: &mut Table,
        path: &str,
        name: &str,
        what: &'static str,
    ) -> Option<u64> {
        self.require(table, path, name, what);
        self.number(table, path, name)
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
        let public_key = key.and_then(|text| self.key(path, "public_key", &text));
        // An unreadable key is reported. The other key in its place causes no further error.
        let governance_key = self.text(&mut table, path, "governance_key");
        let governance_key = governance_key.and_then(|text| self.key(path, "governance_key", &text));
        self.refuse_rest(path, &table, &VALIDATOR_FIELDS);
        let (name, public_key) = (name?, public_key?);
        Some(Validator { name, public_key, governance_key: governance_key.unwrap_or(public_key) })
    }

    fn key(&mut self, path: &str, name: &str, text: &str) -> Option<PublicKey> {
        text.parse()
            .map_err(|reason| self.errors.push(GenesisError::Key { field: joined(path, name), reason }))
            .ok()
    }

    fn settings(&mut self, table: &mut Table) -> Settings {
        let mut settings = Settings::default();
        let [block, consensus, mempool, _] = settings.sections();
        for section in [block, consensus, mempool] {
            self.numbers(table, section);
        }
        settings.parameters.clients.submit = self.submit(table);
        // The defaults of the quotas are parts of a block.
        settings.governance = GovernanceParameters::for_blocks(&settings.parameters.block);
        let [.., governance] = settings.sections();
        self.numbers(table, governance);
        settings
    }

    /// Replaces the defaults in a section by the values of the file.
    fn numbers(&mut self, table: &mut Table, section: Section<'_>) {
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

    fn submit(&mut self, table: &mut Table) -> Submit {
        let mut clients = self.section(table, "clients");
        let given = self.text(&mut clients, "clients", "submit");
        self.refuse_rest("clients", &clients, &CLIENT_FIELDS);
        let Some(text) = given else { return Submit::default() };
        let known = Submit::ALL.into_iter().find(|submit| submit.as_str() == text);
        known.unwrap_or_else(|| {
            self.errors.push(GenesisError::Submit(shortened(&text)));
            Submit::default()
        })
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
        self.require(table, path, name, what);
        self.text(table, path, name)
    }

    /// Reports a field that is missing.
    fn require(&mut self, table: &Table, path: &str, name: &str, what: &'static str) {
        if !table.contains_key(name) {
            self.errors.push(GenesisError::Missing { field: joined(path, name), what });
        }
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
