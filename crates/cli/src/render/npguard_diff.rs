//! Changes in np-guard's forms.

use std::collections::BTreeSet;
use std::fmt::Write;

use podgate_analysis::World;
use podgate_analysis::npguard::{INGRESS_CONTROLLER, LineChange, LineChangeKind, names};

use super::csv;
use super::npguard::node;

const NEW: &str = "#008000";

fn kind(change: &LineChange) -> &'static str {
    match change.kind {
        LineChangeKind::Added => "added",
        LineChangeKind::Removed => "removed",
        LineChangeKind::Changed => "changed",
        LineChangeKind::Unchanged => "unchanged",
    }
}

/// Changed, added, removed; then the same for what comes from the ingress controller.
fn ordered(changes: &[LineChange]) -> Vec<&LineChange> {
    let mut listed: Vec<&LineChange> =
        changes.iter().filter(|change| change.kind != LineChangeKind::Unchanged).collect();
    let rank = |change: &LineChange| match change.kind {
        LineChangeKind::Changed => 0,
        LineChangeKind::Added => 1,
        LineChangeKind::Removed => 2,
        LineChangeKind::Unchanged => 3,
    };
    listed.sort_by(|a, b| {
        let key = |c: &LineChange| (c.src == INGRESS_CONTROLLER, rank(c));
        key(a).cmp(&key(b)).then_with(|| (&a.src, &a.dst).cmp(&(&b.src, &b.dst)))
    });
    listed
}

fn workloads(change: &LineChange) -> String {
    if change.workloads.is_empty() {
        return String::new();
    }
    format!("workload {} {}", change.workloads.join(" and "), kind(change))
}

/// `diff-type: added, source: …`.
pub fn text(changes: &[LineChange]) -> String {
    let listed = ordered(changes);
    if listed.is_empty() {
        return String::new();
    }
    let mut out = String::from("Connectivity diff:\n");
    for change in listed {
        // Writing to a string can't fail.
        let _ = write!(
            out,
            "diff-type: {}, source: {}, destination: {}, ref1: {}, ref2: {}",
            kind(change),
            change.src,
            change.dst,
            change.before,
            change.after
        );
        let info = workloads(change);
        let _ = if info.is_empty() { writeln!(out) } else { writeln!(out, ", workloads-diff-info: {info}") };
    }
    out
}

/// `diff-type,source,destination,ref1,ref2,workloads-diff-info`.
pub fn csv(changes: &[LineChange]) -> String {
    let mut out = csv::row(&["diff-type", "source", "destination", "ref1", "ref2", "workloads-diff-info"]);
    for change in ordered(changes) {
        let info = workloads(change);
        out.push_str(&csv::row(&[
            kind(change),
            &change.src,
            &change.dst,
            &change.before,
            &change.after,
            &info,
        ]));
    }
    out
}

/// A Markdown table with the same columns.
pub fn markdown(changes: &[LineChange]) -> String {
    let mut out = String::from(
        "| diff-type | source | destination | ref1 | ref2 | workloads-diff-info |\n\
         |-----------|--------|-------------|------|------|---------------------|\n",
    );
    for change in ordered(changes) {
        let (kind, info) = (kind(change), workloads(change));
        let _ = writeln!(
            out,
            "| {kind} | {} | {} | {} | {} | {info} |",
            change.src, change.dst, change.before, change.after
        );
    }
    out
}

/// A graph of both states.
pub fn dot(old: &World, new: &World, changes: &[LineChange]) -> String {
    let (before, after) = (names(old), names(new));
    let colour = |name: &str| match (before.contains(name), after.contains(name)) {
        (false, true) => NEW,
        (true, false) => "red",
        _ => "blue",
    };
    let namespace_of = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let all: BTreeSet<&String> = before.union(&after).collect();
    let namespaces: BTreeSet<String> = all.iter().map(|name| namespace_of(name)).collect();
    let mut out = String::from("digraph {\n");
    for namespace in namespaces {
        let _ = writeln!(
            out,
            "\tsubgraph \"cluster_{namespace}\" {{\n\t\tcolor=\"black\"\n\t\tfontcolor=\"black\""
        );
        for name in all.iter().filter(|name| namespace_of(name) == namespace) {
            let label = name.strip_prefix(&format!("{namespace}/")).unwrap_or(name);
            let _ = writeln!(out, "\t\t{}", node(name, label, colour(name)));
        }
        let _ = writeln!(out, "\t\tlabel=\"{namespace}\"\n\t}}");
    }
    let ends: BTreeSet<&String> = changes.iter().flat_map(|change| [&change.src, &change.dst]).collect();
    for end in ends.into_iter().filter(|end| !all.contains(end)) {
        let _ = writeln!(out, "\t{}", node(end, end, "blue"));
    }
    let mut lines: Vec<String> = changes.iter().map(edge).collect();
    lines.sort();
    lines.iter().for_each(|line| out.push_str(line));
    out.push_str("}\n");
    out
}

fn edge(change: &LineChange) -> String {
    let (label, colour) = match change.kind {
        LineChangeKind::Unchanged => (change.before.clone(), "grey"),
        LineChangeKind::Changed => (format!("{} (ref1: {})", change.after, change.before), "magenta"),
        LineChangeKind::Removed => (change.before.clone(), "red2"),
        LineChangeKind::Added => (change.after.clone(), NEW),
    };
    let weight = if change.src < change.dst { "0.5" } else { "1" };
    format!(
        "\t\"{}\" -> \"{}\" [label=\"{label}\" color=\"{colour}\" fontcolor=\"{colour}\" weight={weight}]\n",
        change.src, change.dst
    )
}
