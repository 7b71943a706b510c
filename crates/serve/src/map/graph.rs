//! Nodes and edges of a map before it is drawn. Edges that rules make are counted by kind of node, and only those that
//! are drawn, or that say where nodes stand, are ever made.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::lifted;
use super::rules::{Kinds, Rules};
use crate::model::{Place, Scope, Seen};
use crate::places::{Namer, of_pod};
use crate::state::Snapshot;
use crate::table::Party;

/// What may become a node, and what was seen.
pub struct Draft<'a> {
    snapshot: &'a Snapshot,
    scope: Scope,
    /// By place: the parties that it stands for, and whether it is drawn without edges too.
    places: BTreeMap<usize, (Vec<usize>, bool)>,
    seen: BTreeMap<(usize, usize), SeenEdge>,
}

/// An edge on which something was seen.
#[derive(Clone, Debug, Default)]
pub struct SeenEdge {
    /// What.
    pub seen: Seen,
    /// On some port most came through, and the last was denied; policy allows nothing.
    pub cut: bool,
    /// What policy allows.
    pub allowed: Allowed,
}

/// What policy allows on an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// What rules say that mean its ends.
    ByRules,
    /// These ports, in words, although no rule means its ends; and whether that is because no policy has a say.
    Besides(String, bool),
    /// Nothing.
    #[default]
    Nothing,
}

impl SeenEdge {
    /// Whether nothing is allowed on it, and it is there because somebody tried.
    pub fn is_denied_only(&self) -> bool {
        self.allowed == Allowed::Nothing && self.seen.denied > 0
    }
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// The number of its place.
    pub place: usize,
    kinds: Option<Kinds>,
    /// Nodes with the same home are pods of one workload, or the same: rules make no edges between them.
    home: Option<usize>,
    is_within: bool,
    is_wanted: bool,
}

/// How many others a node is connected with on edges where something is allowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Degree {
    /// How many connect to it.
    pub inward: usize,
    /// How many it connects to.
    pub outward: usize,
}

/// Nodes in the order in which they are drawn, and their edges; both ends of an edge are indices of nodes.
pub struct Graph<'a> {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The edges on which something was seen.
    pub seen: BTreeMap<(usize, usize), SeenEdge>,
    /// By node.
    pub degrees: Vec<Degree>,
    /// How many edges there are.
    pub edges: usize,
    /// What makes the other edges.
    pub rules: Rules<'a>,
    focus: Option<usize>,
    /// By kind of receivers.
    receivers: Vec<Vec<usize>>,
}

