//! Reads the parameters of a call, by name or by position, each of the right type.
//!
//! A mistyped name of an optional parameter must not be ignored silently, so unknown and surplus
//! parameters are refused. Values are checked by the table before serde reads them: its errors
//! would repeat whole values, which takes a second for a large one.

use std::fmt;

use quorate_api::{ErrorKind, Method, RpcError, excerpt};
use quorate_ledger::{PublicKey, TransactionId};
use serde::de::{DeserializeOwned, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::request::split;

/// The checked parameters of a call, in the order of the method's. Those that were omitted are
/// `None`.
#[derive(Debug)]
pub(crate) struct Arguments<'a>(std::vec::IntoIter<Option<&'a RawValue>>);

impl<'a> Arguments<'a> {
    /// Reads the parameters. Refuses missing, surplus, unknown and repeated parameters, and values of
    /// another type than the parameter has.
    ///
    /// # Errors
    /// `invalid_params`, which names the method and the parameter.
    pub(crate) fn read(method: &Method, params: Option<&'a RawValue>) -> Result<Self, RpcError> {
        let values = match params {
            None => Ok(vec![None; method.parameters.len()]),
            Some(params) if params.get().starts_with('[') => by_position(method, params),
            Some(params) => by_name(method, params),
        };
        let checked = values.and_then(|values| check(method, &values).map(|()| values));
        checked.map(|values| Arguments(values.into_iter())).map_err(|problem| {
            let message = format!(
                "invalid params for {}: {problem}; its parameters are {}",
                method.name,
                signature(method)
            );
            RpcError::new(ErrorKind::InvalidParams, message)
        })
    }

    /// The next parameter; an omitted one is read as null.
    ///
    /// # Errors
    /// `invalid_params`, only if the table accepts what `T` refuses.
    pub(crate) fn take<T: DeserializeOwned>(&mut self) -> Result<T, RpcError> {
        let value = self.0.next().flatten().unwrap_or(RawValue::NULL);
        serde_json::from_str(value.get()).map_err(|error| unreadable(&error))
    }

    /// The next parameter, a transaction's id.
    ///
    /// # Errors
    /// As [`Arguments::take`].
    pub(crate) fn take_id(&mut self) -> Result<TransactionId, RpcError> {
        self.take::<String>()?.parse().map_err(|error| unreadable(&error))
    }

    /// The next parameter, a public key; `None` if it is omitted.
    ///
    /// # Errors
    /// As [`Arguments::take`].
    pub(crate) fn take_key(&mut self) -> Result<Option<PublicKey>, RpcError> {
        let text: Option<String> = self.take()?;
        text.map(|text| text.parse().map_err(|error| unreadable(&error))).transpose()
    }
}

fn unreadable(error: &dyn fmt::Display) -> RpcError {
    RpcError::new(ErrorKind::InvalidParams, format!("invalid params: {error}"))
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

type Values<'a> = Vec<Option<&'a RawValue>>;

fn by_position<'a>(method: &Method, params: &'a RawValue) -> Result<Values<'a>, String> {
    let (values, count) = split(params, method.parameters.len());
    if count > values.len() {
        return Err(format!("{count} are too many"));
    }
    let mut values: Values<'_> = values.into_iter().map(Some).collect();
    values.resize(method.parameters.len(), None);
    Ok(values)
}

fn by_name<'a>(method: &Method, params: &'a RawValue) -> Result<Values<'a>, String> {
    // Half a surrogate pair is well-formed JSON, but not Unicode.
    let members = members(params, method.parameters.len()).ok_or("a name is not Unicode")?;
    let mut values = vec![None; method.parameters.len()];
    for (name, value) in members {
        let Some(place) = method.parameters.iter().position(|parameter| parameter.name == name) else {
            return Err(format!("{:?} is unknown", excerpt(&name)));
        };
        if values[place].replace(value).is_some() {
            return Err(format!("{name:?} is given twice"));
        }
    }
    Ok(values)
}

fn check(method: &Method, values: &[Option<&RawValue>]) -> Result<(), String> {
    for (parameter, value) in method.parameters.iter().zip(values) {
        let name = parameter.name;
        match value {
            Some(value) => {
                parameter.check(value.get()).map_err(|problem| format!("{name:?} {problem}"))?;
            }
            None if parameter.required => return Err(format!("{name:?} is missing")),
            None => {}
        }
    }
    Ok(())
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
        Arguments::read(Method::find(METHODS, method).unwrap(), raw.as_deref())
            .map(|_| ())
            .map_err(|error| error.message)
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

    #[test]
    fn parameters_are_taken_in_the_order_of_the_method() {
        let method = Method::find(METHODS, "chain_block").unwrap();
        for (params, expected) in [
            ("[7]", (7, None)),
            ("[7, false]", (7, Some(false))),
            (r#"{"full": true, "at": 7}"#, (7, Some(true))),
            (r#"{"full": null, "at": 7}"#, (7, None)),
        ] {
            let raw = RawValue::from_string(params.to_owned()).unwrap();
            let mut arguments = Arguments::read(method, Some(&raw)).unwrap();
            let taken: (u64, Option<bool>) = (arguments.take().unwrap(), arguments.take().unwrap());
            assert_eq!(taken, expected, "{params}");
        }
    }
}
