//! Canonical borsh: each value has one encoding, and every claimed length is checked before the
//! content is read.

use std::io::{Error, ErrorKind, Read};

use borsh::{BorshDeserialize, BorshSerialize};

/// The bytes are not the canonical encoding of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a canonical encoding of {what}: {reason}")]
pub struct DecodeError {
    /// The type that was expected.
    pub what: &'static str,
    /// Why decoding failed.
    pub reason: String,
}

/// Encodes a value. The in-memory writer cannot fail, so neither can this.
pub fn encode<T: BorshSerialize + ?Sized>(value: &T) -> Vec<u8> {
    borsh::to_vec(value).expect("writing to a vector cannot fail")
}

/// Decodes a value from exactly these bytes.
///
/// # Errors
/// [`DecodeError`] for trailing bytes, unknown tags, and vectors longer than their maximum.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, DecodeError> {
    borsh::from_slice(bytes)
        .map_err(|error| DecodeError { what: short_name::<T>(), reason: error.to_string() })
}

/// The name of a type without its path and its parameters.
fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let outer = full.split('<').next().unwrap_or(full);
    outer.rsplit("::").next().unwrap_or(outer)
}

/// Reads a vector of at most `MAX` elements; for
/// `#[borsh(deserialize_with = "bounded::<MAX, _, _>")]`.
///
/// Plain borsh accepts any claimed length and allocates as elements arrive. A short message could
/// then become a large vector of small elements.
///
/// # Errors
/// A length above `MAX`, or an element that does not decode.
pub fn bounded<const MAX: u32, R: Read, T: BorshDeserialize>(reader: &mut R) -> std::io::Result<Vec<T>> {
    let count = u32::deserialize_reader(reader)?;
    if count > MAX {
        return Err(Error::new(ErrorKind::InvalidData, format!("{count} elements where at most {MAX} fit")));
    }
    (0..count).map(|_| T::deserialize_reader(reader)).collect()
}

/// Bytes allocated for a byte string before any of it is read. Longer strings grow as they arrive.
const UNSEEN_BYTES: usize = 4096;

/// Reads a byte string of at most `MAX` bytes, in one piece.
pub fn bounded_bytes<const MAX: u32, R: Read>(reader: &mut R) -> std::io::Result<Vec<u8>> {
    let count = u32::deserialize_reader(reader)?;
    if count > MAX {
        return Err(Error::new(ErrorKind::InvalidData, format!("{count} bytes where at most {MAX} fit")));
    }
    let expected = usize::try_from(count).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(expected.min(UNSEEN_BYTES));
    // `take` limits the read, and the vector grows only with bytes that arrive. So a false length
    // costs almost nothing.
    reader.take(u64::from(count)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != u64::from(count) {
        return Err(Error::new(ErrorKind::InvalidData, "byte string ends early"));
    }
    Ok(bytes)
}
