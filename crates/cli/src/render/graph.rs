//! Pictures of who reaches whom: DOT, Mermaid, and SVG by a layout of our own, alone or in a page.

mod layout;
mod svg;

use std::fmt::Write;

use podgate_analysis::graph::{Badge, Graph, Place};

pub use svg::{html, svg};

/// `← all pods: TCP 80`.
pub(super) fn badge_text(badge: &Badge) -> String {
    let arrow = if badge.inward { "←" } else { "→" };
    format!("{arrow} {}: {}", badge.others, badge.ports)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// For Graphviz, with a box for each namespace.
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph podgate {\n  rankdir=LR\n  compound=true\n  node [shape=box style=rounded fontname=\"sans-serif\"]\n  \
         edge [fontname=\"sans-serif\" fontsize=10]\n",
    );
    let id = |at: usize| match graph.nodes[at].namespace {
        Some(group) => quoted(&format!("{}/{}", graph.namespaces[group].name, graph.nodes[at].name)),
        None => quoted(&format!("{} {at}", graph.nodes[at].name)),
    };
    let label = |at: usize| {
        let node = &graph.nodes[at];
        let lines = std::iter::once(node.name.clone()).chain(node.badges.iter().map(badge_text));
        quoted(&lines.collect::<Vec<_>>().join("\n")).replace('\n', "\\n")
    };
    // Writing to a string can't fail.
    for group in &graph.namespaces {
        let lines = std::iter::once(group.name.clone()).chain(group.badges.iter().map(badge_text));
        let title = quoted(&lines.collect::<Vec<_>>().join("\n")).replace('\n', "\\n");
        let _ =
            writeln!(out, "  subgraph {} {{\n    label={title}", quoted(&format!("cluster_{}", group.name)));
        for at in &group.nodes {
            let colour = if graph.nodes[*at].unprotected { " color=\"#c2410c\"" } else { "" };
            let _ = writeln!(out, "    {} [label={}{colour}]", id(*at), label(*at));
        }
        out.push_str("  }\n");
    }
    for at in (0..graph.nodes.len()).filter(|at| graph.nodes[*at].namespace.is_none()) {
        let _ = writeln!(out, "  {} [label={} shape=ellipse]", id(at), label(at));
    }
    for edge in &graph.edges {
        let end = |place: Place, key: &str| match place {
            Place::Node(at) => (id(at), String::new()),
            Place::Namespace(at) => {
                let group = &graph.namespaces[at];
                (id(group.nodes[0]), format!(" {key}={}", quoted(&format!("cluster_{}", group.name))))
            }
        };
        let (from, tail) = end(edge.from, "ltail");
        let (to, head) = end(edge.to, "lhead");
        let _ = writeln!(out, "  {from} -> {to} [label={}{tail}{head}]", quoted(&edge.ports));
    }
    for (number, note) in graph.notes.iter().enumerate() {
        let _ = writeln!(out, "  note{number} [shape=note label={}]", quoted(note));
    }
    out.push_str("}\n");
    out
}

/// For Mermaid, which Markdown on GitHub and elsewhere shows.
pub fn mermaid(graph: &Graph) -> String {
    let mut out = String::from("flowchart LR\n");
    let safe = |text: &str| text.replace('"', "#quot;").replace('\n', "<br>");
    let place = |place: Place| match place {
        Place::Node(at) => format!("n{at}"),
        Place::Namespace(at) => format!("ns{at}"),
    };
    let label = |name: &str, badges: &[Badge]| {
        let lines = std::iter::once(name.to_owned()).chain(badges.iter().map(badge_text));
        safe(&lines.collect::<Vec<_>>().join("\n"))
    };
    for (number, group) in graph.namespaces.iter().enumerate() {
        let _ = writeln!(out, "  subgraph ns{number}[\"{}\"]", label(&group.name, &group.badges));
        for at in &group.nodes {
            let _ =
                writeln!(out, "    n{at}[\"{}\"]", label(&graph.nodes[*at].name, &graph.nodes[*at].badges));
        }
        out.push_str("  end\n");
    }
    for (at, node) in graph.nodes.iter().enumerate().filter(|(_, node)| node.namespace.is_none()) {
        let _ = writeln!(out, "  n{at}([\"{}\"])", safe(&node.name));
    }
    for edge in &graph.edges {
        let _ = writeln!(out, "  {} -->|\"{}\"| {}", place(edge.from), safe(&edge.ports), place(edge.to));
    }
    for (number, note) in graph.notes.iter().enumerate() {
        let _ = writeln!(out, "  note{number}[/\"{}\"/]", safe(note));
    }
    out
}
