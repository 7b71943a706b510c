//! The API's description, made from the list of routes, the shapes of the answers, and the schemas in docs/schema.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::model;
use crate::routes::{Answer, Form, PREFIX, Parameter, ROUTES, Route, Takes};

/// Schemas that are written by hand: their file's word, the text, and what the whole of it is called here. Their
/// definitions are called by the file's word and their own: `CanGroup`.
const WRITTEN: [(&str, &str, Option<&str>); 6] = [
    ("can", include_str!("../../../docs/schema/can.schema.json"), Some("CanAnswer")),
    ("check", include_str!("../../../docs/schema/check.schema.json"), None),
    ("diff", include_str!("../../../docs/schema/diff.schema.json"), Some("DiffAnswer")),
    ("flow", include_str!("../../../docs/schema/flow.schema.json"), Some("FlowRecord")),
    ("replay", include_str!("../../../docs/schema/replay.schema.json"), Some("ReplayAnswer")),
    ("why", include_str!("../../../docs/schema/why.schema.json"), Some("FlowStory")),
];

/// The API as an OpenAPI 3.1 document: docs/schema/openapi.json.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let method = if route.takes == Takes::Get { "get" } else { "post" };
        paths.insert(format!("{PREFIX}{}", route.path), json!({ method: operation(route) }));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "podgate",
            "description": "Who may talk to whom, who does, and what a change would do. Everything is read: no request changes a cluster, a lab or a file.",
            "version": "v1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": { "schemas": schemas() },
    })
}

