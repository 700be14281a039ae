//! Checks that a call has the parameters of its method, each of the right type.
//!
//! jsonrpsee ignores surplus and unknown parameters, so it would silently ignore a mistyped name.
//! It also formats whole values into its errors, which takes a second for a large one. So this
//! module checks everything first, and jsonrpsee reads only valid parameters.

use std::fmt;

use quorate_api::{ErrorKind, Method, Parameter, RpcError, excerpt};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::request::split;

/// Refuses missing, surplus, unknown and repeated parameters, and values of another type than the
/// parameter has.
///
/// # Errors
/// `invalid_params`, which names the method and the parameter.
pub(crate) fn check(method: &Method, params: Option<&RawValue>) -> Result<(), RpcError> {
    let checked = match params {
        None => missing(method.parameters),
        Some(params) if params.get().starts_with('[') => check_positions(method, params),
        Some(params) => check_names(method, params),
    };
    checked.map_err(|problem| {
        let message = format!(
            "invalid params for {}: {problem}; its parameters are {}",
            method.name,
            signature(method)
        );
        RpcError::new(ErrorKind::InvalidParams, message)
    })
}

/// The parameters as text, as in `(at, full?)`.
fn signature(method: &Method) -> String {
    let names: Vec<String> = method
        .parameters
        .iter()
        .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
        .collect();
    format!("({})", names.join(", "))
}

fn check_positions(method: &Method, params: &RawValue) -> Result<(), String> {
    let (values, count) = split(params, method.parameters.len());
    if count > values.len() {
        return Err(format!("{count} are too many"));
    }
    for (parameter, value) in method.parameters.iter().zip(&values) {
        check_value(parameter, value)?;
    }
    missing(&method.parameters[count..])
}

fn check_names(method: &Method, params: &RawValue) -> Result<(), String> {
    // Half a surrogate pair is well-formed JSON, but not Unicode.
    let members = members(params, method.parameters.len()).ok_or("a name is not Unicode")?;
    let mut absent = method.parameters.to_vec();
    for (name, value) in &members {
        let Some(parameter) = method.parameters.iter().find(|parameter| parameter.name == name) else {
            return Err(format!("{:?} is unknown", excerpt(name)));
        };
        let before = absent.len();
        absent.retain(|other| other.name != parameter.name);
        if absent.len() == before {
            return Err(format!("{name:?} is given twice"));
        }
        check_value(parameter, value)?;
    }
    missing(&absent)
}

fn check_value(parameter: &Parameter, value: &RawValue) -> Result<(), String> {
    parameter.check(value.get()).map_err(|problem| format!("{:?} {problem}", parameter.name))
}

fn missing(absent: &[Parameter]) -> Result<(), String> {
    match absent.iter().find(|parameter| parameter.required) {
        Some(parameter) => Err(format!("{:?} is missing", parameter.name)),
        None => Ok(()),
    }
}

/// The members of an object, at most one more than `limit`: with that one, a member is unknown or
/// repeated. `None` if a name is not Unicode.
fn members(object: &RawValue, limit: usize) -> Option<Vec<(String, &RawValue)>> {
    struct Members(usize);

    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= self.0
                && let Some(member) = map.next_entry()?
            {
                kept.push(member);
            }
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }

    serde_json::Deserializer::from_str(object.get()).deserialize_map(Members(limit)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use quorate_api::METHODS;

    use super::*;

    fn checked(method: &str, params: Option<&str>) -> Result<(), String> {
        let raw = params.map(|text| RawValue::from_string(text.to_owned()).unwrap());
        check(Method::find(METHODS, method).unwrap(), raw.as_deref()).map_err(|error| error.message)
    }

    #[test]
    fn valid_parameters_are_accepted() {
        for (method, params) in [
            ("chain_head", None),
            ("chain_head", Some("[]")),
            ("chain_head", Some("{}")),
            ("chain_block", Some("[1]")),
            ("chain_block", Some("[1, true]")),
            ("chain_block", Some(r#"{"full": true, "at": 1}"#)),
            ("chain_block", Some(r#"{"at": "latest", "full": null}"#)),
            ("network_validators", None),
        ] {
            assert_eq!(checked(method, params), Ok(()), "{method} {params:?}");
        }
    }

    #[test]
    fn invalid_parameters_are_named() {
        for (method, params, said) in [
            ("chain_head", Some("[1]"), "1 are too many"),
            ("chain_block", None, "\"at\" is missing"),
            ("chain_block", Some("[]"), "\"at\" is missing"),
            ("chain_block", Some(r#"{"full": true}"#), "\"at\" is missing"),
            ("chain_block", Some("[1, true, 2]"), "3 are too many"),
            ("chain_block", Some(r#"{"at": 1, "ful": true}"#), "\"ful\" is unknown"),
            ("chain_block", Some(r#"{"at": 1, "at": 2}"#), "\"at\" is given twice"),
            ("chain_block", Some(r#"{"\ud800": 1}"#), "a name is not Unicode"),
            ("chain_block", Some(r#"{"at": "first"}"#), "\"at\" must be a height as a number"),
            ("chain_block", Some("[1, 1]"), "\"full\" must be true or false, not 1"),
            ("tx_submit", Some(r#"{"transaction": "0x", "timeoutMs": 1}"#), "\"timeoutMs\" is unknown"),
            ("tx_submit", Some(r#"["0x", {"committed": null}]"#), "\"wait\" must be \"none\""),
        ] {
            let message = checked(method, params).unwrap_err();
            assert!(message.contains(said), "{method} {params:?}: {message}");
            assert!(message.starts_with(&format!("invalid params for {method}: ")), "{message}");
            assert!(message.contains("its parameters are ("), "{message}");
        }
    }
}
