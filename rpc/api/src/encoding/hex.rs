//! Lower-case `0x` hex inside JSON.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use quorate_ledger::{Signature, from_hex, to_hex};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Opaque bytes, `"0x…"` in JSON. The enclosing object limits their number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(#[serde(with = "self")] pub Vec<u8>);

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Any number of bytes: lower-case hex after 0x, two digits each.",
            "type": "string",
            "pattern": "^0x([0-9a-f]{2})*$",
        })
    }
}

/// Describes a value of this many bytes in schemas. The ledger's types have no JSON, so a schema
/// cannot be derived from them for what [`text`] and its siblings write. This type has no values.
pub(crate) enum Hex<const BYTES: usize> {}

impl<const BYTES: usize> JsonSchema for Hex<BYTES> {
    fn schema_name() -> Cow<'static, str> {
        format!("Hex{BYTES}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = match BYTES {
            32 => "A hash or identifier",
            33 => "A compressed secp256k1 public key",
            64 => "An ECDSA signature with a low s",
            _ => "Bytes",
        };
        json_schema!({
            "description": format!("{description}: {BYTES} bytes as lower-case hex after 0x."),
            "type": "string",
            "pattern": format!("^0x[0-9a-f]{{{}}}$", 2 * BYTES),
        })
    }
}

/// Visits a ledger type whose [`Display`] and [`FromStr`] use hex.
struct Parse<T>(&'static str, PhantomData<T>);

impl<T> Visitor<'_> for Parse<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// For `#[serde(with = "hex::text")]`: one hash, identifier or key.
pub(crate) mod text {
    use super::{Deserializer, Display, FromStr, Parse, PhantomData, Serializer};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        deserializer.deserialize_str(Parse("lower-case hex after 0x", PhantomData))
    }
}

/// For `#[serde(with = "hex::list")]`: several hashes, identifiers or keys.
pub(crate) mod list {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    #[derive(Deserialize)]
    #[serde(bound = "T: FromStr, T::Err: Display")]
    struct Item<T>(#[serde(with = "super::text")] T);

    pub(crate) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        let items = Vec::<Item<T>>::deserialize(deserializer)?;
        Ok(items.into_iter().map(|item| item.0).collect())
    }
}

/// For `#[serde(with = "hex::option")]`: a hash, identifier or key, or null.
pub(crate) mod option {
    use super::{Deserialize, Deserializer, Display, FromStr, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(bound(serialize = "T: Display", deserialize = "T: FromStr, <T as FromStr>::Err: Display"))]
    struct Item<T>(#[serde(with = "super::text")] T);

    pub(crate) fn serialize<T: Display + Copy, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Item).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        Ok(Option::<Item<T>>::deserialize(deserializer)?.map(|item| item.0))
    }
}

pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_hex(bytes))
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(deserializer.deserialize_str(Parse::<RawBytes>("lower-case hex after 0x", PhantomData))?.0)
}

struct RawBytes(Vec<u8>);

impl FromStr for RawBytes {
    type Err = quorate_ledger::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        from_hex(text).map(RawBytes)
    }
}

/// A signature in its only accepted form. The ledger's type has no parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignatureText(pub(crate) Signature);

impl Display for SignatureText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl FromStr for SignatureText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = from_hex(text).map_err(|error| error.to_string())?;
        let found = bytes.len();
        let bytes = bytes.try_into().map_err(|_| format!("a signature has 64 bytes, not {found}"))?;
        Signature::from_bytes(bytes).map(SignatureText).map_err(|error| error.to_string())
    }
}

/// For `#[serde(with = "hex::signature")]`.
pub(crate) mod signature {
    use super::{Deserializer, Serializer, Signature, SignatureText};

    pub(crate) fn serialize<S: Serializer>(value: &Signature, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Signature, D::Error> {
        super::text::deserialize::<SignatureText, D>(deserializer).map(|text| text.0)
    }
}

/// For `#[serde(with = "hex::signatures")]`.
pub(crate) mod signatures {
    use super::{Deserializer, Serializer, Signature, SignatureText};

    pub(crate) fn serialize<S: Serializer>(values: &[Signature], serializer: S) -> Result<S::Ok, S::Error> {
        super::list::serialize(values, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Signature>, D::Error> {
        let texts = super::list::deserialize::<SignatureText, D>(deserializer)?;
        Ok(texts.into_iter().map(|text| text.0).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn bytes_have_one_text() {
        let bytes: Bytes = serde_json::from_str("\"0x00ff\"").unwrap();
        assert_eq!(bytes, Bytes(vec![0, 0xff]));
        assert_eq!(serde_json::to_string(&bytes).unwrap(), "\"0x00ff\"");
        assert_eq!(serde_json::from_str::<Bytes>("\"0x\"").unwrap(), Bytes(Vec::new()));
        for refused in ["\"0X00\"", "\"0x0\"", "\"0xFF\"", "\"00ff\"", "\"\"", "255", "null", "[0]"] {
            assert!(serde_json::from_str::<Bytes>(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_signature_has_its_length_and_a_low_s() {
        let parse = |bytes: &[u8]| to_hex(bytes).parse::<SignatureText>();
        assert!(parse(&[1; 63]).unwrap_err().contains("not 63"));
        assert!(parse(&[1; 64]).is_ok());
        let mut high = [1; 64];
        high[32] = 0xff;
        assert!(parse(&high).is_err());
    }
}
