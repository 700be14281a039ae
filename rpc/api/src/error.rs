//! One shape for every error: `{ code, message, data: { kind, retryable, retry_after_ms?, … } }`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::encoding::excerpt::cut_off;

/// Most bytes of the message of an error, here and as clients read it.
///
/// Untrusted text is shortened where it is put into a message; this limit also covers a place that
/// forgets it.
pub const MAX_MESSAGE_BYTES: usize = 1024;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = ($name:literal, $code:literal, $retryable:literal),)*) => {
        /// What went wrong, for programs. Names and codes are stable: none is ever reused or
        /// renumbered.
        ///
        /// The errors of JSON-RPC keep their codes. The others have codes from -32069 to -32020,
        /// which JSON-RPC libraries do not use themselves.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorKind {
            $($(#[doc = $doc])* #[serde(rename = $name)] $kind,)*
            /// A kind that this version does not know, from a node that is newer than the client.
            #[serde(other, rename = "other")]
            Other,
        }

        impl ErrorKind {
            /// All kinds that a node of this version can return.
            pub const ALL: &[ErrorKind] = &[$(ErrorKind::$kind),*];

            /// The JSON-RPC error code.
            pub const fn code(self) -> i32 {
                match self {
                    $(ErrorKind::$kind => $code,)*
                    ErrorKind::Other => -32000,
                }
            }

            /// The name in `data.kind`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorKind::$kind => $name,)*
                    ErrorKind::Other => "other",
                }
            }

            /// What it means, in a sentence or two.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(ErrorKind::$kind => concat!($($doc),*).trim_ascii(),)*
                    ErrorKind::Other => "a kind that this version does not know",
                }
            }

            /// Whether the same request may succeed later or on another node.
            pub const fn is_retryable(self) -> bool {
                match self {
                    $(ErrorKind::$kind => $retryable,)*
                    ErrorKind::Other => false,
                }
            }

            /// The kind with this code.
            pub const fn of_code(code: i32) -> Option<ErrorKind> {
                match code {
                    $($code => Some(ErrorKind::$kind),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// The body is not JSON.
    ParseError = ("parse_error", -32700, false),
    /// JSON, but no request object of JSON-RPC 2.0.
    InvalidRequest = ("invalid_request", -32600, false),
    /// There is no such method.
    MethodNotFound = ("method_not_found", -32601, false),
    /// Missing, surplus or wrong parameters.
    InvalidParams = ("invalid_params", -32602, false),
    /// A fault of the node; its log says more.
    Internal = ("internal", -32603, false),

    /// The bytes are not the canonical encoding of a transaction.
    TransactionMalformed = ("transaction_malformed", -32020, false),
    /// Larger than the network accepts.
    TransactionTooLarge = ("transaction_too_large", -32021, false),
    /// Signed with another key than the sender's, or for another chain.
    BadSignature = ("bad_signature", -32022, false),
    /// The payload of a governance transaction is not an operation.
    OperationMalformed = ("operation_malformed", -32023, false),
    /// `valid_until_ms` has passed.
    TransactionExpired = ("transaction_expired", -32024, false),
    /// `valid_until_ms` is further ahead than the network allows.
    LifetimeTooLong = ("lifetime_too_long", -32025, false),
    /// The sender is not registered as a client, or is neither a member nor a candidate.
    SenderUnknown = ("sender_unknown", -32026, false),
    /// The members revoked the sender.
    SenderRevoked = ("sender_revoked", -32027, false),
    /// The transaction exceeds the quota of its member or client in a block.
    Quota = ("quota", -32028, false),

    /// The pool of waiting transactions is full.
    PoolFull = ("pool_full", -32030, true),
    /// The sender has as many waiting transactions as one sender may have.
    SenderQuota = ("sender_quota", -32031, true),

    /// The stream would begin too far above this node's newest block, which is in
    /// `data.head_height`; another node may be further ahead.
    Syncing = ("syncing", -32040, true),
    /// The node is stopping, or it failed to read its ledger; use another node.
    Unavailable = ("unavailable", -32041, true),
    /// The node is at one of its limits: it did not run the request, or it has no memory for the
    /// response.
    Overloaded = ("overloaded", -32042, true),
    /// More requests from one address than the node accepts; nothing was run.
    RateLimited = ("rate_limited", -32043, true),
    /// The node is an observer and orders nothing; submit the transaction to a validator.
    Observer = ("observer", -32044, true),

    /// This node no longer holds the block; `data.earliest_height` is the lowest height that it
    /// holds.
    Pruned = ("pruned", -32050, false),
    /// A stream of blocks ends; `data.reason` says why, and `data.next_height` from which height to
    /// continue.
    SubscriptionEnded = ("subscription_ended", -32051, true),
    /// The node's disk has damaged the requested data; use another node.
    StorageDamaged = ("storage_damaged", -32052, true),

    /// The request body has more bytes than the node reads.
    RequestTooLarge = ("request_too_large", -32060, false),
    /// The batch has more entries than the node accepts.
    BatchTooLarge = ("batch_too_large", -32061, false),
    /// The response would have more bytes than the node sends; request less.
    ResponseTooLarge = ("response_too_large", -32062, false),
    /// The request body did not arrive in time.
    RequestTimeout = ("request_timeout", -32063, true),
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl JsonSchema for ErrorKind {
    fn schema_name() -> Cow<'static, str> {
        "ErrorKind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
        json_schema!({
            "description": "What went wrong, for programs. Later versions may add kinds.",
            "type": "string",
            "enum": names,
        })
    }
}

/// `data` of every error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorData {
    /// What went wrong, for programs.
    pub kind: ErrorKind,
    /// Whether the same request may succeed later or on another node.
    pub retryable: bool,
    /// When to try again, in milliseconds, if the node can estimate it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Further values of the kind, such as `limit` or `earliest_height`.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

/// An error of the interface, in the shape of a JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({})", data.kind)]
pub struct RpcError {
    /// The JSON-RPC code.
    pub code: i32,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// The same for programs.
    pub data: ErrorData,
}

impl RpcError {
    /// An error of this kind. A message of more than [`MAX_MESSAGE_BYTES`] is cut off.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        RpcError {
            code: kind.code(),
            message: cut_off(message.into(), MAX_MESSAGE_BYTES),
            data: ErrorData {
                kind,
                retryable: kind.is_retryable(),
                retry_after_ms: None,
                details: Map::new(),
            },
        }
    }

    /// Reads the members of an error object of any JSON-RPC server. One without the `data` of this
    /// interface gets a kind from its code, and text in its `data` is added to the message.
    pub fn received(code: i32, message: &str, data: Option<&RawValue>) -> Self {
        if let Some(data) = data.and_then(|raw| serde_json::from_str::<ErrorData>(raw.get()).ok()) {
            return RpcError { code, message: cut_off(message.to_owned(), MAX_MESSAGE_BYTES), data };
        }
        let kind = ErrorKind::of_code(code).unwrap_or(ErrorKind::Other);
        let message = match data.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()) {
            Some(reason) => format!("{message}: {reason}"),
            None => message.to_owned(),
        };
        RpcError { code, ..RpcError::new(kind, message) }
    }

    /// Sets when to try again.
    #[must_use]
    pub fn retry_after_ms(mut self, milliseconds: u64) -> Self {
        self.data.retry_after_ms = Some(milliseconds);
        self
    }

    /// Adds a value to `data`.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.details.insert(name.to_owned(), value.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.data.kind
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn kinds_have_distinct_stable_names_and_codes() {
        let table: Vec<(&str, i32)> = ErrorKind::ALL.iter().map(|kind| (kind.name(), kind.code())).collect();
        let expected = [
            ("parse_error", -32700),
            ("invalid_request", -32600),
            ("method_not_found", -32601),
            ("invalid_params", -32602),
            ("internal", -32603),
            ("transaction_malformed", -32020),
            ("transaction_too_large", -32021),
            ("bad_signature", -32022),
            ("operation_malformed", -32023),
            ("transaction_expired", -32024),
            ("lifetime_too_long", -32025),
            ("sender_unknown", -32026),
            ("sender_revoked", -32027),
            ("quota", -32028),
            ("pool_full", -32030),
            ("sender_quota", -32031),
            ("syncing", -32040),
            ("unavailable", -32041),
            ("overloaded", -32042),
            ("rate_limited", -32043),
            ("observer", -32044),
            ("pruned", -32050),
            ("subscription_ended", -32051),
            ("storage_damaged", -32052),
            ("request_too_large", -32060),
            ("batch_too_large", -32061),
            ("response_too_large", -32062),
            ("request_timeout", -32063),
        ];
        assert_eq!(table, expected);
        let codes: BTreeSet<i32> = table.iter().map(|(_, code)| *code).collect();
        assert_eq!(codes.len(), table.len());
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::of_code(kind.code()), Some(*kind));
            let name = serde_json::to_value(kind).unwrap();
            assert_eq!(name, kind.name());
            assert_eq!(serde_json::from_value::<ErrorKind>(name).unwrap(), *kind);
        }
    }

    #[test]
    fn an_error_survives_the_wire() {
        let error = RpcError::new(ErrorKind::PoolFull, "the pool is full")
            .retry_after_ms(250)
            .detail("limit", 50_000);
        let json = serde_json::to_value(&error).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "code": -32030,
                "message": "the pool is full",
                "data": { "kind": "pool_full", "retryable": true, "retry_after_ms": 250, "limit": 50_000 },
            })
        );
        assert_eq!(serde_json::from_value::<RpcError>(json).unwrap(), error);
        let data = to_raw_value(&error.data).unwrap();
        assert_eq!(RpcError::received(error.code, &error.message, Some(&data)), error);
    }

    #[test]
    fn errors_of_other_servers_are_understood() {
        let foreign = to_raw_value("expected a number").unwrap();
        let error = RpcError::received(-32602, "Invalid params", Some(&foreign));
        assert_eq!(error.kind(), ErrorKind::InvalidParams);
        assert_eq!(error.message, "Invalid params: expected a number");

        let newer = serde_json::json!({ "kind": "not_thought_of_yet", "retryable": true });
        let error = RpcError::received(-32099, "later", Some(&to_raw_value(&newer).unwrap()));
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(error.data.retryable, "the node decides, not the table of this version");
        assert_eq!(error.code, -32099);
    }
}
