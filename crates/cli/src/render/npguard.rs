//! The line format of np-guard's netpol-analyzer and roxctl, with its JSON, CSV, Markdown and DOT forms.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use podgate_analysis::World;
use podgate_analysis::npguard::{Line, Names, names};
use podgate_analysis::world::VariantId;

use super::csv;

/// `a => b : TCP 80`.
pub fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{} => {} : {}\n", line.src, line.dst, line.conn)).collect()
}

/// `src,dst,conn`.
pub fn csv(lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| csv::row(&[&line.src, &line.dst, &line.conn]));
    csv::row(&["src", "dst", "conn"]) + &rows.collect::<String>()
}

/// `| src | dst | conn |`.
pub fn markdown(lines: &[Line]) -> String {
    let rows = lines.iter().map(|line| format!("| {} | {} | {} |\n", line.src, line.dst, line.conn));
    format!("| src | dst | conn |\n|-----|-----|------|\n{}", rows.collect::<String>())
}

/// A graph with a box for each namespace.
pub fn dot(world: &World, lines: &[Line]) -> String {
    let edges = lines.iter().map(|line| Edge {
        src: &line.src,
        dst: &line.dst,
        label: &line.conn,
        colour: "gold2",
        font: "darkgreen",
    });
    let outside = |name: &str| {
        let colour = if name.ends_with("[External]") { "red2" } else { "blue" };
        node(name, name, colour)
    };
    let ends: BTreeSet<&str> = lines.iter().flat_map(|line| [line.src.as_str(), &line.dst]).collect();
    let mut out = String::from("digraph {\n");
    out.push_str(&namespaces(world));
    let pods = names(world);
    for end in ends.into_iter().filter(|end| !pods.contains(*end)) {
        let _ = writeln!(out, "\t{}", outside(end));
    }
    let mut lines: Vec<String> = edges.map(|edge| edge.line()).collect();
    lines.sort();
    lines.iter().for_each(|line| out.push_str(line));
    out.push_str("}\n");
    out
}

/// An edge of a graph.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    /// Source.
    pub src: &'a str,
    /// Destination.
    pub dst: &'a str,
    /// Ports.
    pub label: &'a str,
    /// Colour of the edge.
    pub colour: &'a str,
    /// Colour of its label.
    pub font: &'a str,
}

impl Edge<'_> {
    /// The edge's line. Edges against the order of names pull harder, as np-guard has it.
    pub fn line(self) -> String {
        let weight = if self.src < self.dst { "0.5" } else { "1" };
        format!(
            "\t\"{}\" -> \"{}\" [label=\"{}\" color=\"{}\" fontcolor=\"{}\" weight={weight}]\n",
            self.src, self.dst, self.label, self.colour, self.font
        )
    }
}

/// `"shop/web[Deployment]" [label="web[Deployment]" color="blue" fontcolor="blue"]`.
pub fn node(name: &str, label: &str, colour: &str) -> String {
    format!("\"{name}\" [label=\"{label}\" color=\"{colour}\" fontcolor=\"{colour}\"]")
}

fn by_namespace(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let names = Names::new(world);
    let mut namespaces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (number, variant) in world.variants.iter().enumerate() {
        let workload = world.workload(variant.workload);
        if workload.hypothesis.is_none() {
            let members = namespaces.entry(workload.namespace.clone()).or_default();
            members.extend(names.of(VariantId(number as u32)).cloned());
        }
    }
    namespaces
}

/// A box for each namespace with its workloads.
pub fn namespaces(world: &World) -> String {
    let mut out = String::new();
    for (namespace, members) in by_namespace(world) {
        let _ = writeln!(
            out,
            "\tsubgraph \"cluster_{namespace}\" {{\n\t\tcolor=\"black\"\n\t\tfontcolor=\"black\""
        );
        for name in members {
            let label = name.strip_prefix(&format!("{namespace}/")).unwrap_or(&name);
            let _ = writeln!(out, "\t\t{}", node(&name, label, "blue"));
        }
        let _ = writeln!(out, "\t\tlabel=\"{namespace}\"\n\t}}");
    }
    out
}
