//! As much of JSON Schema as the published schemas use.

use serde_json::Value;

/// The schemas by file name.
pub struct Schemas(pub Vec<(&'static str, Value)>);

impl Schemas {
    fn file(&self, name: &str) -> &Value {
        &self.0.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("no schema {name}")).1
    }

    /// What is wrong with a value by the schema of a file.
    pub fn faults(&self, file: &str, value: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(file, self.file(file), value, "", &mut faults);
        faults
    }

    fn check(&self, file: &str, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        const KNOWN: [&str; 13] = [
            "$schema",
            "$id",
            "$defs",
            "$ref",
            "title",
            "description",
            "type",
            "enum",
            "required",
            "properties",
            "additionalProperties",
            "items",
            "minimum",
        ];
        for keyword in schema.as_object().expect("a schema is an object").keys() {
            assert!(KNOWN.contains(&keyword.as_str()), "{file} uses {keyword}, which this test can't check");
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let (other, pointer) = reference.split_once('#').expect("references have a fragment");
            let other = if other.is_empty() { file } else { other };
            let target = self.file(other).pointer(pointer).unwrap_or_else(|| panic!("no {reference}"));
            return self.check(other, target, value, at, faults);
        }
        if let Some(allowed) = schema["enum"].as_array()
            && !allowed.contains(value)
        {
            faults.push(format!("{at}: {value} is none of {allowed:?}"));
        }
        let is_type = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("integer") => value.is_u64() || value.is_i64(),
            Some("boolean") => value.is_boolean(),
            Some(other) => panic!("{file}: type {other} is not checked"),
            None => true,
        };
        if !is_type {
            faults.push(format!("{at}: {value} is no {}", schema["type"]));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().expect("names are texts")).is_none() {
                faults.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(name) {
                Some(schema) => self.check(file, schema, field, &format!("{at}/{name}"), faults),
                None if schema["additionalProperties"] == Value::Bool(false) => {
                    faults.push(format!("{at}: unknown field {name}"));
                }
                None => {}
            }
        }
        if let Some(items) = schema.get("items") {
            for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                self.check(file, items, item, &format!("{at}/{number}"), faults);
            }
        }
    }
}
