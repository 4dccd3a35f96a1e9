//! Whether a document is as a JSON schema says: the keywords that our published schemas use.
//!
//! Invariant: a keyword that it does not know is an error, so nothing that a schema asks for is passed over in silence.

use regex::Regex;
use serde_json::Value;

/// Everything in `value` that is not as `schema` says.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    look(schema, schema, value, "", &mut faults);
    faults
}

fn look(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    if let Value::Bool(all) = schema {
        if !all {
            faults.push(format!("{at}: may not be there"));
        }
        return;
    }
    let fits = |schema: &Value| {
        let mut faults = Vec::new();
        look(root, schema, value, at, &mut faults);
        faults.is_empty()
    };
    let number = |bound: &Value| bound.as_f64().unwrap();
    for (keyword, wanted) in schema.as_object().expect("a schema is an object") {
        let is_good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "definitions" => true,
            "$ref" => {
                let target = root.pointer(wanted.as_str().unwrap().trim_start_matches('#'));
                look(
                    root,
                    target.expect("a reference leads somewhere"),
                    value,
                    at,
                    faults,
                );
                true
            }
            "type" => match wanted {
                Value::Array(all) => all.iter().any(|t| is_of(value, t)),
                one => is_of(value, one),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "pattern" => value.as_str().is_none_or(|text| {
                let pattern = Regex::new(wanted.as_str().unwrap()).unwrap();
                pattern.is_match(text)
            }),
            "minLength" => value
                .as_str()
                .is_none_or(|s| s.chars().count() as f64 >= number(wanted)),
            "minimum" => value.as_f64().is_none_or(|n| n >= number(wanted)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(wanted)),
            "minItems" => length(value).is_none_or(|n| n >= number(wanted)),
            "maxItems" => length(value).is_none_or(|n| n <= number(wanted)),
            "oneOf" => {
                wanted
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|s| fits(s))
                    .count()
                    == 1
            }
            "anyOf" => wanted.as_array().unwrap().iter().any(fits),
            "allOf" => wanted.as_array().unwrap().iter().all(fits),
            "required" => wanted.as_array().unwrap().iter().all(|key| {
                let key = key.as_str().unwrap();
                value.as_object().is_none_or(|o| o.contains_key(key))
            }),
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    look(root, wanted, item, &format!("{at}/{i}"), faults);
                }
                true
            }
            "properties" => {
                for (key, below) in wanted.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        look(root, below, value, &format!("{at}/{key}"), faults);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = &schema["properties"];
                let mut more = value.as_object().into_iter().flatten();
                *wanted == Value::Bool(true) || more.all(|(key, _)| known.get(key).is_some())
            }
            other => panic!("a keyword that nobody looks at: {other}"),
        };
        if !is_good {
            faults.push(format!("{at}: {value} is against {keyword} {wanted}"));
        }
    }
}

fn length(value: &Value) -> Option<f64> {
    value.as_array().map(|all| all.len() as f64)
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("a type that nobody knows: {other}"),
    }
}
