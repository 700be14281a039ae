//! `rpc.discover`: the interface as an OpenRPC document, made from the table of methods and the
//! types' schemas.

use std::sync::LazyLock;

use quorate_api::{Discovery, ErrorData, ErrorKind, METHODS, Method, Parameter, STREAM_METHODS};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};

/// Version of the specification that the document follows. Its schemas are JSON Schema draft 07.
const OPENRPC: &str = "1.3.2";

const DESCRIPTION: &str = "Interface of a node of a permissioned network that orders transactions by PBFT. Bytes are \
    lower-case hex after 0x; times are milliseconds since the Unix epoch. Integers go up to 2^64 - 1. `data` of every \
    error is an `ErrorData`; a request that reaches no method gets one of the errors that no method lists.";

/// The document. It is the same for every node of this version, so it is made only once, at the
/// first request.
pub(crate) fn discovery() -> Discovery {
    static DOCUMENT: LazyLock<Discovery> =
        LazyLock::new(|| Discovery(to_raw_value(&document()).expect("a JSON value has string keys")));
    DOCUMENT.clone()
}

fn document() -> Value {
    let settings = SchemaSettings::draft07().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let methods: Vec<Value> =
        METHODS.iter().chain(STREAM_METHODS).map(|method| described(method, &mut generator)).collect();
    let errors: Map<String, Value> =
        ErrorKind::ALL.iter().map(|kind| (kind.name().to_owned(), error(*kind))).collect();
    generator.subschema_for::<ErrorData>();
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "Quorate",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "methods": methods,
        "components": { "errors": errors, "schemas": generator.take_definitions(true) },
    })
}

fn described(method: &Method, generator: &mut SchemaGenerator) -> Value {
    let params: Vec<Value> =
        method.parameters.iter().map(|parameter| content(parameter, generator)).collect();
    let errors = Method::COMMON_ERRORS.iter().chain(method.errors);
    let errors: Vec<Value> =
        errors.map(|kind| json!({ "$ref": format!("#/components/errors/{kind}") })).collect();
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "either",
        "params": params,
        "result": { "name": "result", "schema": (method.result)(generator) },
        "errors": errors,
    })
}

fn content(parameter: &Parameter, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (parameter.schema)(generator);
    if let Some(default) = parameter.default {
        schema.insert("default".to_owned(), default.into());
    }
    json!({
        "name": parameter.name,
        "summary": parameter.summary,
        "required": parameter.required,
        "schema": schema,
    })
}

fn error(kind: ErrorKind) -> Value {
    json!({
        "code": kind.code(),
        "message": kind.meaning(),
        "data": { "kind": kind, "retryable": kind.is_retryable() },
    })
}
