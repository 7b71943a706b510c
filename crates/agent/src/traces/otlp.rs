//! Traces as OTLP writes them in JSON, where field names, base and type of each number are fixed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};

use super::{Step, Trace, Value};

/// `SPAN_KIND_INTERNAL`.
const INTERNAL: u8 = 1;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// The body of a request with some traces of one node.
pub(super) fn request(node: &str, traces: &[Trace]) -> Json {
    let resource = [
        ("service.name", Value::Text("podgate-agent".to_owned())),
        ("service.version", Value::Text(env!("CARGO_PKG_VERSION").to_owned())),
        ("service.instance.id", Value::Text(node.to_owned())),
        ("k8s.node.name", Value::Text(node.to_owned())),
    ];
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes(&resource) },
        "scopeSpans": [{
            "scope": { "name": "podgate", "version": env!("CARGO_PKG_VERSION") },
            "spans": traces.iter().flat_map(spans).collect::<Vec<Json>>(),
        }],
    }]})
}

fn spans(trace: &Trace) -> Vec<Json> {
    let id = format!("{:016x}{:016x}", chance(), chance());
    let root = format!("{:016x}", chance());
    let mut spans = vec![span(trace, &id, &root, "", &trace.root)];
    for step in &trace.steps {
        spans.push(span(trace, &id, &format!("{:016x}", chance()), &root, step));
    }
    spans
}

fn span(trace: &Trace, id: &str, own: &str, parent: &str, step: &Step) -> Json {
    let mut span = json!({
        "traceId": id,
        "spanId": own,
        "name": step.name,
        "kind": INTERNAL,
        "startTimeUnixNano": nanos(trace.clock, step.begun).to_string(),
        "endTimeUnixNano": nanos(trace.clock, step.ended).to_string(),
        "attributes": attributes(&step.attributes),
    });
    if !parent.is_empty() {
        span["parentSpanId"] = parent.into();
    }
    if !step.failure.is_empty() {
        span["status"] = json!({ "code": ERROR, "message": step.failure });
    }
    span
}

fn attributes(attributes: &[(&'static str, Value)]) -> Vec<Json> {
    let text = |text: &String| json!({ "stringValue": text });
    let value = |value: &Value| match value {
        Value::Text(one) => text(one),
        Value::Texts(all) => json!({ "arrayValue": { "values": all.iter().map(text).collect::<Vec<_>>() } }),
        // Numbers of 64 bits are written as text.
        Value::Count(count) => json!({ "intValue": count.to_string() }),
        Value::Is(is) => json!({ "boolValue": is }),
    };
    attributes.iter().map(|(key, said)| json!({ "key": key, "value": value(said) })).collect()
}

/// The wall clock is asked once a trace: all its times are as far apart as they were, even if somebody sets it.
fn nanos((instant, time): (Instant, SystemTime), at: Instant) -> u128 {
    let known = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    match instant.checked_duration_since(at) {
        Some(ago) => known.saturating_sub(ago),
        None => known + (at - instant),
    }
    .as_nanos()
}

/// An id that nobody else makes. Hash keys of the standard library are random, and differ each time.
fn chance() -> u64 {
    // An id of zeros is none.
    RandomState::new().hash_one(0_u8).max(1)
}
