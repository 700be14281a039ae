//! JSON Schema, as far as the document uses it. An unknown keyword is a failure, so that no part of
//! a schema is ignored.

use regex::Regex;
use serde_json::Value;

/// Whether a value conforms to a schema; references point into `document`.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        other => panic!("no schema: {other}"),
    };
    for (keyword, argument) in keywords {
        check_keyword(document, schema, keyword, argument, value)
            .map_err(|why| format!("{keyword} {argument}: {why}"))?;
    }
    Ok(())
}

fn check_keyword(
    document: &Value,
    schema: &Value,
    keyword: &str,
    argument: &Value,
    value: &Value,
) -> Result<(), String> {
    let alternatives = || argument.as_array().expect("a list of schemas").iter();
    let taken_by = || alternatives().filter(|schema| check(document, schema, value).is_ok()).count();
    let verdict = match keyword {
        "$ref" => return check(document, resolve(document, argument), value),
        "allOf" => return alternatives().try_for_each(|schema| check(document, schema, value)),
        "anyOf" => taken_by() > 0,
        "oneOf" => taken_by() == 1,
        "type" => match argument {
            Value::Array(types) => types.iter().any(|name| is_a(value, name)),
            name => is_a(value, name),
        },
        "const" => value == argument,
        "enum" => argument.as_array().expect("a list of values").contains(value),
        "pattern" => {
            let pattern = Regex::new(argument.as_str().expect("a pattern")).expect("a regular expression");
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minimum" => number(value).is_none_or(|value| value >= number(argument).expect("a number")),
        "maximum" => number(value).is_none_or(|value| value <= number(argument).expect("a number")),
        "required" => {
            let names = argument.as_array().expect("a list of names");
            value.as_object().is_none_or(|members| {
                names.iter().all(|name| members.contains_key(name.as_str().expect("a name")))
            })
        }
        "properties" => return check_properties(document, argument, value),
        "additionalProperties" => return check_others(document, schema, argument, value),
        "items" => {
            return value
                .as_array()
                .map_or(Ok(()), |items| items.iter().try_for_each(|item| check(document, argument, item)));
        }
        "description" | "title" => argument.is_string(),
        // The generator's formats of integers, and defaults.
        "format" | "default" => true,
        other => panic!("unknown keyword {other} in {schema}"),
    };
    if verdict { Ok(()) } else { Err(format!("not so: {value}")) }
}

fn check_properties(document: &Value, properties: &Value, value: &Value) -> Result<(), String> {
    let members = properties.as_object().expect("an object of schemas");
    for (name, schema) in members {
        if let Some(member) = value.get(name) {
            check(document, schema, member)?;
        }
    }
    Ok(())
}

fn check_others(document: &Value, schema: &Value, others: &Value, value: &Value) -> Result<(), String> {
    let known = |name: &String| schema.pointer("/properties").is_some_and(|known| known.get(name).is_some());
    let Some(members) = value.as_object() else {
        return Ok(());
    };
    for (name, member) in members.iter().filter(|(name, _)| !known(name)) {
        if *others == Value::Bool(false) {
            return Err(format!("{name} is not described"));
        }
        check(document, others, member)?;
    }
    Ok(())
}

/// The target of a reference.
pub(crate) fn resolve<'a>(document: &'a Value, reference: &Value) -> &'a Value {
    let pointer = reference.as_str().and_then(|text| text.strip_prefix('#')).expect("a reference inside");
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn is_a(value: &Value, name: &Value) -> bool {
    match name.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

fn number(value: &Value) -> Option<i128> {
    value.as_u64().map(i128::from).or(value.as_i64().map(i128::from))
}

/// The checker detects violations.
#[test]
fn the_checker_distinguishes_valid_from_invalid() {
    use serde_json::json;
    let document = json!({ "components": { "schemas": { "Digit": { "type": "integer", "minimum": 0, "maximum": 9 } } } });
    let digit = json!({ "$ref": "#/components/schemas/Digit" });
    let closed = json!({
        "type": "object",
        "properties": { "a": digit, "b": { "type": ["string", "null"], "pattern": "^x+$" } },
        "required": ["a"],
        "additionalProperties": false,
    });
    let word = json!({ "oneOf": [{ "const": "x" }, { "enum": ["x", "y"] }] });
    let list = json!({ "type": "array", "items": { "anyOf": [digit, { "type": "boolean" }] } });
    for (schema, right, wrong) in [
        (&digit, vec![json!(0), json!(9)], vec![json!(10), json!(-1), json!(1.5), json!("1"), json!(null)]),
        (
            &closed,
            vec![json!({ "a": 1 }), json!({ "a": 1, "b": null }), json!({ "a": 1, "b": "xx" })],
            vec![
                json!({}),
                json!({ "a": 10 }),
                json!({ "a": 1, "b": "y" }),
                json!({ "a": 1, "c": 1 }),
                json!([]),
            ],
        ),
        (&word, vec![json!("y")], vec![json!("x"), json!("z")]),
        (&list, vec![json!([]), json!([1, true])], vec![json!([1, "x"]), json!({})]),
    ] {
        for value in right {
            assert_eq!(check(&document, schema, &value), Ok(()), "{value}");
        }
        for value in wrong {
            assert!(check(&document, schema, &value).is_err(), "{schema} takes {value}");
        }
    }
}