fn operation(route: &Route) -> Value {
    let segments = route.parameters.iter().filter(|parameter| parameter.form == Form::Segment);
    let mut parameters: Vec<Value> = segments.map(|segment| parameter(segment, "path")).collect();
    parameters.extend(route.query().iter().map(|asked| parameter(asked, "query")));
    let (form, schema) = match route.answer {
        Answer::Json(Some(name), _) => ("application/json", reference(name)),
        Answer::Json(None, _) => ("application/json", json!({ "type": "object" })),
        Answer::Events(events, _) => {
            let any: Vec<Value> = events.iter().map(|(_, schema)| reference(schema)).collect();
            ("text/event-stream", json!({ "oneOf": any }))
        }
    };
    let about = match route.answer {
        Answer::Events(events, _) => {
            let events: Vec<_> =
                events.iter().map(|(event, schema)| format!("`{event}`: {schema}")).collect();
            format!("Server-sent events with JSON as data. {}", events.join(", "))
        }
        _ => "The answer.".to_owned(),
    };
    let mut operation = json!({
        "operationId": route.operation,
        "summary": route.summary,
        "responses": {
            "200": { "description": about, "content": { form: { "schema": schema } } },
            "default": {
                "description": "What is wrong, where, and what to do.",
                "content": { "application/json": { "schema": reference("ApiError") } },
            },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Takes::Post(body) = route.takes {
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": reference(body) } } });
    }
    operation
}

fn parameter(parameter: &Parameter, place: &str) -> Value {
    let one = match parameter.form {
        Form::Text | Form::Segment => json!({ "type": "string" }),
        Form::Number(least, most, default) => {
            json!({ "type": "integer", "minimum": least, "maximum": most, "default": default })
        }
        Form::OneOf(texts) => json!({ "type": "string", "enum": texts }),
    };
    let schema = if parameter.repeats { json!({ "type": "array", "items": one }) } else { one };
    json!({
        "name": parameter.name,
        "in": place,
        "description": parameter.help,
        "required": !parameter.optional,
        "schema": schema,
    })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schemas() -> BTreeMap<String, Value> {
    let mut made: Vec<(String, RefOr<Schema>)> = Vec::new();
    add::<model::ApiError>(&mut made);
    add::<model::Status>(&mut made);
    add::<model::Posture>(&mut made);
    add::<model::MapView>(&mut made);
    add::<model::EdgeDetails>(&mut made);
    add::<model::MatrixView>(&mut made);
    add::<model::FlowPage>(&mut made);
    add::<model::Missed>(&mut made);
    add::<model::Timeline>(&mut made);
    add::<model::PolicyList>(&mut made);
    add::<model::PolicyDetails>(&mut made);
    add::<model::FindingList>(&mut made);
    add::<model::Candidate>(&mut made);
    add::<model::WhatIf>(&mut made);
    add::<model::CompleteAt>(&mut made);
    add::<model::Completions>(&mut made);
    add::<model::Recommendation>(&mut made);
    add::<model::Places>(&mut made);
    let mut schemas: BTreeMap<String, Value> = made
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_value(schema).expect("a schema is JSON")))
        .collect();
    for (word, text, whole) in WRITTEN {
        let mut schema: Value = serde_json::from_str(text).expect("docs/schema holds JSON");
        rewrite(&mut schema, word);
        let parts = schema.as_object_mut().expect("a schema is an object");
        let definitions = parts.remove("$defs").unwrap_or_default();
        for (name, definition) in definitions.as_object().into_iter().flatten() {
            schemas.insert(definition_name(word, name), definition.clone());
        }
        for key in ["$schema", "$id"] {
            parts.remove(key);
        }
        if let Some(name) = whole {
            schemas.insert(name.to_owned(), schema);
        }
    }
    schemas
}

fn add<T: ToSchema + PartialSchema>(made: &mut Vec<(String, RefOr<Schema>)>) {
    made.push((T::name().into_owned(), T::schema()));
    T::schemas(made);
    // The ones that are written by hand would refer to themselves.
    made.retain(
        |(name, schema)| !matches!(schema, RefOr::Ref(to) if to.ref_location.ends_with(name.as_str())),
    );
}

fn definition_name(word: &str, name: &str) -> String {
    [word, name]
        .iter()
        .flat_map(|part| part[..1].to_uppercase().chars().chain(part[1..].chars()).collect::<Vec<_>>())
        .collect()
}

/// Makes references within and between files references to components.
fn rewrite(schema: &mut Value, word: &str) {
    match schema {
        Value::Object(parts) => {
            for (key, value) in parts {
                match (key.as_str(), value) {
                    ("$ref", Value::String(to)) => *to = component(to, word),
                    (_, value) => rewrite(value, word),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rewrite(value, word)),
        _ => {}
    }
}

fn component(reference: &str, word: &str) -> String {
    let (file, pointer) = reference.split_once('#').expect("references have a fragment");
    let word = file.strip_suffix(".schema.json").filter(|file| !file.is_empty()).unwrap_or(word);
    let name = match pointer.strip_prefix("/$defs/") {
        Some(name) => definition_name(word, name),
        None => {
            let whole = WRITTEN.iter().find(|(known, ..)| *known == word).and_then(|(.., whole)| *whole);
            whole.expect("a reference to a whole file is to one that has a name").to_owned()
        }
    };
    format!("#/components/schemas/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the document is published. `PODGATE_WRITE=1 cargo test -p podgate-serve openapi` writes it anew.
    const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema/openapi.json");

    #[test]
    fn the_published_document_is_this_one() {
        let text = serde_json::to_string_pretty(&openapi()).unwrap() + "\n";
        if std::env::var_os("PODGATE_WRITE").is_some() {
            std::fs::write(PUBLISHED, &text).unwrap();
        }
        let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
        assert!(
            published == text,
            "docs/schema/openapi.json is not what the code says: PODGATE_WRITE=1 cargo test -p podgate-serve openapi"
        );
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(parts) => {
                    for (key, value) in parts {
                        match (key.as_str(), value) {
                            ("$ref", Value::String(to)) => found.push(to.clone()),
                            (_, value) => references(value, found),
                        }
                    }
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100, "{}", found.len());
        for reference in found {
            let target = document.pointer(reference.trim_start_matches('#'));
            assert!(target.is_some_and(|target| target.get("$ref").is_none()), "{reference}");
        }
    }
}
