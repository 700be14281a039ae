//! The result of `rpc.discover`: well-formed, complete and correct.

use std::collections::BTreeSet;

use quorate_api::{ErrorKind, MAX_WAIT_MS, METHODS, Method, STREAM_METHODS};
use quorate_ledger::to_hex;
use serde_json::{Value, json};

use crate::tools::described::described;
use crate::tools::schema::resolve;
use crate::tools::web::Site;

/// An object has all required members and no unknown ones. `?` marks optional ones.
fn assert_members(what: &Value, members: &[&str]) {
    let object = what.as_object().unwrap_or_else(|| panic!("no object: {what}"));
    for member in members.iter().filter(|member| !member.ends_with('?')) {
        assert!(object.contains_key(*member), "{member} is missing in {what}");
    }
    let known: Vec<&str> = members.iter().map(|member| member.trim_end_matches('?')).collect();
    for member in object.keys() {
        assert!(known.contains(&member.as_str()), "{member} is surplus in {what}");
    }
}

/// All values of a member anywhere inside.
fn everywhere<'a>(value: &'a Value, member: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(member));
            object.values().for_each(|inner| everywhere(inner, member, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| everywhere(inner, member, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_obeys_the_specification() {
    let document = &described().await.0;
    assert_members(document, &["openrpc", "info", "methods", "components"]);
    assert_eq!(document["openrpc"], "1.3.2");
    assert_members(&document["info"], &["title", "version", "description", "license"]);
    assert_members(&document["info"]["license"], &["name"]);
    assert_members(&document["components"], &["schemas", "errors"]);

    let mut names = BTreeSet::new();
    for method in document["methods"].as_array().unwrap() {
        assert_members(method, &["name", "summary", "paramStructure", "params", "result", "errors"]);
        assert!(names.insert(method["name"].as_str().unwrap()), "names are unique: {method}");
        assert_eq!(method["paramStructure"], "either");
        let params = method["params"].as_array().unwrap();
        let mut parameters = BTreeSet::new();
        for param in params {
            assert_members(param, &["name", "summary", "required", "schema"]);
            assert!(parameters.insert(param["name"].as_str().unwrap()), "names are unique: {method}");
        }
        let required: Vec<bool> = params.iter().map(|param| param["required"].as_bool().unwrap()).collect();
        assert!(required.is_sorted_by(|one, next| one >= next), "required ones come first: {method}");
        assert_members(&method["result"], &["name", "schema"]);
        let errors = method["errors"].as_array().unwrap();
        errors.iter().for_each(|error| assert_members(error, &["$ref"]));
    }
    for (name, error) in document["components"]["errors"].as_object().unwrap() {
        assert_members(error, &["code", "message", "data"]);
        assert!(error["code"].is_i64() && !error["message"].as_str().unwrap().is_empty(), "{error}");
        assert_eq!(error["data"]["kind"], name.as_str());
    }
}

#[tokio::test]
async fn every_reference_resolves_and_every_schema_is_used() {
    let document = &described().await.0;
    let mut references = Vec::new();
    everywhere(document, "$ref", &mut references);
    let referred: BTreeSet<&str> = references.iter().map(|reference| reference.as_str().unwrap()).collect();
    for reference in references {
        assert!(resolve(document, reference).is_object());
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(name.chars().all(|letter| letter.is_ascii_alphanumeric()), "{name}");
        let used = referred.contains(format!("#/components/schemas/{name}").as_str());
        assert!(used || name == "ErrorData", "{name} is used by nothing");
    }
}

/// The described methods are those of the tables from which the server dispatches.
#[tokio::test]
async fn served_methods_are_described() {
    let document = &described().await.0;
    let described: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    let served: Vec<&str> = METHODS.iter().chain(STREAM_METHODS).map(|method| method.name).collect();
    assert_eq!(described, served);
    let kinds: BTreeSet<&str> =
        document["components"]["errors"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(kinds, ErrorKind::ALL.iter().map(|kind| kind.name()).collect());
}

/// No entry of the table of methods lacks its method.
#[tokio::test]
async fn described_methods_are_served() {
    let (site, id) = (Site::new(), to_hex(&[1; 32]));
    for method in METHODS {
        let response = site.respond(method.name, json!(fitting(method, &id))).await;
        let kind = &response["error"]["data"]["kind"];
        assert!(kind != "internal" && kind != "method_not_found", "{}: {response}", method.name);
    }
}

/// For every parameter, the schema accepts a value exactly if the server does.
#[tokio::test]
async fn parameters_are_described_as_they_are_read() {
    let (site, described) = (Site::new(), described().await);
    let id = to_hex(&[1; 32]);
    let samples = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(100),
        json!(101),
        json!(u64::from(u32::MAX) + 1),
        json!(u64::MAX),
        json!(-1),
        json!(1.5),
        json!(""),
        json!("0x"),
        json!("0x0"),
        json!("0x00"),
        json!("0xAB"),
        json!("1"),
        json!("none"),
        json!("accepted"),
        json!("committed"),
        json!("latest"),
        json!("Latest"),
        json!(id),
        json!(id.to_uppercase()),
        json!(&id[2..]),
        json!(to_hex(&[1; 33])),
        json!(to_hex(&[2; 33])),
        json!([{ "change": "remove_member", "name": "a" }]),
        json!([{ "change": "remove_member" }]),
        json!([{ "change": "set_submit_mode", "mode": "open", "more": 1 }]),
        json!([]),
        json!([id]),
        json!({}),
    ];
    for method in METHODS {
        for (position, parameter) in method.parameters.iter().enumerate() {
            for sample in &samples {
                let mut params = fitting(method, &id);
                params.resize(position.max(params.len()), Value::Null);
                if position < params.len() {
                    params[position] = sample.clone();
                } else {
                    params.push(sample.clone());
                }
                let response = site.respond(method.name, json!(params)).await;
                let read = response["error"]["data"]["kind"] != "invalid_params";
                let said = described.takes(method.name, parameter.name, sample);
                assert_eq!(read, said, "{}: {} = {sample}: {response}", method.name, parameter.name);
            }
        }
    }
}

/// Values for the required parameters that have no effect.
fn fitting(method: &Method, id: &str) -> Vec<Value> {
    let required = method.parameters.iter().filter(|parameter| parameter.required);
    let value = |name: &str| match name {
        "id" => json!(id),
        // Hex, but not a transaction.
        "transaction" => json!("0x00"),
        "changes" => json!([]),
        // The key with the secret key 1.
        "key" => json!("0x0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"),
        _ => json!(0),
    };
    required.map(|parameter| value(parameter.name)).collect()
}

#[tokio::test]
async fn defaults_are_values_of_their_parameters() {
    let described = described().await;
    for method in METHODS {
        for parameter in method.parameters {
            if let Some(default) = parameter.default {
                assert!(!parameter.required);
                assert!(described.takes(method.name, parameter.name, &default.into()), "{parameter:?}");
            }
        }
    }
    let timeout = Method::find(METHODS, "tx_submit").unwrap().parameters[2];
    assert!(timeout.summary.contains(&MAX_WAIT_MS.to_string()), "{timeout:?}");
}
