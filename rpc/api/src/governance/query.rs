//! Parameters of the governance methods.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::governance::change::ChangeJson;

/// The largest and default `limit` of `governance_clients`, `governance_history` and
/// `network_epochs`.
pub const MAX_LISTED: u32 = 100;

/// Most changes of `governance_preview`: as many as a proposal may have.
pub const MAX_PREVIEW_CHANGES: usize = quorate_governance::limits::MAX_CHANGES as usize;

/// Most bytes of the JSON of these changes.
pub(crate) const MAX_CHANGES_JSON_BYTES: usize = 16 << 10;

/// Stands for a `limit` of these lists in schemas.
pub(crate) enum ListLimit {}

impl JsonSchema for ListLimit {
    fn schema_name() -> Cow<'static, str> {
        "ListLimit".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MAX_LISTED })
    }
}

/// Stands for a public key of which not even its first byte is wrong.
pub(crate) enum KeyText {}

impl JsonSchema for KeyText {
    fn schema_name() -> Cow<'static, str> {
        "KeyText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^0x0[23][0-9a-f]{64}$" })
    }
}

/// Stands for the changes of a proposal.
pub(crate) enum ChangeList {}

impl JsonSchema for ChangeList {
    fn schema_name() -> Cow<'static, str> {
        "ChangeList".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<ChangeJson>::json_schema(generator)
    }
}
