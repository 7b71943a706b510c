//! Connections as text, CSV and Markdown.

use std::fmt::Write;

use podgate_analysis::World;
use podgate_analysis::reach::names::Ends;
use podgate_analysis::reach::{Connections, Grouping, Reach};

use super::csv;
use crate::style::{BOLD, FAINT};

/// More names than this are counted rather than listed.
pub const MOST_NAMES: usize = 6;

/// Groups of connections under what they have in common.
pub fn text(world: &World, reach: &Reach, grouping: Grouping, most: usize) -> String {
    let mut out = String::new();
    let width = reach.connections.iter().map(|c| ports(c).chars().count()).max().unwrap_or(0).min(40);
    let (heading, arrow): (fn(&Connections) -> &Ends, &str) = match grouping {
        Grouping::Destination => (|c| &c.to, "from"),
        Grouping::Source => (|c| &c.from, "to"),
    };
    let mut last: Option<&Ends> = None;
    // Writing to a string can't fail.
    for connections in &reach.connections {
        let head = heading(connections);
        if last != Some(head) {
            let _ = writeln!(out, "{BOLD}{}{BOLD:#}", head.text(most));
            last = Some(head);
        }
        let other = match grouping {
            Grouping::Destination => &connections.from,
            Grouping::Source => &connections.to,
        };
        let ports = ports(connections);
        let _ = writeln!(out, "  {ports:width$}  {FAINT}{arrow}{FAINT:#} {}", other.text(most));
    }
    if reach.connections.is_empty() {
        out.push_str("Policy allows no such connection.\n");
    } else if !reach.unreached.is_empty() {
        let _ = writeln!(out, "{BOLD}Nobody reaches{BOLD:#} {}", reach.unreached.text(most));
    }
    let _ = writeln!(out, "{FAINT}{}{FAINT:#}", size(world));
    out
}

/// `6 workloads in 4 namespaces, 12 policies`.
pub fn size(world: &World) -> String {
    let real = world.workloads.iter().filter(|workload| workload.hypothesis.is_none());
    let namespaces: std::collections::BTreeSet<&str> =
        real.clone().map(|workload| workload.namespace.as_str()).collect();
    let policies = world.cluster.policies().count() + world.cluster.cluster_policies().count();
    format!(
        "{} in {}, {}",
        counted(real.count(), "workload", "workloads"),
        counted(namespaces.len(), "namespace", "namespaces"),
        counted(policies, "policy", "policies")
    )
}

/// `1 policy`, `2 policies`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn ports(connections: &Connections) -> String {
    let ports = match connections.ports.to_string() {
        all if all == "all" => "all ports".to_owned(),
        ports => ports,
    };
    match connections.family {
        Some(family) => format!("{ports} ({family} only)"),
        None => ports,
    }
}

/// A line for each group of connections.
pub fn csv(reach: &Reach) -> String {
    let mut out = csv::row(&["from", "to", "ports", "family"]);
    for c in &reach.connections {
        let ports = c.ports.to_string();
        out.push_str(&csv::row(&[
            c.from.text(usize::MAX).as_str(),
            &c.to.text(usize::MAX),
            &ports,
            c.family.unwrap_or_default(),
        ]));
    }
    out
}

/// A Markdown table.
pub fn markdown(reach: &Reach) -> String {
    let row = |c: &Connections| vec![c.from.text(MOST_NAMES), c.to.text(MOST_NAMES), ports(c)];
    let rows: Vec<Vec<String>> = reach.connections.iter().map(row).collect();
    csv::markdown(&["from", "to", "ports"], &rows)
}
