//! Names of members and clients.

use std::fmt;
use std::io::{Error, ErrorKind, Read};
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};
use quorate_ledger::bounded_bytes;

use crate::limits::MAX_NAME;

/// The name of a member or client: 1 to [`MAX_NAME`] of the characters `a-z`, `0-9` and `-`, as in
/// the genesis.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, BorshSerialize)]
pub struct Name(String);

/// The text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a name: use 1 to {MAX_NAME} of the characters a-z, 0-9 and -")]
pub struct NameError;

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let fits = !text.is_empty() && text.len() <= MAX_NAME as usize;
        (fits && text.bytes().all(allowed)).then(|| Name(text.to_owned())).ok_or(NameError)
    }
}

impl BorshDeserialize for Name {
    fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Self> {
        let invalid = || Error::new(ErrorKind::InvalidData, NameError);
        let bytes = bounded_bytes::<MAX_NAME, _>(reader)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| invalid())?;
        text.parse().map_err(|_| invalid())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use quorate_ledger::{decode, encode};

    #[test]
    fn names_have_the_characters_and_the_length_of_the_genesis() {
        for good in ["a", "bank-7", &"x".repeat(32)] {
            let name: Name = good.parse().unwrap();
            assert_eq!(decode::<Name>(&encode(&name)).unwrap(), name);
        }
        for bad in ["", "Bank", "a b", "é", &"x".repeat(33)] {
            assert_eq!(bad.parse::<Name>(), Err(NameError));
            assert!(decode::<Name>(&encode(&bad.to_owned())).is_err(), "{bad:?}");
        }
    }
}
