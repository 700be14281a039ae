//! JSON-RPC 2.0 framing, exactly as specified.
//!
//! Ids are returned exactly as they were written. Parameters stay text until the method is known.

use std::fmt;

use quorate_api::{ErrorKind, RpcError};
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Most bytes of an id, as written.
pub(crate) const MAX_ID_BYTES: usize = 256;

/// The content of a body.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// One request.
    Single(Entry<'a>),
    /// Several requests, in a non-empty array.
    Batch(Vec<Entry<'a>>),
}

/// One request, valid or not.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    /// To be run, and to be responded to under this id.
    Call(&'a RawValue, Call<'a>),
    /// To be run without a response.
    Notification(Call<'a>),
    /// Not a valid request; gets an error under its id, or under null if it has none.
    Invalid(&'a RawValue, RpcError),
}

/// A method to run, with its parameters.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: String,
    /// An array or object.
    pub(crate) params: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// The calls in it, including notifications.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call<'a>> {
        let entries = match self {
            Message::Single(entry) => std::slice::from_ref(entry),
            Message::Batch(entries) => entries,
        };
        entries.iter().filter_map(|entry| match entry {
            Entry::Call(_, call) | Entry::Notification(call) => Some(call),
            Entry::Invalid(..) => None,
        })
    }
}

/// Reads a body.
///
/// # Errors
/// The error for the whole body, under the id null.
pub(crate) fn parse(body: &[u8], max_batch: usize) -> Result<Message<'_>, RpcError> {
    let whole: &RawValue = serde_json::from_slice(body)
        .map_err(|error| RpcError::new(ErrorKind::ParseError, format!("the body is not JSON: {error}")))?;
    if !whole.get().starts_with('[') {
        return Ok(Message::Single(entry(whole)));
    }
    let (entries, count) = split(whole, max_batch);
    if count > max_batch {
        let message =
            format!("the batch has {count} entries, but the node accepts {max_batch}; send several batches");
        return Err(RpcError::new(ErrorKind::BatchTooLarge, message).detail("limit", max_batch));
    }
    if entries.is_empty() {
        return Err(invalid("a batch must have at least one entry"));
    }
    Ok(Message::Batch(entries.into_iter().map(entry).collect()))
}

/// The elements of an array, up to a limit, and how many there are.
pub(crate) fn split(array: &RawValue, limit: usize) -> (Vec<&RawValue>, usize) {
    struct Elements(usize);

    impl<'de> Visitor<'de> for Elements {
        type Value = (Vec<&'de RawValue>, usize);

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < self.0 {
                match elements.next_element()? {
                    Some(element) => kept.push(element),
                    None => {
                        let count = kept.len();
                        return Ok((kept, count));
                    }
                }
            }
            let mut count = kept.len();
            while elements.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok((kept, count))
        }
    }

    serde_json::Deserializer::from_str(array.get())
        .deserialize_seq(Elements(limit))
        .expect("the text is JSON and starts like an array")
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
}

/// Distinguishes a member that is null from one that is absent.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn invalid(reason: &str) -> RpcError {
    RpcError::new(ErrorKind::InvalidRequest, format!("not a JSON-RPC 2.0 request: {reason}"))
}

fn entry(raw: &RawValue) -> Entry<'_> {
    if !raw.get().starts_with('{') {
        return Entry::Invalid(RawValue::NULL, invalid("a request is an object"));
    }
    let members: Members<'_> = match serde_json::from_str(raw.get()) {
        Ok(members) => members,
        Err(error) => return Entry::Invalid(RawValue::NULL, invalid(&error.to_string())),
    };
    if let Some(id) = members.id
        && let Err(reason) = check_id(id)
    {
        return Entry::Invalid(RawValue::NULL, invalid(&reason));
    }
    match (call(&members), members.id) {
        (Ok(call), Some(id)) => Entry::Call(id, call),
        (Ok(call), None) => Entry::Notification(call),
        (Err(error), id) => Entry::Invalid(id.unwrap_or(RawValue::NULL), error),
    }
}

/// Limits the length of an id, because it is part of error responses, which must stay small to need
/// no memory reservation.
fn check_id(id: &RawValue) -> Result<(), String> {
    let text = id.get();
    if text.len() > MAX_ID_BYTES {
        return Err(format!("id has {} bytes, but at most {MAX_ID_BYTES} are accepted", text.len()));
    }
    let is_id = match text.as_bytes().first() {
        Some(b'"') => string(id).is_some(),
        Some(b'-' | b'0'..=b'9') => true,
        _ => text == "null",
    };
    if is_id { Ok(()) } else { Err("id must be a string, a number or null".to_owned()) }
}

fn call<'a>(members: &Members<'a>) -> Result<Call<'a>, RpcError> {
    if members.jsonrpc.and_then(string).as_deref() != Some("2.0") {
        return Err(invalid("jsonrpc must be \"2.0\""));
    }
    let method = members.method.and_then(string).ok_or_else(|| invalid("method must be a string"))?;
    let params = match members.params {
        None => None,
        Some(params) if params.get().starts_with(['[', '{']) => Some(params),
        Some(_) => return Err(invalid("params must be an array or an object")),
    };
    Ok(Call { method, params })
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}
