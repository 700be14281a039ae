//! The errors that make a genesis invalid, and the warnings about a valid one.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use quorate_governance::ParameterError;
use quorate_ledger::{HexError, MAX_MEMBERS, PublicKey, Timestamp};

use crate::{FORMAT_VERSION, MAX_FILE_BYTES};

/// One error in a genesis. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// The file is larger than any genesis.
    #[error(
        "the file has {0} bytes, but a genesis has at most {MAX_FILE_BYTES}: check that it is the right file"
    )]
    TooLarge(usize),
    /// The file is not TOML, so nothing else in it can be checked.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// The file has another format version, whose other fields this program does not read.
    #[error(
        "version is {version}, but this program reads only version {FORMAT_VERSION}: {remedy}",
        version = .0,
        remedy = remedy(*.0)
    )]
    Version(u64),
    /// An unknown field, perhaps misspelt.
    #[error("{field} is not a field of a genesis: use one of {known}")]
    Unknown {
        /// Path of the field.
        field: String,
        /// The fields that are allowed there.
        known: String,
    },
    /// A field without a default is missing.
    #[error("{field} is missing: give {what}")]
    Missing {
        /// Path of the field.
        field: String,
        /// The value that belongs there.
        what: &'static str,
    },
    /// A value of the wrong type.
    #[error("{field} is {found}, it must be {expected}")]
    Kind {
        /// Path of the field.
        field: String,
        /// The value that belongs there.
        expected: &'static str,
        /// The value in the file.
        found: String,
    },
    /// A name with characters or of a length that are not allowed.
    #[error("{field} is {name:?}: use 1 to {limit} of the characters a-z, 0-9 and -")]
    Name {
        /// The field.
        field: &'static str,
        /// The name, shortened if it is long.
        name: String,
        /// Most characters.
        limit: usize,
    },
    /// A text that is not a public key.
    #[error("{field} is not a public key: {reason}; write the 33 bytes of the compressed public key as hex")]
    Key {
        /// Path of the field.
        field: String,
        /// The error in the text.
        reason: HexError,
    },
    /// A text that is not a hash.
    #[error("{field} is not a hash: {reason}; write its 32 bytes as 0x hex")]
    Hash {
        /// Path of the field.
        field: String,
        /// The error in the text.
        reason: HexError,
    },
    /// Number and root of the clients that are taken over contradict each other.
    #[error(
        "predecessor.clients is {clients}, but predecessor.clients_root is {}: copy the whole table [predecessor] again, \
         or make the genesis again with `quorate genesis continue`",
        if *clients == 0 { "not the root of no clients" } else { "the root of no clients" }
    )]
    ClientsRoot {
        /// The number in the genesis.
        clients: u64,
    },
    /// A public key that is not a point of the curve, so that it has no secret key.
    #[error(
        "validator {name:?}: {field} {key} is not a point of secp256k1, so it has no secret key; copy the public key \
         again"
    )]
    NoPoint {
        /// The validator.
        name: String,
        /// The field.
        field: &'static str,
        /// Its key.
        key: PublicKey,
    },
    /// The number of validators cannot form a committee.
    #[error(
        "there are {0} validators: a network has 1 to {MAX_MEMBERS}, and needs 4 to tolerate a faulty one"
    )]
    Size(usize),
    /// Two validators have the same name, so operators could not distinguish them.
    #[error("more than one validator is called {0:?}: give each its own name")]
    SameName(String),
    /// Two validators share a key, so one node would vote twice, or approve changes twice.
    #[error(
        "validators {first:?} and {second:?} share the key {key}: a public_key or governance_key belongs to one \
         validator, so each needs its own"
    )]
    SameKey {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
        /// The key.
        key: PublicKey,
    },
    /// A number outside its range, or one that contradicts another parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// An unknown client policy.
    #[error(
        "clients.submit is {0:?}: write \"open\" to accept transactions of every client, or \"registry\" to accept \
         only those of clients that a validator has registered"
    )]
    Submit(String),
}

/// What to do with a file of another version.
fn remedy(version: u64) -> &'static str {
    if version < FORMAT_VERSION.into() {
        "a network of that version cannot be continued; for a new network, run `quorate genesis new`, or write the \
         present version here, which gives another chain id, and create new data files"
    } else {
        "a newer program wrote the file, so use that program"
    }
}

/// All errors of a genesis: at least one, each on its own line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenesisErrors(Vec<GenesisError>);

impl GenesisErrors {
    /// `None` if there is no error.
    pub(crate) fn of(errors: Vec<GenesisError>) -> Option<Self> {
        (!errors.is_empty()).then_some(GenesisErrors(errors))
    }

    /// The errors, in the order of the file's sections.
    pub fn errors(&self) -> &[GenesisError] {
        &self.0
    }
}

impl From<GenesisError> for GenesisErrors {
    fn from(error: GenesisError) -> Self {
        GenesisErrors(vec![error])
    }
}

impl fmt::Display for GenesisErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for GenesisErrors {}

/// A warning to the operator about a valid genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Fewer than four validators.
    #[error(
        "number of validators: {validators}; fewer than 4 tolerate no fault: the network can stop or fork if one is faulty, so use at least 4"
    )]
    NoFaultTolerated {
        /// How many there are.
        validators: usize,
    },
    /// A genesis time long before this program existed.
    #[error("genesis_time_ms is {0}, which is before the year 2020: check that it is in milliseconds")]
    EarlyTime(u64),
    /// A genesis time ahead of the local clock.
    #[error(
        "genesis_time_ms is {genesis_time}, {}, ahead of the local clock: nothing can be ordered before {}, and transactions that are valid only until before the genesis time are refused as expired",
        moment(*genesis_time),
        moment(*possible_at)
    )]
    AheadOfClock {
        /// The time of the genesis.
        genesis_time: Timestamp,
        /// When the first block can be ordered.
        possible_at: Timestamp,
    },
}

/// A time as RFC 3339 text. Genesis times end before the year 2200, so formatting cannot panic.
fn moment(time: Timestamp) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.0)).to_string()
}
