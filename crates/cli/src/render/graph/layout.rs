//! Where things stand: namespaces in columns by who calls whom, workloads in columns within them.

use std::collections::{BTreeMap, BTreeSet};

use podgate_analysis::graph::{Graph, Place};

use super::badge_text;

/// A rectangle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub w: f64,
    pub h: f64,
}

/// A picture's measures.
#[derive(Debug, Default)]
pub struct Layout {
    /// Of nodes.
    pub nodes: Vec<Rect>,
    /// Of namespaces.
    pub namespaces: Vec<Rect>,
    /// The ports that all connections to a node have, where they agree: then edges need no labels.
    pub taken: Vec<Option<String>>,
    pub width: f64,
    pub height: f64,
}

const GAP: f64 = 26.0;
const COLUMN_GAP: f64 = 90.0;
const PADDING: f64 = 22.0;
const HEAD: f64 = 26.0;
pub const LINE: f64 = 17.0;
/// A column of more is cut in two.
const MOST_IN_COLUMN: usize = 8;

impl Layout {
    /// Places everything. The same graph always looks the same.
    pub fn new(graph: &Graph) -> Layout {
        let mut layout = Layout {
            nodes: vec![Rect::default(); graph.nodes.len()],
            namespaces: vec![Rect::default(); graph.namespaces.len()],
            taken: (0..graph.nodes.len()).map(|at| taken(graph, at)).collect(),
            width: 0.0,
            height: 0.0,
        };
        for (at, node) in graph.nodes.iter().enumerate() {
            let taken = layout.taken[at].as_ref().map(|ports| ports.chars().count() + 2);
            let badges = node.badges.iter().map(|badge| badge_text(badge).chars().count());
            let lines = badges.chain(taken);
            let small = lines.clone().max().unwrap_or(0) as f64 * 6.3;
            let title = (node.name.chars().count() as f64 * 8.6).max(node.kind.chars().count() as f64 * 6.3);
            let kind = if node.kind.is_empty() { 0.0 } else { LINE };
            layout.nodes[at].w = (title.max(small) + 26.0).max(96.0);
            layout.nodes[at].h = 28.0 + kind + lines.count() as f64 * LINE;
        }
        for at in 0..graph.namespaces.len() {
            layout.within(graph, at);
        }
        layout.columns(graph);
        layout
    }

    /// Places the workloads of a namespace relative to it.
    fn within(&mut self, graph: &Graph, group: usize) {
        let members = &graph.namespaces[group].nodes;
        let edges: Vec<(usize, usize)> = graph
            .edges
            .iter()
            .filter_map(|edge| match (edge.from, edge.to) {
                (Place::Node(from), Place::Node(to)) if from != to => Some((from, to)),
                _ => None,
            })
            .filter(|(from, to)| members.contains(from) && members.contains(to))
            .collect();
        let mut columns = layered(members, &edges);
        let linked: BTreeSet<usize> = edges.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let alone: Vec<usize> = members.iter().copied().filter(|at| !linked.contains(at)).collect();
        if linked.is_empty() {
            let across = (alone.len() as f64 * 0.6).sqrt().ceil() as usize;
            let down = alone.len().div_ceil(across.max(1)).max(1);
            columns = alone.chunks(down).map(<[usize]>::to_vec).collect();
        } else {
            columns.iter_mut().for_each(|column| column.retain(|at| linked.contains(at)));
            columns.retain(|column| !column.is_empty());
            for at in alone {
                let shortest = columns.iter_mut().min_by_key(|column| column.len());
                shortest.expect("linked workloads are in columns").push(at);
            }
        }
        let columns: Vec<Vec<usize>> = columns
            .into_iter()
            .flat_map(|column| column.chunks(MOST_IN_COLUMN).map(<[usize]>::to_vec).collect::<Vec<_>>())
            .collect();
        let gap = if linked.is_empty() { GAP } else { COLUMN_GAP };
        let badges = graph.namespaces[group].badges.len() as f64 * LINE;
        let height = |column: &[usize], nodes: &[Rect]| {
            column.iter().map(|at| nodes[*at].h).sum::<f64>() + GAP * (column.len().max(1) - 1) as f64
        };
        let tallest = columns.iter().map(|column| height(column, &self.nodes)).fold(0.0, f64::max);
        let mut x = PADDING;
        for column in &columns {
            let widest = column.iter().map(|at| self.nodes[*at].w).fold(0.0, f64::max);
            let mut y = HEAD + badges + PADDING / 2.0 + (tallest - height(column, &self.nodes)) / 2.0;
            for at in column {
                let node = &mut self.nodes[*at];
                node.w = widest;
                (node.x, node.y) = (x, y);
                y += node.h + GAP;
            }
            x += widest + gap;
        }
        let name = &graph.namespaces[group];
        let longest = std::iter::once(name.name.chars().count() as f64 * 8.5)
            .chain(name.badges.iter().map(|badge| badge_text(badge).chars().count() as f64 * 6.3));
        let title = longest.fold(0.0, f64::max) + 2.0 * PADDING;
        let rect = &mut self.namespaces[group];
        rect.w = (x - gap + PADDING).max(title);
        rect.h = HEAD + badges + PADDING / 2.0 + tallest + PADDING;
    }

