//! What containers are told of other hosts: environment, command line, ConfigMaps. Secrets are never read.
//! Nothing here is worth a finding: it decides no traffic.

use std::collections::HashMap;

use crate::cursor::Cursor;
use crate::mention::{Mention, Mentions, expand};

/// A ConfigMap, or one key of it, that a pod uses; in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConfigRef {
    pub name: String,
    /// All keys when absent.
    pub key: Option<String>,
}

/// A ConfigMap, as far as it mentions hosts.
#[derive(Debug)]
pub(crate) struct ConfigMap {
    pub namespace: String,
    pub name: String,
    /// Keys with the mentions in their values.
    pub mentions: Vec<(String, Vec<Mention>)>,
}

/// In every namespace, and in every pod: certificates.
const ROOT_CERTIFICATES: &str = "kube-root-ca.crt";

/// The mentions in all containers of a pod's spec; `refs` gets the ConfigMaps that it uses.
pub(super) fn mentions(spec: &Cursor<'_>, refs: &mut Vec<ConfigRef>) -> Vec<Mention> {
    let mut mentions = Mentions::default();
    for list in ["containers", "initContainers"] {
        let Some(containers) = spec.field(list) else { continue };
        for container in containers.items() {
            read_container(&container, &mut mentions, refs);
        }
    }
    if let Some(volumes) = spec.field("volumes") {
        for volume in volumes.items() {
            config_map_volume(&volume, refs);
        }
    }
    refs.retain(|found| found.name != ROOT_CERTIFICATES);
    refs.sort();
    refs.dedup();
    mentions.found
}

fn read_container(container: &Cursor<'_>, mentions: &mut Mentions, refs: &mut Vec<ConfigRef>) {
    let env = container.field("env");
    let items: Vec<Cursor<'_>> = env.iter().flat_map(Cursor::items).collect();
    let fields: Vec<[Option<Cursor<'_>>; 2]> =
        items.iter().map(|item| [item.field("name"), item.field("value")]).collect();
    // Of two with one name the last one counts.
    let variables: HashMap<&str, &str> = fields
        .iter()
        .filter_map(|[name, value]| Some((name.as_ref()?.raw(), value.as_ref()?.raw())))
        .collect();
    for (item, [_, value]) in items.iter().zip(&fields) {
        if let Some(value) = value {
            mentions.read(&expand(value.raw(), &variables), || value.source());
        } else if let Some(from) = item.field("valueFrom")
            && let Some(reference) = from.field("configMapKeyRef")
            && let (Some(name), Some(key)) = (reference.field("name"), reference.field("key"))
        {
            refs.push(ConfigRef { name: name.raw().to_owned(), key: Some(key.raw().to_owned()) });
        }
    }
    if let Some(from) = container.field("envFrom") {
        for source in from.items() {
            if let Some(reference) = source.field("configMapRef") {
                whole_map(&reference, "name", refs);
            }
        }
    }
    for list in ["command", "args"] {
        let Some(list) = container.field(list) else { continue };
        for item in list.items() {
            mentions.read(&expand(item.raw(), &variables), || item.source());
        }
    }
}

fn whole_map(reference: &Cursor<'_>, name: &str, refs: &mut Vec<ConfigRef>) {
    if let Some(name) = reference.field(name) {
        refs.push(ConfigRef { name: name.raw().to_owned(), key: None });
    }
}

/// Files of a ConfigMap: what they name is connected to as well.
fn config_map_volume(volume: &Cursor<'_>, refs: &mut Vec<ConfigRef>) {
    if let Some(map) = volume.field("configMap") {
        whole_map(&map, "name", refs);
    }
    if let Some(projected) = volume.field("projected")
        && let Some(sources) = projected.field("sources")
    {
        for source in sources.items() {
            if let Some(map) = source.field("configMap") {
                whole_map(&map, "name", refs);
            }
        }
    }
}

/// Reads a ConfigMap; nothing when it has no name or mentions no host.
pub(super) fn config_map(root: &Cursor<'_>, default_namespace: &str) -> Option<ConfigMap> {
    let metadata = root.field("metadata")?;
    let name = metadata.field("name")?.raw().to_owned();
    let namespace = metadata.field("namespace").map_or(default_namespace, |field| field.raw()).to_owned();
    let mut found = Vec::new();
    for (key, value) in root.field("data")?.fields() {
        let mut mentions = Mentions::default();
        mentions.read(value.raw(), || value.source());
        if !mentions.found.is_empty() {
            found.push((key.to_owned(), mentions.found));
        }
    }
    (!found.is_empty()).then_some(ConfigMap { namespace, name, mentions: found })
}
