//! Whether an answer is as the API's description says.

use serde_json::Value;

/// Checks an answer to a path below the prefix, with or without a query.
#[track_caller]
pub fn check(method: &str, path: &str, answer: &Value) {
    let document = podgate_serve::openapi();
    let path = path.split('?').next().unwrap_or_default();
    let routes = document["paths"].as_object().expect("an object");
    let fits = |known: &&String| {
        let known: Vec<&str> = known.trim_start_matches("/api/v1").split('/').collect();
        let asked: Vec<&str> = path.split('/').collect();
        known.len() == asked.len() && known.iter().zip(&asked).all(|(a, b)| a == b || a.starts_with('{'))
    };
    let exact = format!("/api/v1{path}");
    let known = routes.keys().find(|known| **known == exact).or_else(|| routes.keys().find(fits));
    let known = known.unwrap_or_else(|| panic!("{path} is not described"));
    let operation = &routes[known][method];
    let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
    let mut faults = Vec::new();
    value(&document, schema, answer, "", &mut faults);
    assert_eq!(faults, Vec::<String>::new(), "{method} {path}");
}

/// Adds what is wrong with a value.
pub fn value(document: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let resolved = resolve(document, schema);
    let mut known = Vec::new();
    properties(document, &resolved, &mut known);
    one(document, &resolved, value, at, faults);
    if let (Some(fields), false) = (value.as_object(), known.is_empty()) {
        for name in fields.keys().filter(|name| !known.contains(&name.to_string())) {
            faults.push(format!("{at}/{name} is not described"));
        }
    }
}

fn resolve(document: &Value, schema: &Value) -> Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let target = document.pointer(reference.trim_start_matches('#'));
            resolve(document, target.unwrap_or_else(|| panic!("no {reference}")))
        }
        None => schema.clone(),
    }
}

/// The names of all fields that an object may have.
fn properties(document: &Value, schema: &Value, known: &mut Vec<String>) {
    known.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
    for part in schema["allOf"].as_array().into_iter().flatten() {
        properties(document, &resolve(document, part), known);
    }
}

fn one(document: &Value, schema: &Value, told: &Value, at: &str, faults: &mut Vec<String>) {
    const KNOWN: [&str; 15] = [
        "$ref",
        "type",
        "enum",
        "required",
        "properties",
        "additionalProperties",
        "items",
        "allOf",
        "oneOf",
        "format",
        "minimum",
        "description",
        "title",
        "maximum",
        "propertyNames",
    ];
    for keyword in schema.as_object().expect("a schema is an object").keys() {
        assert!(KNOWN.contains(&keyword.as_str()), "{at}: {keyword} can't be checked here");
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(told)
    {
        faults.push(format!("{at}: {told} is none of {allowed:?}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        Value::String(one) => vec![one],
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => told.is_object(),
        "array" => told.is_array(),
        "string" => told.is_string(),
        "integer" => told.is_u64() || told.is_i64(),
        "number" => told.is_number(),
        "boolean" => told.is_boolean(),
        "null" => told.is_null(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        faults.push(format!("{at}: {told} is no {types:?}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        one(document, &resolve(document, part), told, at, faults);
    }
    if let Some(parts) = schema["oneOf"].as_array() {
        let fits = parts.iter().filter(|part| {
            let mut faults = Vec::new();
            value(document, part, told, at, &mut faults);
            faults.is_empty()
        });
        if fits.count() != 1 {
            faults.push(format!("{at}: {told} is not exactly one of {}", parts.len()));
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if told.get(name).is_none() {
            faults.push(format!("{at}: {name} is missing"));
        }
    }
    for (name, field) in told.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(schema) => value(document, schema, field, &format!("{at}/{name}"), faults),
            None => {
                if let Some(schema) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
                    value(document, schema, field, &format!("{at}/{name}"), faults);
                }
            }
        }
    }
    if let Some(schema) = schema.get("items") {
        for (number, item) in told.as_array().into_iter().flatten().enumerate() {
            value(document, schema, item, &format!("{at}/{number}"), faults);
        }
    }
}

#[test]
fn records_are_as_their_schema_says() {
    let document = podgate_serve::openapi();
    let schema = &document["components"]["schemas"]["FlowRecord"];
    for record in crate::support::flows() {
        let mut faults = Vec::new();
        value(&document, schema, &serde_json::to_value(&record).unwrap(), "", &mut faults);
        assert_eq!(faults, Vec::<String>::new(), "{record:?}");
    }
    let mut faults = Vec::new();
    value(&document, schema, &serde_json::json!({"time": 7, "other": 1}), "", &mut faults);
    assert!(faults.len() > 5, "{faults:?}");
}