    /// Places namespaces and what is outside in columns.
    fn columns(&mut self, graph: &Graph) {
        let box_of = |place: Place| match place {
            Place::Namespace(at) => Some(at),
            Place::Node(at) => graph.nodes[at].namespace,
        };
        let edges: Vec<(usize, usize)> = graph
            .edges
            .iter()
            .filter_map(|edge| Some((box_of(edge.from)?, box_of(edge.to)?)))
            .filter(|(from, to)| from != to)
            .collect();
        let all: Vec<usize> = (0..graph.namespaces.len()).collect();
        let mut columns: Vec<Vec<Item>> = layered(&all, &edges)
            .into_iter()
            .map(|column| column.into_iter().map(Item::Namespace).collect())
            .collect();
        let outside = (0..graph.nodes.len()).filter(|at| graph.nodes[*at].namespace.is_none());
        let is_source = |at: &usize| graph.edges.iter().any(|edge| edge.from == Place::Node(*at));
        let (sources, targets): (Vec<usize>, Vec<usize>) = outside.partition(is_source);
        columns.insert(0, sources.into_iter().map(Item::Node).collect());
        columns.push(targets.into_iter().map(Item::Node).collect());
        columns.retain(|column| !column.is_empty());
        let height = |column: &[Item], layout: &Layout| {
            let sum: f64 = column.iter().map(|item| layout.rect(*item).h).sum();
            sum + GAP * 1.5 * (column.len().max(1) - 1) as f64
        };
        let tallest = columns.iter().map(|column| height(column, self)).fold(0.0, f64::max);
        let mut x = PADDING;
        for column in &columns {
            let widest = column.iter().map(|item| self.rect(*item).w).fold(0.0, f64::max);
            let mut y = PADDING + (tallest - height(column, self)) / 2.0;
            for item in column {
                let rect = self.rect(*item);
                let left = x + (widest - rect.w) / 2.0;
                match item {
                    Item::Node(at) => (self.nodes[*at].x, self.nodes[*at].y) = (left, y),
                    Item::Namespace(at) => {
                        (self.namespaces[*at].x, self.namespaces[*at].y) = (left, y);
                        for node in &graph.namespaces[*at].nodes {
                            self.nodes[*node].x += left;
                            self.nodes[*node].y += y;
                        }
                    }
                }
                y += rect.h + GAP * 1.5;
            }
            x += widest + COLUMN_GAP;
        }
        self.width = x - COLUMN_GAP + PADDING;
        self.height = tallest + 2.0 * PADDING;
    }

    fn rect(&self, item: Item) -> Rect {
        match item {
            Item::Node(at) => self.nodes[at],
            Item::Namespace(at) => self.namespaces[at],
        }
    }

    /// The rectangle of an edge's end.
    pub fn place(&self, place: Place) -> Rect {
        match place {
            Place::Node(at) => self.nodes[at],
            Place::Namespace(at) => self.namespaces[at],
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Item {
    Node(usize),
    Namespace(usize),
}

/// The ports of all edges to a node, where they agree.
fn taken(graph: &Graph, at: usize) -> Option<String> {
    let mut ports: Vec<&str> = graph
        .edges
        .iter()
        .filter(|edge| edge.to == Place::Node(at))
        .map(|edge| edge.ports.as_str())
        .collect();
    ports.dedup();
    match ports[..] {
        [only] if graph.nodes[at].namespace.is_some() => Some(only.to_owned()),
        _ => None,
    }
}

/// Columns in which edges lead from left to right as far as there are no cycles, ordered so that few cross.
fn layered(nodes: &[usize], edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let edges: BTreeSet<(usize, usize)> = edges.iter().copied().collect();
    // Edges back to where the walk came from are left out.
    let mut state: BTreeMap<usize, bool> = BTreeMap::new();
    let mut forward: BTreeSet<(usize, usize)> = BTreeSet::new();
    let has_incoming = |at: &usize| edges.iter().any(|(_, to)| to == at);
    let roots = nodes.iter().filter(|at| !has_incoming(at)).chain(nodes.iter());
    fn walk(
        at: usize,
        edges: &BTreeSet<(usize, usize)>,
        state: &mut BTreeMap<usize, bool>,
        forward: &mut BTreeSet<(usize, usize)>,
    ) {
        state.insert(at, false);
        for (from, to) in edges.range((at, 0)..=(at, usize::MAX)) {
            match state.get(to) {
                Some(false) => continue,
                Some(true) => {}
                None => walk(*to, edges, state, forward),
            }
            forward.insert((*from, *to));
        }
        state.insert(at, true);
    }
    for at in roots {
        if !state.contains_key(at) {
            walk(*at, &edges, &mut state, &mut forward);
        }
    }
    let mut rank: BTreeMap<usize, usize> = nodes.iter().map(|at| (*at, 0)).collect();
    for _ in 0..nodes.len() {
        let mut moved = false;
        for (from, to) in &forward {
            let least = rank[from] + 1;
            if rank[to] < least {
                rank.insert(*to, least);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let last = rank.values().copied().max().unwrap_or(0);
    let mut columns: Vec<Vec<usize>> = vec![Vec::new(); last + 1];
    nodes.iter().for_each(|at| columns[rank[at]].push(*at));
    for sweep in 0..6 {
        let order: BTreeMap<usize, f64> = columns
            .iter()
            .flat_map(|column| {
                column.iter().enumerate().map(|(i, at)| (*at, (i as f64 + 0.5) / column.len() as f64))
            })
            .collect();
        for column in &mut columns {
            let middle = |at: usize| {
                let neighbours = forward.iter().filter_map(|(from, to)| match sweep % 2 {
                    0 => (*to == at).then_some(*from),
                    _ => (*from == at).then_some(*to),
                });
                let places: Vec<f64> = neighbours.map(|other| order[&other]).collect();
                if places.is_empty() { order[&at] } else { places.iter().sum::<f64>() / places.len() as f64 }
            };
            let mut keyed: Vec<(f64, usize)> = column.iter().map(|at| (middle(*at), *at)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            *column = keyed.into_iter().map(|(_, at)| at).collect();
        }
    }
    columns
}
