//! Changes the plugin's entry in the text of a network configuration, and nothing else of it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Entry;
use crate::PLUGIN;
use crate::spec::VERSIONS;

/// Why a configuration can't be changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Runtimes pass over it as well.
    Unreadable(String),
    /// Runtimes may use it, but not with this plugin.
    Unusable(String),
}

/// The fields of an object, in their order and as they were written.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|value| serde_json::from_str(value.get()).ok())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    fields.push((Cow::Owned(name), value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Whether a text is JSON.
pub(super) fn check(text: &str) -> Result<(), String> {
    serde_json::from_str::<&RawValue>(text).map(drop).map_err(|error| format!("not JSON: {error}"))
}

/// A list with the plugin in it; `None`: it is there as it should be.
pub(super) fn with_entry(text: &str, entry: &Entry) -> Result<Option<String>, Fault> {
    let (list, plugins) = read_list(text)?;
    check_version(&list)?;
    if plugins.iter().all(|plugin| is_ours(plugin)) {
        return Err(Fault::Unreadable("its list of plugins has no network".to_owned()));
    }
    let wanted = described(entry);
    let ours: Vec<usize> = (0..plugins.len()).filter(|at| is_ours(plugins[*at])).collect();
    // Others may have come behind it, and none of those that do change addresses: it stays where it is.
    if let [at] = ours[..]
        && at > 0
    {
        if serde_json::from_str::<Value>(plugins[at].get()).is_ok_and(|there| there == wanted) {
            return Ok(None);
        }
        let mut new = text.to_owned();
        new.replace_range(place(text, plugins[at]), &written(&wanted));
        return Ok(Some(new));
    }
    let rest = without(text, &plugins);
    let (_, plugins) = read_list(&rest)?;
    let last = plugins.len() - 1;
    let end = place(&rest, plugins[last]).end;
    // As the last one stands apart from the one before it, or from the bracket.
    let gap = &rest[gap_before(&rest, &plugins, last)];
    let new = format!("{},{gap}{}{}", &rest[..end], written(&wanted), &rest[end..]);
    Ok(Some(new))
}

/// A list of a configuration's one plugin and this one.
pub(super) fn as_list(text: &str, entry: &Entry) -> Result<String, Fault> {
    let one: Fields<'_> = read(text)?;
    check_version(&one)?;
    let (Some(version), Some(name)) = (one.get("cniVersion"), one.get("name")) else {
        return Err(Fault::Unreadable("it has no name".to_owned()));
    };
    let entry = written(&described(entry));
    Ok(format!(
        "{{\n  \"cniVersion\": {version},\n  \"name\": {name},\n  \"plugins\": [\n{},\n{entry}\n  ]\n}}\n",
        text.trim()
    ))
}

/// The list without the plugin; `None`: it isn't there.
pub(super) fn without_entry(text: &str) -> Result<Option<String>, Fault> {
    let (_, plugins) = read_list(text)?;
    Ok(plugins.iter().any(|plugin| is_ours(plugin)).then(|| without(text, &plugins)))
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text)
        .map_err(|error| Fault::Unreadable(format!("not a network configuration: {error}")))
}

fn read_list(text: &str) -> Result<(Fields<'_>, Vec<&RawValue>), Fault> {
    let list: Fields<'_> = read(text)?;
    let Some(plugins) = list.get("plugins") else {
        return Err(Fault::Unreadable("a list without plugins".to_owned()));
    };
    let plugins = read(plugins.get())?;
    Ok((list, plugins))
}

fn check_version(configuration: &Fields<'_>) -> Result<(), Fault> {
    let version = configuration.text("cniVersion").unwrap_or_else(|| "0.2.0".to_owned());
    match VERSIONS.contains(&version.as_str()) {
        true => Ok(()),
        false => Err(Fault::Unusable(format!(
            "cniVersion {version} knows no chains that podgate can be in: change it to one of {}",
            VERSIONS.join(", ")
        ))),
    }
}

fn is_ours(plugin: &RawValue) -> bool {
    serde_json::from_str::<Fields<'_>>(plugin.get())
        .is_ok_and(|plugin| plugin.text("type").is_some_and(|kind| kind == PLUGIN))
}

fn described(entry: &Entry) -> Value {
    let mut fields = Map::from_iter([("type".to_owned(), json!(PLUGIN))]);
    if let Some(socket) = &entry.socket {
        fields.insert("socket".to_owned(), json!(socket));
    }
    if let Some(strict) = entry.strict {
        fields.insert("strict".to_owned(), json!(strict));
    }
    if let Some(seconds) = entry.timeout_seconds {
        fields.insert("timeoutSeconds".to_owned(), json!(seconds));
    }
    Value::Object(fields)
}

/// One line, the type first, as configurations are mostly written.
fn written(entry: &Value) -> String {
    let kind = ("type", json!(PLUGIN));
    let fields = entry.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value.clone()));
    let others = fields.filter(|(name, _)| *name != kind.0);
    let texts: Vec<String> = [kind.clone()]
        .into_iter()
        .chain(others)
        .map(|(name, value)| format!("\"{name}\": {value}"))
        .collect();
    format!("{{{}}}", texts.join(", "))
}

/// Where a part that was read from a text is in it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.get().len()
}

/// The white space before a plugin: from the comma or the bracket on.
fn gap_before(text: &str, plugins: &[&RawValue], at: usize) -> Range<usize> {
    let start = place(text, plugins[at]).start;
    let before = text[..start].trim_end_matches([' ', '\t', '\r', '\n']);
    before.len()..start
}

/// The list's text without the plugin's entries, and without what separates them from the others.
fn without(text: &str, plugins: &[&RawValue]) -> String {
    let (Some(first), Some(last)) = (plugins.first(), plugins.last()) else { return text.to_owned() };
    let mut rest = text[..place(text, first).start].to_owned();
    let kept = (0..plugins.len()).filter(|at| !is_ours(plugins[*at]));
    for (number, at) in kept.enumerate() {
        if number > 0 {
            rest.push_str(&text[place(text, plugins[at - 1]).end..place(text, plugins[at]).start]);
        }
        rest.push_str(plugins[at].get());
    }
    rest.push_str(&text[place(text, last).end..]);
    rest
}
