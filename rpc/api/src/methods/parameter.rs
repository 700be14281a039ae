//! A parameter of a method: its name, its meaning and the JSON that it accepts.

use std::borrow::Cow;

use quorate_ledger::{Hash, HexError, PublicKey, from_hex};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::chain::query::{BlockAtError, BlockLimit};
use crate::encoding::hex::Hex;
use crate::governance::change::ChangeJson;
use crate::governance::query::{ChangeList, KeyText, ListLimit, MAX_CHANGES_JSON_BYTES};
use crate::methods::catalogue::{DefaultValue, MakeSchema, schema_of};
use crate::{BlockAt, Bytes, MAX_BLOCKS, MAX_LISTED, Wait, excerpt};

/// Most bytes of JSON of a parameter with a short value. The longest, a hash, has 68; escapes
/// (`\u0030`) may make it longer.
const MAX_SHORT_BYTES: usize = 512;

/// A parameter of a method.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// Its name. Its index in [`crate::Method::parameters`] is its position.
    pub name: &'static str,
    /// Whether it must be given. An optional one may also be null.
    pub required: bool,
    /// Its meaning, in a sentence.
    pub summary: &'static str,
    /// The default, if it is always the same.
    pub default: Option<DefaultValue>,
    /// The schema of its values.
    pub schema: MakeSchema,
    check: fn(&str) -> Result<(), String>,
}

impl Parameter {
    pub(crate) const fn required<T: ParameterType>(name: &'static str, summary: &'static str) -> Self {
        Parameter {
            name,
            required: true,
            summary,
            default: None,
            schema: schema_of::<T>,
            check: check_as::<T>,
        }
    }

    pub(crate) const fn optional<T: ParameterType>(name: &'static str, summary: &'static str) -> Self {
        Parameter {
            required: false,
            schema: schema_of::<Option<T>>,
            ..Parameter::required::<T>(name, summary)
        }
    }

    pub(crate) const fn or(mut self, default: DefaultValue) -> Self {
        self.default = Some(default);
        self
    }

    /// Whether the parameter accepts a value, given as the text of well-formed JSON.
    ///
    /// Reads the value at most once, and does not read a value that is longer than all accepted
    /// ones.
    ///
    /// # Errors
    /// The expected and the actual value, as in `must be true or false, not 1`. At most some 300
    /// bytes.
    pub fn check(&self, json: &str) -> Result<(), String> {
        if !self.required && json == "null" {
            return Ok(());
        }
        (self.check)(json)
    }
}

/// The type of a parameter.
pub(crate) trait ParameterType: JsonSchema {
    /// Its values, for people.
    const EXPECTED: &'static str;

    /// Most bytes of JSON that are read; a longer value is refused unread.
    const MAX_JSON_BYTES: usize = MAX_SHORT_BYTES;

    /// Whether this JSON is a value of the type.
    ///
    /// # Errors
    /// The reason, if there is more to say than the expected values.
    fn check(json: &str) -> Result<(), Option<String>>;
}

fn check_as<T: ParameterType>(json: &str) -> Result<(), String> {
    let checked = if json.len() > T::MAX_JSON_BYTES {
        Err(Some(format!("it has {} bytes, but at most {} are read", json.len(), T::MAX_JSON_BYTES)))
    } else {
        T::check(json)
    };
    checked.map_err(|reason| {
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("must be {}, not {}{reason}", T::EXPECTED, excerpt(json))
    })
}

/// Whether serde reads it as this type.
fn is<T: DeserializeOwned>(json: &str) -> Result<(), Option<String>> {
    serde_json::from_str::<T>(json).map(|_| ()).map_err(|_| None)
}

/// The content of a JSON string; `None` for another value, or for half a surrogate pair.
fn text(json: &str) -> Option<Cow<'_, str>> {
    // A string without escapes is borrowed, not copied.
    serde_json::from_str::<&str>(json)
        .map(Cow::Borrowed)
        .or_else(|_| serde_json::from_str(json).map(Cow::Owned))
        .ok()
}

fn hex_problem(error: &HexError) -> Option<String> {
    Some(error.to_string())
}

impl ParameterType for u64 {
    const EXPECTED: &'static str = "an integer from 0 to 2^64 - 1";

    fn check(json: &str) -> Result<(), Option<String>> {
        is::<u64>(json)
    }
}

impl ParameterType for bool {
    const EXPECTED: &'static str = "true or false";

    fn check(json: &str) -> Result<(), Option<String>> {
        is::<bool>(json)
    }
}

const _: () = assert!(MAX_BLOCKS == 100 && MAX_LISTED == 100, "the texts below say so");

impl ParameterType for BlockLimit {
    const EXPECTED: &'static str = "an integer from 1 to 100";

    /// The method itself checks the range, because its error has the limit as data.
    fn check(json: &str) -> Result<(), Option<String>> {
        is::<u32>(json)
    }
}

impl ParameterType for ListLimit {
    const EXPECTED: &'static str = "an integer from 1 to 100";

    fn check(json: &str) -> Result<(), Option<String>> {
        let limit = serde_json::from_str::<u32>(json).map_err(|_| None)?;
        if (1..=MAX_LISTED).contains(&limit) { Ok(()) } else { Err(None) }
    }
}

