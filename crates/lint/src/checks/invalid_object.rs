#![doc = include_str!("../../../../docs/book/src/checks/invalid-object.md")]

use podgate_api::{Diagnostic, Meta, Severity as Found, Source};

use crate::context::object_ref;
use crate::finding::ObjectRef;
use crate::locate;
use crate::{CheckInfo, Context, Findings, Severity};

pub(crate) const CHECK: CheckInfo = CheckInfo {
    id: "invalid-object",
    severity: Severity::Error,
    title: "Something that the API server would refuse or misread",
    why: "An object that is refused is not applied, and what it was to allow or deny is left as it was.",
    page: include_str!("../../../../docs/book/src/checks/invalid-object.md"),
    run,
};

fn run(context: &Context<'_>, findings: &mut Findings<'_>) {
    each(context, findings, Kind::Invalid);
}

/// What the reader found, by the check that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    CidrNotCanonical,
    ExceptNotInside,
    Duplicate,
    /// Another object that is there twice, as in a directory of overlays.
    Harmless,
    Invalid,
}

fn kind(found: &Diagnostic) -> Kind {
    let is_network = found.field.ends_with(".cidr")
        || found.field.contains(".except[")
        || found.field.contains(".networks[");
    let is_duplicate = found.field == "metadata.name" && found.message.contains(" is already written at ");
    if is_network && found.severity == Found::Warning && found.message.contains(": used as ") {
        Kind::CidrNotCanonical
    } else if found.field.contains(".except[") && found.message.contains(" is no strict part of ") {
        Kind::ExceptNotInside
    } else if is_duplicate {
        let kind = found.message.split(' ').next().unwrap_or_default();
        if kind.ends_with("NetworkPolicy") { Kind::Duplicate } else { Kind::Harmless }
    } else {
        Kind::Invalid
    }
}

/// Reports what the reader found and what belongs to one check.
pub(super) fn each(context: &Context<'_>, findings: &mut Findings<'_>, wanted: Kind) {
    for found in context.diagnostics.iter().filter(|found| kind(found) == wanted) {
        let object = owner(context, found);
        // Findings speak of names, not of lines that may move.
        let said = found.message.split(" is already written at ").next().unwrap_or_default();
        let first = found.message.split_once(" is already written at ").map(|(_, place)| place);
        let field = if found.field.is_empty() || first.is_some() {
            String::new()
        } else {
            format!("{}: ", found.field)
        };
        let said = if first.is_some() { format!("{said} is written twice") } else { said.to_owned() };
        let source = match first {
            Some(_) => context.name_of(&Meta { source: found.source.clone(), ..Meta::default() }),
            None => found.source.clone(),
        };
        let finding = findings.report(&source, object, format!("{field}{said}"));
        if found.severity == Found::Warning {
            finding.severity(Severity::Warning);
        }
        if !found.help.is_empty() {
            finding.advice(&found.help);
        }
        if wanted == Kind::CidrNotCanonical {
            finding.edit(canonical(context, found));
        }
        if let Some(place) = first.and_then(|place| place_of(place, &found.source)) {
            finding.related(&place, "the other one is here");
        }
    }
}

/// The edit that writes the network as it is used.
fn canonical(context: &Context<'_>, found: &Diagnostic) -> Option<crate::Edit> {
    let text = context.text_of(&found.source)?;
    let line = text.line(found.source.line)?;
    let begin = line.char_indices().nth(found.source.column as usize - 1)?.0;
    let written: String = line[begin..]
        .trim_start_matches(['"', '\''])
        .chars()
        .take_while(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/'))
        .collect();
    let (_, net) = found.message.rsplit_once("used as ")?;
    if written.is_empty() {
        return None;
    }
    locate::replace(&text, &found.source, 1, &written, net)
}

/// `file:line:column`, as the reader writes places.
fn place_of(text: &str, like: &Source) -> Option<Source> {
    let mut parts = text.rsplitn(3, ':');
    let (column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    let place = Source { file: file.into(), ..like.clone() };
    Some(place.at(line.parse().ok()?, column.parse().ok()?))
}

/// The policy that a finding is in, by its place; other kinds go unnamed.
fn owner(context: &Context<'_>, found: &Diagnostic) -> ObjectRef {
    // Both lists are sorted by place.
    let before = context.policies.partition_point(|p| p.object.meta.source <= found.source);
    let policy = before.checked_sub(1).map(|at| &context.policies[at]);
    let policy = policy.map(|p| (p.object_ref(), &p.object.meta.source));
    let before = context.cluster_policies.partition_point(|p| p.meta.source <= found.source);
    let cluster = before.checked_sub(1).map(|at| context.cluster_policies[at]);
    let cluster = cluster.map(|p| (object_ref(p.kind.as_str(), &p.meta), &p.meta.source));
    let is_here = |source: &Source| {
        let text = || context.text_of(source);
        source.file == found.source.file
            && found.source.line > 0
            && text().is_none_or(|text| locate::is_same_document(&text, source, found.source.line))
    };
    let unnamed = ObjectRef { kind: String::new(), namespace: String::new(), name: String::new() };
    let nearest = policy.into_iter().chain(cluster).filter(|(_, source)| is_here(source));
    nearest.max_by_key(|(_, source)| source.line).map_or(unnamed, |(object, _)| object)
}
