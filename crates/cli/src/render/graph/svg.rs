//! The picture as SVG, light and dark, and a page around it.

use std::collections::BTreeMap;
use std::fmt::Write;

use podgate_analysis::graph::{Edge, Graph, Place};

use super::badge_text;
use super::layout::{LINE, Layout, Rect};
use crate::render::matrix::markup;

const STYLE: &str = "
.ground { fill: #ffffff; }
.space { fill: #f4f7fa; stroke: #cfd8e1; }
.space-name { font: 600 14px system-ui, sans-serif; fill: #33485c; }
.card { fill: #ffffff; stroke: #9db0c2; stroke-width: 1.2; }
.open .card { stroke: #d97706; stroke-dasharray: 5 3; }
.outside .card { fill: #fff4e2; stroke: #e0a34a; }
.name { font: 600 13px system-ui, sans-serif; fill: #16242f; }
.small { font: 11px system-ui, sans-serif; fill: #6b7d8d; }
.in { fill: #2563a8; } .out { fill: #2f7d4f; } .wide { fill: #b45309; }
.edge { fill: none; stroke: #7c93a8; stroke-width: 1.4; }
.edge.wide { fill: none; stroke: #d08a2e; }
.tip { fill: #7c93a8; } .tip.wide { fill: #d08a2e; }
.label { font: 11px system-ui, sans-serif; fill: #33485c; stroke: #ffffff; stroke-width: 4px; paint-order: stroke; text-anchor: middle; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #11171d; }
  .space { fill: #18212a; stroke: #2c3a47; }
  .space-name { fill: #b9c9d8; }
  .card { fill: #212d38; stroke: #4a6076; }
  .open .card { stroke: #d99a3d; }
  .outside .card { fill: #3a2c14; stroke: #a0752b; }
  .name { fill: #e6eef5; }
  .small { fill: #8fa2b3; }
  .in { fill: #7db4ee; } .out { fill: #7fcf9f; } .wide { fill: #f0b45c; }
  .edge { stroke: #617a91; } .edge.wide { stroke: #b0772a; }
  .tip { fill: #617a91; } .tip.wide { fill: #b0772a; }
  .label { fill: #c3d2df; stroke: #11171d; }
}
";

/// A picture that needs nothing else.
pub fn svg(graph: &Graph) -> String {
    let layout = Layout::new(graph);
    let notes = graph.notes.len() as f64 * (LINE + 3.0);
    let (width, height) = (layout.width, layout.height + notes);
    // Writing to a string can't fail.
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" aria-label=\"Who reaches whom\">\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n"
    );
    for (group, rect) in graph.namespaces.iter().zip(&layout.namespaces) {
        let Rect { x, y, w, h } = rect;
        let _ = writeln!(
            out,
            "<rect class=\"space\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"10\"/>\n\
             <text class=\"space-name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 14.0,
            y + 20.0,
            markup(&group.name)
        );
        for (line, badge) in group.badges.iter().enumerate() {
            let (x, y) = (x + 14.0, y + 20.0 + LINE * (line + 1) as f64);
            let class = class_of(&badge.others);
            let _ = writeln!(
                out,
                "<text class=\"small {class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                markup(&badge_text(badge))
            );
        }
    }
    edges(&mut out, graph, &layout);
    for at in 0..graph.nodes.len() {
        node(&mut out, graph, &layout, at);
    }
    for (line, note) in graph.notes.iter().enumerate() {
        let y = layout.height + (LINE + 3.0) * line as f64 + 2.0;
        let _ = writeln!(out, "<text class=\"small wide\" x=\"22\" y=\"{y:.1}\">{}</text>", markup(note));
    }
    out.push_str("</svg>\n");
    out
}

fn class_of(others: &str) -> &'static str {
    if others.contains("anywhere") || others.contains("internet") { "wide" } else { "" }
}

fn node(out: &mut String, graph: &Graph, layout: &Layout, at: usize) {
    let node = &graph.nodes[at];
    let Rect { x, y, w, h } = layout.nodes[at];
    let class = match node.namespace {
        None => "node outside",
        Some(_) if node.unprotected => "node open",
        Some(_) => "node",
    };
    let full = match node.namespace {
        Some(group) => format!("{}/{}[{}]", graph.namespaces[group].name, node.name, node.kind),
        None => node.name.clone(),
    };
    let hint = if node.unprotected { "; no policy protects it from incoming connections" } else { "" };
    let _ = writeln!(
        out,
        "<g class=\"{class}\" data-id=\"n{at}\" tabindex=\"0\"><title>{}{hint}</title>\
         <rect class=\"card\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{}\"/>",
        markup(&full),
        if node.namespace.is_none() { 16 } else { 6 }
    );
    let left = x + 13.0;
    let mut line = y + 19.0;
    let _ =
        writeln!(out, "<text class=\"name\" x=\"{left:.1}\" y=\"{line:.1}\">{}</text>", markup(&node.name));
    let mut small = |class: &str, text: &str| {
        line += LINE;
        let _ = writeln!(
            out,
            "<text class=\"small {class}\" x=\"{left:.1}\" y=\"{line:.1}\">{}</text>",
            markup(text)
        );
    };
    if !node.kind.is_empty() {
        small("", &node.kind);
    }
    if let Some(ports) = &layout.taken[at] {
        small("in", &format!("← {ports}"));
    }
    for badge in &node.badges {
        let class = match (class_of(&badge.others), badge.inward) {
            ("", true) => "in",
            ("", false) => "out",
            (wide, _) => wide,
        };
        small(class, &badge_text(badge));
    }
    out.push_str("</g>\n");
}

/// A curve with the place of its label.
struct Curve {
    start: (f64, f64),
    end: (f64, f64),
    bend: f64,
    /// Which way it leaves and arrives: to the right is 1.
    ways: (f64, f64),
}

impl Curve {
    fn middle(&self) -> (f64, f64) {
        let ((x0, y0), (x3, y3)) = (self.start, self.end);
        let (x1, x2) = (x0 + self.bend * self.ways.0, x3 - self.bend * self.ways.1);
        ((x0 + 3.0 * x1 + 3.0 * x2 + x3) / 8.0, (y0 + y3) / 2.0)
    }
}

fn edges(out: &mut String, graph: &Graph, layout: &Layout) {
    // Edges leave and arrive side by side, in the order of the other ends.
    let mut leaving: BTreeMap<Place, Vec<(i64, usize)>> = BTreeMap::new();
    let mut arriving: BTreeMap<Place, Vec<(i64, usize)>> = BTreeMap::new();
    for (number, edge) in graph.edges.iter().enumerate() {
        let middle = |place| {
            let rect = layout.place(place);
            (rect.y + rect.h / 2.0) as i64
        };
        leaving.entry(edge.from).or_default().push((middle(edge.to), number));
        arriving.entry(edge.to).or_default().push((middle(edge.from), number));
    }
    leaving.values_mut().chain(arriving.values_mut()).for_each(|list| list.sort_unstable());
    let share = |list: &[(i64, usize)], number: usize| {
        let place = list.iter().position(|(_, known)| *known == number).unwrap_or(0);
        (place as f64 + 1.0) / (list.len() as f64 + 1.0)
    };
    let mut labels: Vec<Rect> = Vec::new();
    let mut texts = String::new();
    for (number, edge) in graph.edges.iter().enumerate() {
        let (from, to) = (layout.place(edge.from), layout.place(edge.to));
        let y0 = from.y + from.h * share(&leaving[&edge.from], number);
        let y1 = to.y + to.h * share(&arriving[&edge.to], number);
        let curve = if to.x >= from.x + from.w {
            let bend = ((to.x - from.x - from.w) * 0.5).clamp(30.0, 220.0);
            Curve { start: (from.x + from.w, y0), end: (to.x, y1), bend, ways: (1.0, 1.0) }
        } else if to.x + to.w <= from.x {
            let bend = ((from.x - to.x - to.w) * 0.5).clamp(30.0, 220.0);
            Curve { start: (from.x, y0), end: (to.x + to.w, y1), bend, ways: (-1.0, -1.0) }
        } else {
            let right = 34.0 + (y1 - y0).abs() * 0.12;
            Curve { start: (from.x + from.w, y0), end: (to.x + to.w, y1), bend: right, ways: (1.0, -1.0) }
        };
        let class = if is_outside(graph, edge) { " wide" } else { "" };
        let ((x0, y0), (x3, y3)) = (curve.start, curve.end);
        let tip = x3 - 7.0 * curve.ways.1;
        let _ = writeln!(
            out,
            "<g class=\"link\" data-from=\"{}\" data-to=\"{}\"><title>{}</title>\
             <path class=\"edge{class}\" d=\"M{x0:.1} {y0:.1}C{:.1} {y0:.1} {:.1} {y3:.1} {tip:.1} {y3:.1}\"/>\
             <path class=\"tip{class}\" d=\"M{x3:.1} {y3:.1}l{:.1} -4.2v8.4z\"/></g>",
            ids(graph, edge.from),
            ids(graph, edge.to),
            markup(&format!("{} → {}: {}", title(graph, edge.from), title(graph, edge.to), edge.ports)),
            x0 + curve.bend * curve.ways.0,
            x3 - curve.bend * curve.ways.1,
            -8.0 * curve.ways.1
        );
        let told = matches!(edge.to, Place::Node(at) if layout.taken[at].is_some());
        if !told {
            let (x, mut y) = curve.middle();
            let width = edge.ports.chars().count() as f64 * 6.2;
            let here = |y: f64| Rect { x: x - width / 2.0, y: y - 10.0, w: width, h: 13.0 };
            while labels.iter().any(|label| overlap(label, &here(y))) {
                y += 13.0;
            }
            labels.push(here(y));
            let _ = writeln!(
                texts,
                "<text class=\"label link\" data-from=\"{}\" data-to=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>",
                ids(graph, edge.from),
                ids(graph, edge.to),
                markup(&edge.ports)
            );
        }
    }
    out.push_str(&texts);
}

fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

fn is_outside(graph: &Graph, edge: &Edge) -> bool {
    let outside = |place| matches!(place, Place::Node(at) if graph.nodes[at].namespace.is_none());
    outside(edge.from) || outside(edge.to)
}

/// The nodes that an edge's end stands for, for highlighting.
fn ids(graph: &Graph, place: Place) -> String {
    match place {
        Place::Node(at) => format!("n{at}"),
        Place::Namespace(at) => {
            graph.namespaces[at].nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" ")
        }
    }
}

fn title(graph: &Graph, place: Place) -> String {
    match place {
        Place::Namespace(at) => format!("{}/*", graph.namespaces[at].name),
        Place::Node(at) => match graph.nodes[at].namespace {
            Some(group) => format!("{}/{}", graph.namespaces[group].name, graph.nodes[at].name),
            None => graph.nodes[at].name.clone(),
        },
    }
}

const PAGE: &str = "
body { margin: 0; background: #ffffff; color: #16242f; font: 14px system-ui, sans-serif; }
header { padding: .8rem 1.4rem; color: #6b7d8d; }
main { overflow: auto; }
.node { cursor: pointer; outline: none; }
.node:focus .card { stroke-width: 2.4; }
.dim .node:not(.near), .dim .link:not(.near) { opacity: .14; }
.link, .node { transition: opacity .12s; }
@media (prefers-color-scheme: dark) { body { background: #11171d; color: #e6eef5; } }
";

const SCRIPT: &str = "
const picture = document.querySelector('svg');
const links = [...picture.querySelectorAll('.link')];
const nodes = [...picture.querySelectorAll('.node')];
let kept = null;
const show = id => {
  picture.classList.toggle('dim', id !== null);
  const near = new Set([id]);
  for (const link of links) {
    const from = link.dataset.from.split(' '), to = link.dataset.to.split(' ');
    const touches = from.includes(id) || to.includes(id);
    link.classList.toggle('near', touches);
    if (touches) (from.includes(id) ? to : from).forEach(other => near.add(other));
  }
  for (const node of nodes) node.classList.toggle('near', near.has(node.dataset.id));
};
for (const node of nodes) {
  node.addEventListener('mouseenter', () => show(node.dataset.id));
  node.addEventListener('mouseleave', () => show(kept));
  node.addEventListener('focus', () => { kept = node.dataset.id; show(kept); });
  node.addEventListener('blur', () => { kept = null; show(null); });
}
document.addEventListener('keydown', event => { if (event.key === 'Escape') document.activeElement.blur(); });
";

/// A page that works offline: hover or focus a workload to see its connections alone.
pub fn html(graph: &Graph) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Who reaches whom</title>\n\
         <style>{PAGE}</style>\n</head>\n<body>\n<header>Point at a workload, or move with Tab, to see its connections \
         alone.</header>\n<main>\n{}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        svg(graph)
    )
}