impl ParameterType for ChangeList {
    const EXPECTED: &'static str = "a list of changes";
    const MAX_JSON_BYTES: usize = MAX_CHANGES_JSON_BYTES;

    fn check(json: &str) -> Result<(), Option<String>> {
        // The error of serde may repeat text of the value.
        serde_json::from_str::<Vec<ChangeJson>>(json)
            .map(|_| ())
            .map_err(|error| Some(excerpt(&error.to_string())))
    }
}

impl ParameterType for Wait {
    const EXPECTED: &'static str = "\"none\", \"accepted\" or \"committed\"";

    fn check(json: &str) -> Result<(), Option<String>> {
        // Without this check, serde would also accept {"none": null}.
        if json.starts_with('"') { is::<Wait>(json) } else { Err(None) }
    }
}

impl ParameterType for BlockAt {
    const EXPECTED: &'static str = "a height as a number, a block hash or \"latest\"";

    fn check(json: &str) -> Result<(), Option<String>> {
        is::<BlockAt>(json).map_err(|_| match text(json)?.parse::<BlockAt>() {
            Err(BlockAtError::Hash(error)) => hex_problem(&error),
            _ => None,
        })
    }
}

impl ParameterType for Hex<32> {
    const EXPECTED: &'static str = "32 bytes as lower-case hex after 0x";

    fn check(json: &str) -> Result<(), Option<String>> {
        text(json).ok_or(None)?.parse::<Hash>().map(|_| ()).map_err(|error| hex_problem(&error))
    }
}

impl ParameterType for KeyText {
    const EXPECTED: &'static str = "a public key as 33 bytes of lower-case hex after 0x";

    fn check(json: &str) -> Result<(), Option<String>> {
        text(json).ok_or(None)?.parse::<PublicKey>().map(|_| ()).map_err(|error| hex_problem(&error))
    }
}

/// Its length is limited only by that of the request.
impl ParameterType for Bytes {
    const EXPECTED: &'static str = "bytes as lower-case hex after 0x";
    const MAX_JSON_BYTES: usize = usize::MAX;

    fn check(json: &str) -> Result<(), Option<String>> {
        from_hex(&text(json).ok_or(None)?).map(|_| ()).map_err(|error| hex_problem(&error))
    }
}

impl ParameterType for String {
    const EXPECTED: &'static str = "a string that is not empty";
    const MAX_JSON_BYTES: usize = 4096;

    fn check(json: &str) -> Result<(), Option<String>> {
        if text(json).is_some_and(|text| !text.trim().is_empty()) { Ok(()) } else { Err(None) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn checked<T: ParameterType>(json: &str) -> Result<(), String> {
        Parameter::required::<T>("it", "").check(json)
    }

    #[test]
    fn every_type_accepts_its_values_in_every_spelling_of_json() {
        assert_eq!(checked::<u64>("18446744073709551615"), Ok(()));
        assert_eq!(checked::<bool>("false"), Ok(()));
        assert_eq!(checked::<Wait>("\"n\\u006fne\""), Ok(()));
        assert_eq!(checked::<Bytes>("\"0\\u0078ff\""), Ok(()));
        let hash = format!("\"0x{}\"", "ab".repeat(32));
        assert_eq!(checked::<Hex<32>>(&hash), Ok(()));
        for at in [&hash, "\"latest\"", "7"] {
            assert_eq!(checked::<BlockAt>(at), Ok(()));
        }
        let whole = Parameter::optional::<bool>("it", "");
        assert_eq!((whole.check("null"), whole.check("true")), (Ok(()), Ok(())));
        assert!(Parameter::required::<bool>("it", "").check("null").is_err());
    }

    #[test]
    fn the_error_of_a_wrong_value_says_what_is_expected_and_why() {
        for (result, said) in [
            (checked::<u64>("-1"), "must be an integer from 0 to 2^64 - 1, not -1"),
            (checked::<u64>("1.0"), "must be an integer from 0 to 2^64 - 1, not 1.0"),
            (checked::<bool>("1"), "must be true or false, not 1"),
            (checked::<Wait>("{\"none\":null}"), "not {\"none\":null}"),
            (checked::<BlockAt>("\"1\""), "\"latest\", not \"1\""),
            (checked::<BlockAt>("\"0x12\""), "(expected 32 bytes, found 1)"),
            (checked::<Hex<32>>("\"0X12\""), "(hex must start with 0x)"),
            (checked::<Bytes>("\"0xAB\""), "(hex must be pairs of the digits 0-9a-f, lower case)"),
            (checked::<Bytes>("[]"), "not []"),
            (checked::<String>("\" \""), "a string that is not empty"),
        ] {
            let problem = result.unwrap_err();
            assert!(problem.contains(said), "{problem}");
        }
    }

    #[test]
    fn a_value_that_is_too_long_is_neither_read_nor_repeated() {
        let long = format!("\"{}\"", "😀".repeat(900_000));
        for result in [
            checked::<u64>(&long),
            checked::<BlockAt>(&long),
            checked::<Wait>(&long),
            checked::<Bytes>(&long),
        ] {
            let problem = result.unwrap_err();
            assert!(problem.chars().count() < 200, "{problem}");
        }
        let digits = "1".repeat(1_000_000);
        assert!(checked::<u64>(&digits).unwrap_err().contains("it has 1000000 bytes"));
    }
}
