//! Kinds that make pods.

use crate::cursor::Cursor;
use crate::{LabelSelector, Meta, Operator, Requirement, Severity, Workload, WorkloadKind};

use super::environment::ConfigRef;
use super::meta::labels_of;
use super::pod::template;
use super::selector::selector;

/// `retired`: the object is written in an old version, which needed no selector.
pub(super) fn workload(
    root: &Cursor<'_>,
    meta: Meta,
    kind: WorkloadKind,
    retired: bool,
    refs: &mut Vec<ConfigRef>,
) -> Option<Workload> {
    let spec = required(root, "spec")?;
    if kind == WorkloadKind::CronJob {
        let job_template = required(&spec, "jobTemplate")?;
        let job = required(&job_template, "spec")?;
        let suspended = is_suspended(&spec);
        return pods_of(&job, meta, kind, if suspended { Some(0) } else { count(&job, "parallelism") }, refs);
    }
    let replicas = match kind {
        WorkloadKind::Job if is_suspended(&spec) => Some(0),
        WorkloadKind::Job => count(&spec, "parallelism"),
        WorkloadKind::DaemonSet => None,
        _ => count(&spec, "replicas"),
    };
    let field = spec.field("selector");
    let found = match (&field, kind) {
        // The API server gives a Job its selector.
        (_, WorkloadKind::Job) => None,
        (Some(field), WorkloadKind::ReplicationController) => Some(map_selector(field)),
        (Some(field), _) => Some(selector(field, false)),
        (None, WorkloadKind::ReplicationController) => None,
        (None, _) if retired => None,
        (None, _) => {
            spec.missing(
                Severity::Error,
                "selector",
                "`selector` is missing",
                "write `selector: {matchLabels: …}` with the labels of the template",
            );
            None
        }
    };
    let mut workload = pods_of(&spec, meta, kind, replicas, refs)?;
    workload.selector = found.clone().filter(|found| !found.is_invalid() && !found.is_everything());
    if let (Some(field), Some(found)) = (field, found)
        && !found.is_invalid()
    {
        if found.is_everything() {
            field.error("an empty selector", "write the labels of the template");
        } else if !found.matches(&workload.template.labels) {
            field.error(
                "the selector does not select the pods of the template",
                "give `template.metadata.labels` the labels that the selector asks for",
            );
        }
    }
    Some(workload)
}

fn pods_of(
    spec: &Cursor<'_>,
    meta: Meta,
    kind: WorkloadKind,
    replicas: Option<u32>,
    refs: &mut Vec<ConfigRef>,
) -> Option<Workload> {
    let template = template(&required(spec, "template")?, refs);
    Some(Workload { meta, kind, replicas: replicas.unwrap_or(1), selector: None, template })
}

fn required<'a>(parent: &'a Cursor<'a>, name: &str) -> Option<Cursor<'a>> {
    let field = parent.field(name);
    if field.is_none() {
        let message = format!("`{name}` is missing");
        parent.missing(Severity::Error, name, &message, "without it the object makes no pods");
    }
    field.filter(Cursor::expect_mapping)
}

fn is_suspended(spec: &Cursor<'_>) -> bool {
    spec.field("suspend").and_then(|flag| flag.bool()).unwrap_or_default()
}

fn count(spec: &Cursor<'_>, name: &str) -> Option<u32> {
    let value = spec.field(name)?.int_within(0, i64::from(i32::MAX))?;
    u32::try_from(value).ok()
}

/// A ReplicationController's selector is a map of labels.
fn map_selector(field: &Cursor<'_>) -> LabelSelector {
    if !field.expect_mapping() {
        return LabelSelector::invalid();
    }
    let requirement = |(key, value)| Requirement { key, operator: Operator::In, values: vec![value] };
    LabelSelector::new(labels_of(field, true).into_iter().map(requirement).collect())
}
