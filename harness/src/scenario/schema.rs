//! The JSON Schema of scenario files, generated from the types of [`format`](super::format).

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::format::ScenarioFile;

/// Where the schema is checked in, from the workspace root.
pub const SCHEMA_FILE: &str = "scenarios/schema.json";

/// The schema of a scenario file (JSON Schema 2020-12), for editors and for the loader itself.
#[must_use]
pub fn json_schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| schema_of::<ScenarioFile>("harness/src/scenario/format.rs"));
    &SCHEMA
}

/// The text of [`SCHEMA_FILE`].
#[must_use]
pub fn json_schema_text() -> String {
    format!("{:#}\n", json_schema())
}

/// The schema of a type that is written down in `file`.
pub(crate) fn schema_of<T: JsonSchema>(file: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(without_null));
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert(
        "$comment".to_owned(),
        format!("Generated from {file}; do not edit.").into(),
    );
    schema.to_value()
}

/// A key that is absent takes its default; a key without a value is a mistake. So nothing may be null.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(alternatives)) = object.get_mut("anyOf") {
        alternatives.retain(|alternative| alternative.get("type") != Some(&"null".into()));
        if let [Value::Object(only)] = alternatives.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_schema_is_the_one_of_the_types() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(SCHEMA_FILE);
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(&path, json_schema_text()).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            checked_in == json_schema_text(),
            "{SCHEMA_FILE} is out of date; refresh it with: UPDATE_SCHEMA=1 cargo test -p meshproof schema"
        );
    }

    #[test]
    fn nothing_in_the_schema_may_be_null() {
        assert!(!json_schema_text().contains("null"));
    }
}
