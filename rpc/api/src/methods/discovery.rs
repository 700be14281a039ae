//! The result of `rpc.discover`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An OpenRPC document as JSON text. Tools read it; this crate does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Discovery(pub Box<RawValue>);

impl JsonSchema for Discovery {
    fn schema_name() -> Cow<'static, str> {
        "Discovery".into()
    }

    /// The specification refers to its meta-schema by URL here. A tool that validates responses
    /// offline cannot follow the URL, so this schema only requires the members that every reader
    /// relies on.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An OpenRPC document; https://spec.open-rpc.org has its meta-schema.",
            "type": "object",
            "required": ["openrpc", "info", "methods", "components"],
        })
    }
}