impl<'a> Draft<'a> {
    /// What rules are about.
    pub fn new(
        snapshot: &'a Snapshot,
        scope: Scope,
        namespaces: &[&str],
        namer: &mut Namer<'_>,
    ) -> Draft<'a> {
        let (world, table) = (snapshot.world(), snapshot.table());
        let mut draft = Draft { snapshot, scope, places: BTreeMap::new(), seen: BTreeMap::new() };
        for (at, party) in table.parties.iter().enumerate() {
            let place = namer.get(at).clone();
            let nodes = match party {
                Party::Workload(id)
                    if scope == Scope::Pods && namespaces.contains(&place.namespace.as_str()) =>
                {
                    let pods = world.workload(*id).pods.iter();
                    pods.map(|pod| namer.place(of_pod(&place.namespace, &world.pod(*pod).name))).collect()
                }
                _ => vec![draft.node(at, &place, namer)],
            };
            for node in nodes {
                let (parties, is_wanted) = draft.places.entry(node).or_default();
                parties.push(at);
                *is_wanted |= matches!(party, Party::Workload(_));
            }
        }
        draft
    }

    fn node(&self, at: usize, place: &Place, namer: &mut Namer<'_>) -> usize {
        lifted(place, self.scope).map_or(at, |place| namer.place(place))
    }

    /// Adds what was seen between two places, and whether some of it was cut.
    pub fn see(&mut self, (from, to): (usize, usize), seen: Seen, cut: bool, namer: &mut Namer<'_>) {
        let [from, to] = [from, to].map(|at| {
            let place = namer.get(at).clone();
            self.node(at, &place, namer)
        });
        if from == to {
            return;
        }
        for node in [from, to] {
            self.places.entry(node).or_default().1 = true;
        }
        let edge = self.seen.entry((from, to)).or_default();
        edge.cut |= cut;
        let sum = &mut edge.seen;
        sum.allowed += seen.allowed;
        sum.denied += seen.denied;
        sum.staged += seen.staged;
        sum.bytes += seen.bytes;
        sum.last = sum.last.max(seen.last);
    }

    /// The place with an id, among those that are not in the objects.
    pub fn find(&self, id: &str, namer: &Namer<'_>) -> Option<usize> {
        self.places.keys().copied().find(|at| namer.get(*at).id == id)
    }

    /// What has an end in a place, or in some namespaces.
    pub fn graph(mut self, focus: Option<usize>, namespaces: &[&str], namer: &Namer<'_>) -> Graph<'a> {
        if let Some(focus) = focus {
            self.places.entry(focus).or_default();
        }
        let mut rules = Rules::new(self.snapshot.world(), self.snapshot.table());
        let mut nodes: Vec<Node> = std::mem::take(&mut self.places)
            .into_iter()
            .map(|(place, (parties, is_wanted))| {
                let is_within =
                    namespaces.is_empty() || namespaces.contains(&namer.get(place).namespace.as_str());
                Node {
                    place,
                    kinds: (!parties.is_empty()).then(|| rules.kinds(&parties)),
                    home: parties.first().copied(),
                    is_within,
                    is_wanted: is_wanted && is_within && focus.is_none(),
                }
            })
            .collect();
        rules.compare();
        // By namespace, name and kind; what is outside comes last.
        nodes.sort_by_key(|node| {
            let place = namer.get(node.place);
            (place.namespace.is_empty(), place.namespace.as_str(), place.name.as_str(), place.id.as_str())
        });
        let mut graph = Graph::new(rules, nodes, focus);
        let at: FxHashMap<usize, usize> =
            graph.nodes.iter().enumerate().map(|(at, node)| (node.place, at)).collect();
        for ((from, to), edge) in std::mem::take(&mut self.seen) {
            let (from, to) = (at[&from], at[&to]);
            if graph.is_kept(from, to) {
                let edge = self.explain(&graph, (from, to), edge, namer);
                graph.seen.insert((from, to), edge);
            }
        }
        graph.count();
        graph.leave_out(|node| namer.get(node.place).namespace.is_empty());
        graph
    }

    /// Says what policy allows on an edge on which something was seen.
    fn explain(
        &self,
        graph: &Graph<'_>,
        (from, to): (usize, usize),
        edge: SeenEdge,
        namer: &Namer<'_>,
    ) -> SeenEdge {
        if graph.is_by_rules(from, to) {
            return SeenEdge { cut: false, allowed: Allowed::ByRules, ..edge };
        }
        let table = self.snapshot.table();
        let party = |at: usize| -> Option<usize> {
            let at = graph.nodes[at].place;
            if at < table.parties.len() {
                return Some(at);
            }
            let place = namer.get(at);
            self.snapshot.places().workload_of(&place.namespace, &place.name).map(|at| at as usize)
        };
        let (Some(sender), Some(receiver)) = (party(from), party(to)) else { return edge };
        let ports = table.between(sender, receiver);
        if ports.is_empty() {
            return edge;
        }
        let unprotected = !graph.rules.protected[sender].1 && !graph.rules.protected[receiver].0;
        SeenEdge { cut: false, allowed: Allowed::Besides(ports.text(), unprotected), ..edge }
    }
}

