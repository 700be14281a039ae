//! What `rpc.discover` answers.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// An OpenRPC document, as JSON text: it is read by tools, not by this crate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Discovery(pub Box<RawValue>);

impl JsonSchema for Discovery {
    fn schema_name() -> Cow<'static, str> {
        "Discovery".into()
    }

    /// The specification refers to its meta-schema by URL here. Whoever validates answers offline could not
    /// follow it, so the schema says only what every reader relies on.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An OpenRPC document; https://spec.open-rpc.org has its meta-schema.",
            "type": "object",
            "required": ["openrpc", "info", "methods", "components"],
        })
    }
}
