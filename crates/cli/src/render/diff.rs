//! Changes as text, Markdown and CSV.

use std::fmt::Write;

use podgate_analysis::diff::{Cause, ChangeKind, Changed, Diff, Effect, RuleState, WorkloadChange};
use podgate_policy::Direction;

use super::csv;
use super::reach::{MOST_NAMES, counted};
use crate::style::{BAD, BOLD, FAINT, GOOD, WARN};

/// Changes under what happened, each with its causes.
pub fn text(diff: &Diff, most: usize) -> String {
    let mut out = String::new();
    if diff.is_empty() {
        return "Nothing changes: every connection is allowed or denied as before.\n".to_owned();
    }
    // Writing to a string can't fail.
    if !diff.exposed.is_empty() {
        let _ = writeln!(out, "{BAD}Newly exposed to the internet{BAD:#}");
        for exposed in &diff.exposed {
            let _ =
                writeln!(out, "  {} {}  {FAINT}{}{FAINT:#}", exposed.workload, exposed.ports, way(exposed));
        }
    }
    for (title, workloads) in
        [("Workloads added", &diff.workloads_added), ("Workloads removed", &diff.workloads_removed)]
    {
        if !workloads.is_empty() {
            let _ = writeln!(out, "{BOLD}{title}{BOLD:#}");
            for WorkloadChange { workload, source } in workloads {
                let _ = writeln!(out, "  {workload}  {FAINT}{source}{FAINT:#}");
            }
        }
    }
    for (kind, title, style) in [
        (ChangeKind::Opened, "Opened", WARN),
        (ChangeKind::Closed, "Closed", GOOD),
        (ChangeKind::Changed, "Changed", WARN),
    ] {
        let of_kind: Vec<&Changed> = diff.connections.iter().filter(|change| change.kind == kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let _ = writeln!(out, "{style}{title}{style:#}");
        for change in of_kind {
            let _ = writeln!(
                out,
                "  {} -> {}  {BOLD}{}{BOLD:#}",
                change.from.text(most),
                change.to.text(most),
                ports(change)
            );
            for cause in &change.causes {
                let _ = writeln!(out, "      {FAINT}{}{FAINT:#}", because(cause));
            }
        }
    }
    out.push_str(&summary(diff));
    out.push('\n');
    out
}

fn summary(diff: &Diff) -> String {
    let of = |kind| diff.connections.iter().filter(|change| change.kind == kind).count();
    let mut parts = Vec::new();
    for (number, word) in [
        (of(ChangeKind::Opened), "opened"),
        (of(ChangeKind::Closed), "closed"),
        (of(ChangeKind::Changed), "changed"),
        (diff.exposed.len(), "newly exposed to the internet"),
        (diff.workloads_added.len(), "added"),
        (diff.workloads_removed.len(), "removed"),
    ] {
        if number > 0 {
            let what = match word {
                "added" | "removed" => counted(number, "workload", "workloads"),
                _ => number.to_string(),
            };
            parts.push(format!("{what} {word}"));
        }
    }
    parts.join(", ")
}

fn way(exposed: &podgate_analysis::diff::Exposed) -> String {
    match (exposed.through.as_str(), exposed.source.as_str()) {
        ("", _) => "policy lets addresses of the internet in".to_owned(),
        (through, "") => format!("through {through}"),
        (through, source) => format!("through {through}, {source}"),
    }
}

/// `+TCP 80 -TCP 443`, or what there is now when there was nothing.
fn ports(change: &Changed) -> String {
    let all = |ports: &dyn std::fmt::Display| match ports.to_string() {
        text if text == "all" => "all ports".to_owned(),
        text => text,
    };
    let (opened, closed) = (change.opened(), change.closed());
    let mut text = match change.kind {
        ChangeKind::Opened if change.before.0.is_empty() => all(&opened),
        ChangeKind::Closed if change.after.0.is_empty() => all(&closed),
        ChangeKind::Opened => format!("{} (was {})", all(&change.after), change.before),
        ChangeKind::Closed => format!("{} (was {})", all(&change.after), all(&change.before)),
        ChangeKind::Changed => format!("+{opened} -{closed}"),
    };
    if let Some(family) = change.family {
        let _ = write!(text, " ({family} only)");
    }
    text
}

/// `ingress: rule shop/db ingress[1] allows it (new, new.yaml:18)`.
pub fn because(cause: &Cause) -> String {
    let direction = match cause.direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    };
    let rule = || {
        let place = cause.rule.map(|index| format!(" {direction}[{index}]")).unwrap_or_default();
        format!("{}{place}", cause.policies.join(", "))
    };
    let text = match cause.effect {
        Effect::RuleAllows => format!("rule {} allows it", rule()),
        Effect::RuleDenied => format!("rule {} denied it", rule()),
        Effect::RuleDenies => format!("rule {} denies it", rule()),
        Effect::RuleAllowed => format!("rule {} allowed it", rule()),
        Effect::NoLongerIsolated => format!("{} isolated it, and nothing does now", rule()),
        Effect::Isolated => format!("{} isolates it, and no rule allows it", rule()),
    };
    let state = match cause.state {
        RuleState::New => "new",
        RuleState::Changed => "changed",
        RuleState::Gone => "gone",
        RuleState::Unchanged => "unchanged: labels or namespaces changed",
    };
    let place = cause.sources.join(", ");
    let place = if place.is_empty() { place } else { format!(", {place}") };
    format!("{direction}: {text} ({state}{place})")
}