impl<'a> Graph<'a> {
    fn new(rules: Rules<'a>, nodes: Vec<Node>, focus: Option<usize>) -> Graph<'a> {
        let focus = focus.and_then(|focus| nodes.iter().position(|node| node.place == focus));
        let mut graph = Graph {
            degrees: vec![Degree::default(); nodes.len()],
            nodes,
            seen: BTreeMap::new(),
            edges: 0,
            rules,
            focus,
            receivers: Vec::new(),
        };
        graph.index();
        graph
    }

    fn index(&mut self) {
        self.receivers = vec![Vec::new(); self.rules.receivers()];
        for (at, node) in self.nodes.iter().enumerate() {
            if let Some(kinds) = node.kinds {
                self.receivers[kinds.receiver].push(at);
            }
        }
    }

    /// Whether an edge is one that was asked for.
    fn is_kept(&self, from: usize, to: usize) -> bool {
        let is_asked = self.focus.is_none_or(|focus| focus == from || focus == to);
        is_asked && (self.nodes[from].is_within || self.nodes[to].is_within)
    }

    /// Whether rules make an edge that was asked for.
    pub fn is_by_rules(&self, from: usize, to: usize) -> bool {
        let (sender, receiver) = (&self.nodes[from], &self.nodes[to]);
        let kinds = (sender.kinds.and_then(|kinds| kinds.sender), receiver.kinds);
        let (Some(from_kind), Some(Kinds { receiver: to_kind, .. })) = kinds else { return false };
        sender.home != receiver.home && self.rules.is_open(from_kind, to_kind) && self.is_kept(from, to)
    }

    /// The nodes to which rules make edges from a node, in order.
    pub fn reached(&self, from: usize) -> Vec<usize> {
        let Some(sender) = self.nodes[from].kinds.and_then(|kinds| kinds.sender) else { return Vec::new() };
        if let Some(focus) = self.focus
            && focus != from
        {
            return Vec::from_iter(self.is_by_rules(from, focus).then_some(focus));
        }
        let kinds = self.rules.reached(sender);
        let mut reached: Vec<usize> = kinds
            .flat_map(|kind| &self.receivers[kind])
            .copied()
            .filter(|to| self.nodes[*to].home != self.nodes[from].home && self.is_kept(from, *to))
            .collect();
        reached.sort_unstable();
        reached
    }

    /// The kinds of an edge's ends.
    pub fn kinds(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        Some((self.nodes[from].kinds?.sender?, self.nodes[to].kinds?.receiver))
    }

    fn count(&mut self) {
        match self.focus {
            Some(_) => self.count_each(),
            None => self.count_kinds(),
        }
        self.edges = self.degrees.iter().map(|degree| degree.outward).sum();
        for ((from, to), edge) in &self.seen {
            if edge.allowed == Allowed::ByRules {
                continue;
            }
            self.edges += 1;
            // Who knocks is no neighbour.
            if !edge.is_denied_only() {
                self.degrees[*from].outward += 1;
                self.degrees[*to].inward += 1;
            }
        }
    }

    fn count_each(&mut self) {
        for from in 0..self.nodes.len() {
            for to in self.reached(from) {
                self.degrees[from].outward += 1;
                self.degrees[to].inward += 1;
            }
        }
    }

    /// A node within the namespaces that are asked for has edges with all of a kind, another one with those within.
    fn count_kinds(&mut self) {
        #[derive(Clone, Copy, Default)]
        struct Number {
            all: usize,
            within: usize,
        }
        impl Number {
            fn add(&mut self, other: Number) {
                self.all += other.all;
                self.within += other.within;
            }
            fn of(self, node: &Node) -> usize {
                if node.is_within { self.all } else { self.within }
            }
        }
        let mut senders = vec![Number::default(); self.rules.senders()];
        let mut receivers = vec![Number::default(); self.rules.receivers()];
        let mut homes: FxHashMap<usize, Number> = FxHashMap::default();
        for node in &self.nodes {
            let one = Number { all: 1, within: usize::from(node.is_within) };
            if let (Some(kinds), Some(home)) = (node.kinds, node.home) {
                receivers[kinds.receiver].add(one);
                if let Some(sender) = kinds.sender {
                    senders[sender].add(one);
                }
                homes.entry(home).or_default().add(one);
            }
        }
        let mut inward = vec![Number::default(); receivers.len()];
        let mut outward = vec![Number::default(); senders.len()];
        for sender in 0..senders.len() {
            for receiver in self.rules.reached(sender) {
                inward[receiver].add(senders[sender]);
                outward[sender].add(receivers[receiver]);
            }
        }
        for (node, degree) in self.nodes.iter().zip(&mut self.degrees) {
            let (Some(kinds), Some(home)) = (node.kinds, node.home) else { continue };
            degree.inward = inward[kinds.receiver].of(node);
            if let Some(sender) = kinds.sender {
                degree.outward = outward[sender].of(node);
                // Nodes with its home are of its kinds.
                if self.rules.is_open(sender, kinds.receiver) {
                    degree.inward -= homes[&home].of(node);
                    degree.outward -= homes[&home].of(node);
                }
            }
        }
    }

    /// Leaves out nodes that have no edges and weren't asked for, and whoever nobody is connected with outside: an
    /// address range says nothing on a map then.
    fn leave_out(&mut self, is_outside: impl Fn(&Node) -> bool) {
        let mut is_linked: Vec<bool> =
            self.degrees.iter().map(|degree| degree.inward + degree.outward > 0).collect();
        for (from, to) in self.seen.keys() {
            is_linked[*from] = true;
            is_linked[*to] = true;
        }
        let is_drawn = |at: usize| {
            let node = &self.nodes[at];
            is_linked[at] || Some(at) == self.focus || (node.is_wanted && !is_outside(node))
        };
        let drawn: Vec<usize> = (0..self.nodes.len()).filter(|at| is_drawn(*at)).collect();
        let mut now = vec![0; self.nodes.len()];
        drawn.iter().enumerate().for_each(|(number, at)| now[*at] = number);
        let nodes = drawn.iter().map(|at| self.nodes[*at].clone());
        self.nodes = nodes.collect();
        self.degrees = drawn.iter().map(|at| self.degrees[*at]).collect();
        self.seen = std::mem::take(&mut self.seen)
            .into_iter()
            .map(|((from, to), edge)| ((now[from], now[to]), edge))
            .collect();
        self.focus = self.focus.map(|at| now[at]);
        self.index();
    }
}
