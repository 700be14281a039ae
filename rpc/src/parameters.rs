//! Whether a call has the parameters its method has. Their types are jsonrpsee's to check.

use std::fmt;

use quorate_api::{ErrorKind, Method, Parameter, RpcError};
use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::dispatch::shorten;

/// Refuses missing, surplus, unknown and repeated parameters. jsonrpsee itself ignores surplus and unknown
/// ones, so that a mistyped name would be taken for an absent one without a word.
pub(crate) fn check(method: &Method, params: Option<&RawValue>) -> Result<(), RpcError> {
    let text = params.map_or("[]", RawValue::get);
    let mut parser = serde_json::Deserializer::from_str(text);
    let checked = if text.starts_with('[') {
        parser.deserialize_seq(Positions(method))
    } else {
        parser.deserialize_map(Names(method))
    };
    checked.map_err(|error| {
        let message = format!("invalid params for {}: {error}; it takes {}", method.name, signature(method));
        RpcError::new(ErrorKind::InvalidParams, message)
    })
}

/// As in `(at, full?)`.
fn signature(method: &Method) -> String {
    let names: Vec<String> = method
        .parameters
        .iter()
        .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
        .collect();
    format!("({})", names.join(", "))
}

struct Positions<'a>(&'a Method);

impl<'de> Visitor<'de> for Positions<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut count = 0;
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        let parameters = self.0.parameters;
        if count > parameters.len() {
            return Err(A::Error::custom(format_args!("{count} are too many")));
        }
        missing(parameters.iter().skip(count))
    }
}

struct Names<'a>(&'a Method);

impl<'de> Visitor<'de> for Names<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let parameters = self.0.parameters;
        let mut given = vec![false; parameters.len()];
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<IgnoredAny>()?;
            let Some(index) = parameters.iter().position(|parameter| parameter.name == name) else {
                return Err(A::Error::custom(format_args!("{:?} is unknown", shorten(&name))));
            };
            if std::mem::replace(&mut given[index], true) {
                return Err(A::Error::custom(format_args!("{name:?} is given twice")));
            }
        }
        let absent = parameters.iter().zip(given).filter(|(_, given)| !given);
        missing(absent.map(|(parameter, _)| parameter))
    }
}

fn missing<'a, E: serde::de::Error>(absent: impl IntoIterator<Item = &'a Parameter>) -> Result<(), E> {
    match absent.into_iter().find(|parameter| parameter.required) {
        Some(parameter) => Err(E::custom(format_args!("{:?} is missing", parameter.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_api::METHODS;

    use super::*;

    fn verdict(method: &str, params: Option<&str>) -> Result<(), String> {
        let raw = params.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        check(Method::find(METHODS, method).unwrap(), raw.as_deref()).map_err(|error| error.message)
    }

    #[test]
    fn what_a_method_takes_is_let_through() {
        for (method, params) in [
            ("chain_head", None),
            ("chain_head", Some("[]")),
            ("chain_head", Some("{}")),
            ("chain_block", Some("[1]")),
            ("chain_block", Some("[1, true]")),
            ("chain_block", Some(r#"{"full": true, "at": 1}"#)),
            ("chain_block", Some(r#"{"at": "of any type"}"#)),
            ("network_validators", None),
        ] {
            assert_eq!(verdict(method, params), Ok(()), "{method} {params:?}");
        }
    }

    #[test]
    fn what_it_does_not_take_is_named() {
        for (method, params, said) in [
            ("chain_head", Some("[1]"), "1 are too many"),
            ("chain_block", None, "\"at\" is missing"),
            ("chain_block", Some("[]"), "\"at\" is missing"),
            ("chain_block", Some(r#"{"full": true}"#), "\"at\" is missing"),
            ("chain_block", Some("[1, true, 2]"), "3 are too many"),
            ("chain_block", Some(r#"{"at": 1, "ful": true}"#), "\"ful\" is unknown"),
            ("chain_block", Some(r#"{"at": 1, "at": 2}"#), "\"at\" is given twice"),
            ("tx_submit", Some(r#"{"transaction": "0x", "timeoutMs": 1}"#), "\"timeoutMs\" is unknown"),
        ] {
            let message = verdict(method, params).unwrap_err();
            assert!(message.contains(said), "{method} {params:?}: {message}");
            assert!(message.contains("it takes ("), "{message}");
        }
    }
}