/// For a pull request's comment.
pub fn markdown(diff: &Diff) -> String {
    let mut out = String::from("### What these changes do to the network\n\n");
    if diff.is_empty() {
        out.push_str("Nothing changes: every connection is allowed or denied as before.\n");
        return out;
    }
    let _ = writeln!(out, "**{}**", summary(diff));
    if !diff.exposed.is_empty() {
        out.push_str("\n> [!WARNING]\n> Newly exposed to the internet:\n");
        for exposed in &diff.exposed {
            let _ = writeln!(out, "> - `{}` {} ({})", exposed.workload, exposed.ports, way(exposed));
        }
    }
    let listed = [("Workloads added", &diff.workloads_added), ("Workloads removed", &diff.workloads_removed)];
    for (title, workloads) in listed.into_iter().filter(|(_, workloads)| !workloads.is_empty()) {
        let names: Vec<String> = workloads.iter().map(|w| format!("`{}`", w.workload)).collect();
        let _ = writeln!(out, "\n{title}: {}", names.join(", "));
    }
    if !diff.connections.is_empty() {
        let rows: Vec<Vec<String>> = diff
            .connections
            .iter()
            .map(|change| {
                let sign = match change.kind {
                    ChangeKind::Opened => "opened",
                    ChangeKind::Closed => "closed",
                    ChangeKind::Changed => "changed",
                };
                let causes: Vec<String> = change.causes.iter().map(because).collect();
                vec![
                    sign.to_owned(),
                    change.from.text(MOST_NAMES),
                    change.to.text(MOST_NAMES),
                    ports(change),
                    causes.join("; "),
                ]
            })
            .collect();
        out.push('\n');
        out.push_str(&csv::markdown(&["", "from", "to", "ports", "because"], &rows));
    }
    out
}

/// A line for each change.
pub fn csv(diff: &Diff) -> String {
    let mut out = csv::row(&["change", "from", "to", "before", "after", "family", "because"]);
    for change in &diff.connections {
        let kind = match change.kind {
            ChangeKind::Opened => "opened",
            ChangeKind::Closed => "closed",
            ChangeKind::Changed => "changed",
        };
        let causes: Vec<String> = change.causes.iter().map(because).collect();
        out.push_str(&csv::row(&[
            kind,
            &change.from.text(usize::MAX),
            &change.to.text(usize::MAX),
            &change.before.to_string(),
            &change.after.to_string(),
            change.family.unwrap_or_default(),
            &causes.join("; "),
        ]));
    }
    out
}
