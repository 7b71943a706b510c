//! `metadata`.

use crate::cursor::Cursor;
use crate::syntax::{is_dns_label, is_dns_subdomain, label_key_fault, label_value_fault};
use crate::tree::shorten;
use crate::{Labels, Meta, Owner, Severity, WorkloadKind};

use super::Kind;

const FIELDS: [&str; 16] = [
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "clusterName",
    "managedFields",
];

/// The whole object once more, as `kubectl apply` last saw it: the largest annotation, and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// `default_namespace` is `None` for cluster-scoped kinds. No result: the object has no name to go by.
pub(super) fn decode(root: &Cursor<'_>, kind: Kind, default_namespace: Option<&str>) -> Option<Meta> {
    let mut meta = Meta { source: root.source(), ..Meta::default() };
    meta.namespace = default_namespace.unwrap_or_default().to_owned();
    let found = root.mapping("metadata");
    if let Some(metadata) = &found {
        if kind.is_policy() {
            metadata.unknown_fields(&FIELDS, Severity::Warning);
        }
        if let Some(namespace) = metadata.field("namespace") {
            let text = namespace.text().unwrap_or_default();
            match default_namespace {
                None => namespace.warning("this kind belongs to no namespace", "remove the field"),
                Some(_) if is_dns_label(text) => meta.namespace = text.to_owned(),
                Some(_) if text.is_empty() => {}
                Some(_) => namespace.error(
                    format!("`{}` is no namespace's name", shorten(text)),
                    "write at most 63 lower-case letters, digits and `-`",
                ),
            }
        }
        if let Some(labels) = metadata.mapping("labels") {
            meta.labels = labels_of(&labels, true);
        }
        if let Some(annotations) = metadata.mapping("annotations") {
            meta.annotations = labels_of(&annotations, false);
            meta.annotations.remove(LAST_APPLIED);
        }
        let text = |name: &str| metadata.field(name).and_then(|f| f.text()).unwrap_or_default().to_owned();
        meta.uid = text("uid");
        meta.created = text("creationTimestamp");
        meta.terminating = metadata.field("deletionTimestamp").is_some();
        if let Some(name) = metadata.field("name") {
            meta.name = name.text().unwrap_or_else(|| name.raw()).to_owned();
            check_name(&name, kind, &meta.name);
        }
        if meta.name.is_empty()
            && let Some(prefix) = metadata.field("generateName")
        {
            prefix.error("only an API server can make a name from `generateName`", "write `metadata.name`");
            if kind.is_policy() {
                meta.name = format!("{}{}", prefix.raw(), root.node.line);
            }
            return (!meta.name.is_empty()).then_some(meta);
        }
    }
    if meta.name.is_empty() {
        let at = found.as_ref().filter(|m| m.field("name").is_none());
        let (cursor, field) = match at {
            Some(metadata) => (metadata, "name"),
            None => (root, "metadata.name"),
        };
        if found.as_ref().is_none_or(|m| m.field("name").is_none()) {
            cursor.missing(Severity::Error, field, "the object has no name", "write `metadata.name`");
        }
        // Without its policy a pod would be open: a name of our own keeps it closed.
        if !kind.is_policy() {
            return None;
        }
        meta.name = format!("unnamed-{}", root.node.line);
    }
    Some(meta)
}

fn check_name(field: &Cursor<'_>, kind: Kind, name: &str) {
    let help = match kind {
        Kind::Namespace | Kind::Service if !is_dns_label(name) => {
            "write at most 63 lower-case letters, digits and `-`, starting and ending with a letter or digit"
        }
        Kind::Workload(WorkloadKind::CronJob) if name.len() > 52 => {
            "write at most 52 characters: the names of its Jobs are longer"
        }
        _ if !is_dns_subdomain(name) => {
            "write lower-case letters, digits, `-` and `.`, starting and ending with a letter or digit"
        }
        _ => return,
    };
    field.error(format!("`{}` is no valid name", shorten(name)), help);
}

/// A map of texts: labels with their syntax, or annotations.
pub(super) fn labels_of(map: &Cursor<'_>, are_labels: bool) -> Labels {
    let mut labels = Labels::new();
    for (key, value) in map.fields() {
        let key_fault = if are_labels { label_key_fault(key) } else { label_key_fault(&key.to_lowercase()) };
        if let Some(fault) = key_fault {
            value.error(format!("`{}` is no valid key", shorten(key)), fault);
        }
        labels.insert(
            key.to_owned(),
            label_value(&value, are_labels).unwrap_or_else(|| value.raw().to_owned()),
        );
    }
    labels
}

/// One value of a label; `None` after an error.
pub(super) fn label_value(value: &Cursor<'_>, is_label: bool) -> Option<String> {
    if value.node.is_null() {
        value.warning("no value counts as the empty text", "write `\"\"` to say so");
        return Some(String::new());
    }
    let text = value.text()?;
    if is_label && let Some(fault) = label_value_fault(text) {
        value.error(format!("`{}` is no valid label value", shorten(text)), fault);
        return None;
    }
    Some(text.to_owned())
}

/// The object that controls this one, from `metadata.ownerReferences`.
pub(super) fn controller(root: &Cursor<'_>) -> Option<Owner> {
    let metadata = root.field("metadata")?;
    let owners = metadata.field("ownerReferences")?;
    let flagged = owners.items().find(|o| o.field("controller").is_some_and(|c| c.raw() == "true"));
    let owner = flagged?;
    let read = |name: &str| owner.field(name).map(|f| f.raw().to_owned()).filter(|text| !text.is_empty());
    Some(Owner { kind: read("kind")?, name: read("name")? })
}
