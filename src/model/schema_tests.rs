//! The published schemas are made from types and kept current: `UPDATE_SCHEMAS=1 cargo test --lib schema` writes them anew.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::record::Record;

#[path = "../../tests/lab/schema.rs"]
mod checker;
pub use checker::faults;

/// The schema of a type; with `inline`, in one piece.
pub fn of<T: JsonSchema>(inline: bool) -> Value {
    let settings = SchemaSettings::draft07().with(|s| {
        s.inline_subschemas = inline;
        s.transforms.push(Box::new(plain));
        s.transforms.push(Box::new(without_format));
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::to_value(schema).unwrap()
}

/// The schema of a document as it is printed: what has no value is null, and only what says so may be absent.
pub fn printed<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().for_serialize().with(|s| {
        s.transforms.push(Box::new(without_format));
    });
    let schema = settings.into_generator().into_root_schema_for::<T>();
    serde_json::to_value(schema).unwrap()
}

/// Nobody needs the names of Rust's integers.
fn without_format(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut without_format, schema);
    schema.remove("format");
}

/// That the file in `schema/` is what the types make.
#[track_caller]
pub fn is_current(name: &str, wanted: &Value) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schema")
        .join(name);
    let wanted = format!("{wanted:#}\n");
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        found, wanted,
        "stale: UPDATE_SCHEMAS=1 cargo test --lib schema"
    );
}

/// What may be absent is absent, in TOML as in a record: neither holds a null.
fn plain(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut plain, schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    let is_null = |v: &serde_json::Value| v == "null" || v["type"] == "null";
    if let Some(all) = object.get_mut("type").and_then(|t| t.as_array_mut()) {
        all.retain(|t| !is_null(t));
        if let [only] = &all[..] {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(all) = object.get_mut("anyOf").and_then(|t| t.as_array_mut()) {
        all.retain(|t| !is_null(t));
        if let [serde_json::Value::Object(only)] = &all[..] {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
    if object
        .get("default")
        .is_some_and(|d| d.is_null() || d.is_object())
    {
        object.remove("default");
    }
}

#[test]
fn the_schema_of_records_is_current() {
    is_current("ubos-sync.record.schema.json", &of::<Record>(false));
}

#[test]
fn the_schema_of_records_takes_records_and_nothing_else() {
    let schema = of::<Record>(false);
    let record = serde_json::to_value(crate::audit::samples::record(1)).unwrap();
    let takes = |record: &Value| checker::faults(&schema, record).is_empty();
    assert!(takes(&record));
    let wrong = |pointer: &str, value: Value| {
        let mut wrong = record.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        !takes(&wrong)
    };
    assert!(wrong("/outcome", "fine".into()));
    assert!(wrong("/lanes/0/lane", "state".into()));
    assert!(wrong("/lanes/0/changes/0/bytes", "many".into()));
    let mut without = record.clone();
    without.as_object_mut().unwrap().remove("mode");
    assert!(!takes(&without));
    // A newer program may say more.
    let mut more = record;
    more["news"] = "x".into();
    assert!(takes(&more));
}
