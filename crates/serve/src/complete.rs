//! What may be written at a place of a policy: fields by where they are, and values that the cluster has.

mod fields;
mod place;

use std::collections::{BTreeMap, BTreeSet};

use podgate_analysis::World;
use podgate_api::NAMESPACE_NAME_LABEL;

use crate::ask::Ask;
use crate::complete::fields::{Kind, Value, fields_at};
use crate::complete::place::{Place, Writing};
use crate::fault::Fault;
use crate::model::{CompleteAt, Completion, Completions};

/// More than this helps nobody.
const MOST: usize = 200;

/// Answers /complete.
pub fn complete(ask: &Ask) -> Result<Completions, Fault> {
    let at: CompleteAt = serde_json::from_slice(&ask.body).map_err(|error| {
        Fault::bad(format!("the body is no place in a policy: {error}; /openapi.json describes it"))
    })?;
    let place = Place::find(&at.yaml, at.line as usize, at.column as usize);
    let world = ask.snapshot.world();
    let mut items = match &place.writing {
        Writing::Key => keys(world, &place),
        Writing::Value(key) => values(world, &place, key),
    };
    items.retain(|item| fits(&item.text, &place.word));
    items.truncate(MOST);
    Ok(Completions { from: place.from as u32, items })
}

/// What was begun is the beginning of it, or of a part of it.
fn fits(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_ascii_lowercase(), word.to_ascii_lowercase());
    text.starts_with(&word) || text.split(['/', '.', '-', '_']).any(|part| part.starts_with(&word))
}

fn item(text: impl Into<String>, kind: &str, help: impl Into<String>) -> Completion {
    Completion { text: text.into(), kind: kind.to_owned(), help: help.into() }
}

fn keys(world: &World, place: &Place) -> Vec<Completion> {
    let kind = Kind::of(&place.kind);
    if place.path.last().is_some_and(|last| last == "matchLabels") {
        let labels = labels(world, place);
        let told = |(key, values): (String, BTreeMap<String, usize>)| {
            let number: usize = values.values().sum();
            item(
                format!("{key}: "),
                "label",
                format!("on {}: {}", owners(place, number), some(values.keys())),
            )
        };
        return labels.into_iter().map(told).collect();
    }
    let known = fields_at(kind, &place.path);
    let fields = known.iter().filter(|field| !place.siblings.contains(field.name));
    fields.map(|field| item(field.text(), "field", field.help)).collect()
}

fn values(world: &World, place: &Place, key: &str) -> Vec<Completion> {
    if place.path.last().is_some_and(|last| last == "matchLabels") {
        let labels = labels(world, place);
        let values = labels.get(key).into_iter().flatten();
        let told = values
            .map(|(value, number)| item(quoted(value), "value", format!("on {}", owners(place, *number))));
        return told.collect();
    }
    let kind = Kind::of(&place.kind);
    let Some(field) = fields_at(kind, &place.path).iter().find(|field| field.name == key) else {
        return Vec::new();
    };
    match field.value {
        Value::Any => Vec::new(),
        Value::OneOf(texts) => texts.iter().map(|(text, help)| item(*text, "value", *help)).collect(),
        Value::Namespace => world
            .known_namespaces()
            .map(|(name, _)| {
                let number = world.workloads.iter().filter(|workload| workload.namespace == name).count();
                item(name, "namespace", format!("{number} workloads"))
            })
            .collect(),
        Value::LabelKey => {
            let labels = labels(world, place);
            labels.into_iter().map(|(key, values)| item(key, "label", some(values.keys()))).collect()
        }
        Value::Port => ports(world, place),
    }
}

fn owners(place: &Place, number: usize) -> String {
    let what = if place.is_about_namespaces() { "namespace" } else { "pod" };
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn some<'a>(values: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 4;
    let all: Vec<&str> = values.map(String::as_str).collect();
    let mut text = all.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text.push_str(&format!(" and {} more", all.len() - SHOWN));
    }
    text
}

/// A label's value as YAML takes it for text.
fn quoted(value: &str) -> String {
    let is_plain = !value.is_empty()
        && value.parse::<f64>().is_err()
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n", "~"]
            .contains(&value.to_ascii_lowercase().as_str());
    if is_plain { value.to_owned() } else { format!("{value:?}") }
}

/// Labels that pods or namespaces have, where a selector stands, with how many have each value.
fn labels(world: &World, place: &Place) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut labels: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    let mut add = |key: &str, value: &str| {
        *labels.entry(key.to_owned()).or_default().entry(value.to_owned()).or_default() += 1;
    };
    if place.is_about_namespaces() {
        for (name, known) in world.known_namespaces() {
            known.iter().for_each(|(key, value)| add(key, value));
            if !known.contains_key(NAMESPACE_NAME_LABEL) {
                add(NAMESPACE_NAME_LABEL, name);
            }
        }
        return labels;
    }
    let namespaces = place.namespaces(world);
    for pod in world.pod_objects().iter().filter(|pod| namespaces.contains(pod.meta.namespace.as_str())) {
        let lasting = pod.meta.labels.iter().filter(|(key, _)| podgate_analysis::labels::lasts(key));
        lasting.for_each(|(key, value)| add(key, value));
    }
    labels
}

/// Ports that pods declare, those of the pods in question first.
fn ports(world: &World, place: &Place) -> Vec<Completion> {
    let mut who: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for workload in &world.workloads {
        for pod in workload.pods.iter().take(1) {
            for port in &world.pod_object(*pod).ports {
                let name = format!("{}/{}", workload.namespace, workload.name);
                who.entry(port.port.to_string()).or_default().insert(name.clone());
                if !port.name.is_empty() {
                    who.entry(port.name.clone()).or_default().insert(format!("{name} ({})", port.port));
                }
            }
        }
    }
    let own = format!("{}/", place.namespace);
    let mut items: Vec<(bool, Completion)> = who
        .into_iter()
        .map(|(port, who)| {
            let is_far = !who.iter().any(|name| name.starts_with(&own));
            (is_far, item(port, "value", some(who.iter())))
        })
        .collect();
    items.sort_by(|(far_a, a), (far_b, b)| {
        let number = |item: &Completion| item.text.parse::<u16>().unwrap_or(u16::MAX);
        (far_a, number(a), &a.text).cmp(&(far_b, number(b), &b.text))
    });
    items.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests;
