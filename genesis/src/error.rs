//! Why a genesis is refused, and what is odd about one that is not.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use quorate_ledger::{HexError, MAX_MEMBERS, PublicKey, Timestamp};

use crate::{FORMAT_VERSION, MAX_FILE_BYTES};

/// One thing that is wrong with a genesis. Its text is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// More bytes than any genesis needs.
    #[error("the file has {0} bytes, a genesis has at most {MAX_FILE_BYTES}: is it the right file?")]
    TooLarge(usize),
    /// Not TOML. Nothing else can be said about the file.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// Another version of the format, whose other fields mean nothing here.
    #[error(
        "version is {0}, this program reads version {FORMAT_VERSION}: use the program that wrote the file"
    )]
    Version(u64),
    /// A field that does not exist, perhaps misspelt.
    #[error("{field} is no field of a genesis; there are {known}")]
    Unknown {
        /// Path of the field.
        field: String,
        /// The fields that may stand there.
        known: String,
    },
    /// A field without a default is not there.
    #[error("{field} is missing: give {what}")]
    Missing {
        /// Path of the field.
        field: String,
        /// What belongs there.
        what: &'static str,
    },
    /// A value of another kind.
    #[error("{field} is {found}, it must be {expected}")]
    Kind {
        /// Path of the field.
        field: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// A name with other characters or of another length.
    #[error("{field} is {name:?}: use 1 to {limit} of the characters a-z, 0-9 and -")]
    Name {
        /// Path of the field, or what it names.
        field: &'static str,
        /// The name, shortened if it is long.
        name: String,
        /// Most characters.
        limit: usize,
    },
    /// Text that is no key.
    #[error("{field} is no key: {reason}; write the 33 bytes of the compressed public key as hex")]
    Key {
        /// Path of the field.
        field: String,
        /// What is wrong with the text.
        reason: HexError,
    },
    /// A key nobody can sign with.
    #[error("validator {name:?}: {key} is no point of secp256k1, so nobody has this key; copy it again")]
    NoPoint {
        /// The validator.
        name: String,
        /// Its key.
        key: PublicKey,
    },
    /// No committee is possible.
    #[error("there are {0} validators: a network has 1 to {MAX_MEMBERS}, and needs 4 to survive a fault")]
    Size(usize),
    /// Two validators would be told apart by nobody.
    #[error("more than one validator is called {0:?}: give each its own name")]
    SameName(String),
    /// One machine would vote twice.
    #[error("validators {first:?} and {second:?} have the same public_key {key}: each must have its own")]
    SameKey {
        /// One of the two.
        first: String,
        /// The other.
        second: String,
        /// Their key.
        key: PublicKey,
    },
    /// A number that would be wrong whatever the others are.
    #[error("{field} is {value}: choose {min} to {max}")]
    Range {
        /// Path of the field.
        field: String,
        /// What is there.
        value: u64,
        /// Least possible value.
        min: u64,
        /// Largest possible value.
        max: u64,
    },
    /// A number that contradicts another one.
    #[error("{field} is {value}, it must be {bound} {limit} ({meaning}): {reason}; {remedy}", remedy = bound.remedy(field, others))]
    Rule {
        /// Path of the field.
        field: &'static str,
        /// What is there.
        value: u64,
        /// On which side of the limit it must be.
        bound: Bound,
        /// The limit that follows from other fields.
        limit: u64,
        /// How it follows from them.
        meaning: &'static str,
        /// These other fields.
        others: &'static [&'static str],
        /// What would happen otherwise.
        reason: &'static str,
    },
    /// A rule for clients that this version does not have.
    #[error(
        "clients.submit is {0:?}: version {FORMAT_VERSION} has no registry of clients, the only value is \"open\""
    )]
    Submit(String),
}

/// On which side of a limit a number must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The limit or less.
    AtMost,
    /// The limit or more.
    AtLeast,
}

impl Bound {
    fn remedy(self, field: &str, others: &[&str]) -> String {
        let others = others.join(" or ");
        match self {
            Bound::AtMost => format!("lower {field} or raise {others}"),
            Bound::AtLeast => format!("raise {field} or lower {others}"),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::AtMost => "at most",
            Bound::AtLeast => "at least",
        })
    }
}

/// Everything that is wrong with a genesis: one error or more, one a line.
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

/// What an operator should know about a genesis that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Fewer than four validators.
    #[error(
        "number of validators: {validators}; fewer than 4 tolerate no fault, the network stops or forks when one misbehaves"
    )]
    NoFaultTolerated {
        /// How many there are.
        validators: usize,
    },
    /// A time long before this program existed.
    #[error("genesis_time_ms is {0}, which lies before the year 2020: is it in milliseconds?")]
    EarlyTime(u64),
    /// A time ahead of the caller's clock.
    #[error(
        "genesis_time_ms is {genesis_time}, {}, ahead of the clock here: nothing can be ordered before {}, and transactions that end before the genesis time are refused as expired",
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

/// A time as people write it. The times of a genesis end before the year 2200.
fn moment(time: Timestamp) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(time.0)).to_string()
}
