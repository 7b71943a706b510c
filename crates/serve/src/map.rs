//! The map: who may connect to whom and who does, laid out.
//!
//! ```text
//! Table (rules that name somebody) --\
//! flows that were seen              ---> graph -> hubs folded -> edges, the most telling first -> layout
//! ```
//!
//! Where no policy has a say everybody may connect to everybody: that is told once for each node and is no edge.

mod graph;
pub mod layout;
mod rules;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use podgate_analysis::World;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::map::graph::{Allowed, Degree, Draft, Graph, SeenEdge};
use crate::map::layout::{Item, lay_out};
use crate::map::rules::Words;
use crate::matrix::{seen, was_cut};
use crate::model::{MapEdge, MapGroup, MapNode, MapView, Place, Scope, Seen};
use crate::places::{NODE, Namer, OUTSIDE};
use crate::table::Party;

/// Answers /map.
pub fn map(ask: &Ask) -> Result<MapView, Fault> {
    let scope = match ask.text("scope") {
        Some("namespaces") => Scope::Namespaces,
        Some("pods") => Scope::Pods,
        _ => Scope::Workloads,
    };
    let namespaces = ask.all("namespace");
    if scope == Scope::Pods && namespaces.is_empty() {
        return Err(Fault::bad("scope=pods needs a namespace: name those whose pods you want to see"));
    }
    let snapshot = &ask.snapshot;
    let mut namer = match scope {
        Scope::Pods => Namer::by_pod(snapshot.places(), &namespaces),
        Scope::Namespaces | Scope::Workloads => Namer::new(snapshot.places()),
    };
    let pairs = seen(ask, ask.window()?, &mut namer)?;
    let mut draft = Draft::new(snapshot, scope, &namespaces, &mut namer);
    for (key, pair) in &pairs {
        draft.see(*key, pair.seen, pair.ports.values().any(was_cut), &mut namer);
    }
    let focus = match ask.text("focus") {
        Some(id) => Some(snapshot.places().find(id).or_else(|| draft.find(id, &namer)).ok_or_else(|| {
            Fault::missing(format!(
                "no place has the id {id}: /places lists them, and a flow may name one that is gone"
            ))
        })?),
        None => None,
    };
    let graph = draft.graph(focus, &namespaces, &namer);
    Ok(View { ask, scope, namer, graph, has_focus: focus.is_some() }.finish(ask.number("edges") as usize))
}

/// What is known of a node besides its place.
#[derive(Clone, Debug, Default)]
struct About {
    pods: usize,
    ingress: bool,
    egress: bool,
    findings: usize,
    /// Port 53 is asked there.
    is_dns: bool,
}

/// What a node is a hub of, and which of its edges are folded for it: those that lead to it, those that lead from it. A
/// front end that everybody may connect to still shows what it connects to.
#[derive(Clone, Copy, Debug)]
struct Hub {
    kind: &'static str,
    inward: bool,
    outward: bool,
}

/// An edge before it is drawn, with what decides whether it is.
struct Edge<'a> {
    from: usize,
    to: usize,
    folded: bool,
    crowded: bool,
    seen: Option<&'a SeenEdge>,
}

impl Edge<'_> {
    /// The most telling first.
    fn order(&self) -> (u8, Reverse<u64>, usize, usize) {
        let seen = self.seen.map(|edge| edge.seen).unwrap_or_default();
        let rank = match () {
            () if self.crowded => 5,
            () if seen.denied > 0 => 0,
            () if seen.staged > 0 => 1,
            () if self.folded => 4,
            () if seen.allowed > 0 => 2,
            () => 3,
        };
        (rank, Reverse(seen.allowed + seen.denied), self.from, self.to)
    }
}

struct View<'a> {
    ask: &'a Ask,
    scope: Scope,
    namer: Namer<'a>,
    graph: Graph<'a>,
    has_focus: bool,
}

impl View<'_> {
    fn finish(self, most: usize) -> MapView {
        let graph = &self.graph;
        let about: Vec<About> = graph.nodes.iter().map(|node| self.about(node.place)).collect();
        let hubs = self.hubs(&about);
        let (is_crowded, crowded) = self.crowd();
        let mut edges = self.edges(&hubs, &is_crowded, most);
        edges.sort_by_key(Edge::order);
        let (groups, group_of) = self.groups();
        let weights = weights(&graph.degrees, &group_of, groups.len());
        // What is denied has no say about who stands where: an application keeps its shape whoever knocks.
        let links: Vec<(usize, usize)> = edges
            .iter()
            .filter(|edge| !edge.folded && !edge.seen.is_some_and(SeenEdge::is_denied_only))
            .map(|edge| (edge.from, edge.to))
            .collect();
        edges.truncate(most);
        // A hub that is in the middle of what isn't folded has its place there.
        let linked: BTreeSet<usize> = links.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let items: Vec<Item> = graph
            .nodes
            .iter()
            .enumerate()
            .map(|(at, node)| Item {
                group: group_of[at],
                width: width(&self.namer.get(node.place).name, &about[at], hubs[at].is_some()),
                hub: hubs[at].is_some() && !linked.contains(&at),
            })
            .collect();
        let entry = groups.iter().position(String::is_empty);
        let laid = lay_out(&items, &weights, &links, entry);
        let mut words = Words::new(&graph.rules);
        MapView {
            revision: self.ask.snapshot.revision(),
            scope: self.scope,
            width: laid.width,
            height: laid.height,
            groups: groups
                .into_iter()
                .zip(&laid.groups)
                .map(|(name, at)| MapGroup { name, x: at.x, y: at.y, w: at.w, h: at.h })
                .collect(),
            nodes: graph
                .nodes
                .iter()
                .enumerate()
                .map(|(number, node)| MapNode {
                    place: self.namer.get(node.place).clone(),
                    group: group_of[number],
                    x: laid.nodes[number].x,
                    y: laid.nodes[number].y,
                    w: laid.nodes[number].w,
                    h: laid.nodes[number].h,
                    pods: about[number].pods,
                    ingress: about[number].ingress,
                    egress: about[number].egress,
                    hub: hubs[number].map(|hub| hub.kind.to_owned()),
                    findings: about[number].findings,
                    crowded: crowded[number],
                })
                .collect(),
            more_edges: graph.edges - edges.len(),
            edges: edges.iter().map(|edge| self.edge(edge, &mut words)).collect(),
        }
    }

    /// All edges but those of hubs that come too late to be drawn.
    fn edges(
        &self,
        hubs: &[Option<Hub>],
        is_crowded: &BTreeSet<(usize, usize)>,
        most: usize,
    ) -> Vec<Edge<'_>> {
        let outward = |at: usize| hubs[at].is_some_and(|hub| hub.outward);
        let is_folded = |from: usize, to: usize| outward(from) || hubs[to].is_some_and(|hub| hub.inward);
        let seen = self.graph.seen.iter().map(|((from, to), seen)| Edge {
            from: *from,
            to: *to,
            folded: is_folded(*from, *to),
            crowded: is_crowded.contains(&(*from, *to)),
            seen: Some(seen),
        });
        let mut edges: Vec<Edge<'_>> = seen.collect();
        let mut left = most;
        for from in (0..hubs.len()).filter(|from| self.graph.degrees[*from].outward > 0) {
            // What was seen on a hub's edges is drawn before the others of them, which come in order.
            if left == 0 && outward(from) {
                continue;
            }
            for to in self.graph.reached(from) {
                let folded = is_folded(from, to);
                if self.graph.seen.contains_key(&(from, to)) || (folded && left == 0) {
                    continue;
                }
                left -= usize::from(folded);
                edges.push(Edge { from, to, folded, crowded: false, seen: None });
            }
        }
        edges
    }

    fn edge(&self, edge: &Edge<'_>, words: &mut Words<'_>) -> MapEdge {
        let (from, to) = (edge.from, edge.to);
        let (allowed, unprotected) = match edge.seen.map(|seen| &seen.allowed) {
            None | Some(Allowed::ByRules) => {
                let kinds = self.graph.kinds(from, to);
                (kinds.map(|(sender, receiver)| words.between(sender, receiver)).unwrap_or_default(), false)
            }
            Some(Allowed::Besides(text, unprotected)) => (text.clone(), *unprotected),
            Some(Allowed::Nothing) => (String::new(), false),
        };
        let is_watched = self.ask.server.is_watched();
        MapEdge {
            from,
            to,
            allowed,
            unprotected,
            folded: edge.folded,
            crowded: edge.crowded,
            cut: edge.seen.is_some_and(|seen| seen.cut),
            seen: edge.seen.map(|edge| edge.seen).or_else(|| is_watched.then(Seen::default)),
        }
    }

    /// The edges that would hide all others where somebody tries everything, and how many of them each node has.
    fn crowd(&self) -> (BTreeSet<(usize, usize)>, Vec<usize>) {
        // More than a few.
        const FEW: usize = 4;
        let mut denied = vec![0; self.graph.nodes.len()];
        let only = self.graph.seen.iter().filter(|(_, edge)| edge.is_denied_only() && !edge.cut);
        let only: Vec<(usize, usize)> = only.map(|(ends, _)| *ends).collect();
        for (from, to) in &only {
            denied[*from] += 1;
            denied[*to] += 1;
        }
        let is_crowded =
            |(from, to): &(usize, usize)| !self.has_focus && denied[*from].max(denied[*to]) > FEW;
        let edges: BTreeSet<(usize, usize)> = only.into_iter().filter(is_crowded).collect();
        let mut crowded = vec![0; denied.len()];
        for (from, to) in &edges {
            crowded[*from] += 1;
            crowded[*to] += 1;
        }
        (edges, crowded)
    }

    /// Nodes that a quarter of the others is connected with, or so many that nobody follows each edge.
    fn hubs(&self, about: &[About]) -> Vec<Option<Hub>> {
        const LEAST: usize = 10;
        const MOST: usize = 40;
        let nodes = &self.graph.nodes;
        let least = (nodes.len() / 4).clamp(LEAST, MOST);
        let hub = |number: usize| {
            let place = self.namer.get(nodes[number].place);
            let Degree { inward, outward } = self.graph.degrees[number];
            if place.kind == OUTSIDE {
                let is_hub = inward + outward > LEAST / 2 && !self.has_focus;
                return is_hub.then_some(Hub { kind: "outside", inward: true, outward: true });
            }
            if inward.max(outward) < least || self.has_focus {
                return None;
            }
            let name = place.name.to_ascii_lowercase();
            let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
            let kind = match () {
                () if about[number].is_dns || has(&["dns"]) => "dns",
                () if has(&["prometheus", "monitor", "metrics", "grafana", "telemetry", "agent"]) => {
                    "monitoring"
                }
                () if has(&["ingress", "gateway", "proxy", "nginx", "traefik", "envoy"]) => "ingress",
                () => "hub",
            };
            Some(Hub { kind, inward: inward >= least, outward: outward >= least })
        };
        (0..nodes.len()).map(hub).collect()
    }

    /// The boxes, and which of them each node is in.
    fn groups(&self) -> (Vec<String>, Vec<Option<usize>>) {
        let nodes = &self.graph.nodes;
        if self.scope == Scope::Namespaces {
            return (Vec::new(), vec![None; nodes.len()]);
        }
        let mut groups: Vec<String> = Vec::new();
        let of = nodes.iter().map(|node| {
            let name = &self.namer.get(node.place).namespace;
            Some(groups.iter().rposition(|known| known == name).unwrap_or_else(|| {
                groups.push(name.clone());
                groups.len() - 1
            }))
        });
        let of = of.collect();
        (groups, of)
    }

    fn about(&self, at: usize) -> About {
        let (world, place) = (self.ask.snapshot.world(), self.namer.get(at));
        let table = self.ask.snapshot.table();
        match table.parties.get(at) {
            Some(Party::Workload(id)) => about_workloads(self.ask, world, &[id.0 as usize]),
            Some(_) => About::default(),
            None if self.scope == Scope::Namespaces && place.kind != NODE => {
                let first = world.workloads.partition_point(|workload| workload.namespace < place.namespace);
                let last = world.workloads.partition_point(|workload| workload.namespace <= place.namespace);
                about_workloads(self.ask, world, &(first..last).collect::<Vec<_>>())
            }
            None => match self.ask.snapshot.places().workload_of(&place.namespace, &place.name) {
                Some(workload) if place.kind == "Pod" => {
                    About { pods: 1, ..about_workloads(self.ask, world, &[workload as usize]) }
                }
                _ => About::default(),
            },
        }
    }
}

fn about_workloads(ask: &Ask, world: &World, workloads: &[usize]) -> About {
    let mut about =
        About { ingress: !workloads.is_empty(), egress: !workloads.is_empty(), ..About::default() };
    for number in workloads {
        let workload = &world.workloads[*number];
        about.pods += workload.pods.len();
        let protection = protection(world, *number);
        about.ingress &= protection.0;
        about.egress &= protection.1;
        about.is_dns |= workload.labels.get("k8s-app").is_some_and(|name| name == "kube-dns");
    }
    about.findings = ask.snapshot.findings_of(workloads);
    about
}

/// Whether some policy has a say about all pods of a workload: who connects to them, and where they connect to.
pub fn protection(world: &World, workload: usize) -> (bool, bool) {
    let workload = &world.workloads[workload];
    let variants = workload.variants.iter().map(|variant| world.variant(*variant));
    let mut both = (!workload.host_network, !workload.host_network);
    for (_, identity) in variants.flat_map(|variant| &variant.identities) {
        both.0 &= identity.ingress.is_some();
        both.1 &= identity.egress.is_some();
    }
    both
}

/// How wide a name is drawn, in steps so that a longer name seldom moves others.
fn width(name: &str, about: &About, is_hub: bool) -> f64 {
    // Beside it are the sign of findings, how many pods there are, and how many edges are folded.
    let beside = [(about.findings > 0, 12), (about.pods > 1, 22), (is_hub, 36)];
    let beside: usize = beside.iter().filter(|(is, _)| *is).map(|(_, width)| width).sum();
    let text = 7 * name.chars().count().min(26) + 30 + beside;
    text.next_multiple_of(20).max(100) as f64
}

/// How much goes on in each box: an edge within it counts for both ends.
fn weights(degrees: &[Degree], group_of: &[Option<usize>], groups: usize) -> Vec<u64> {
    let mut weights = vec![0; groups];
    for (degree, group) in degrees.iter().zip(group_of) {
        if let Some(group) = group {
            weights[*group] += (degree.inward + degree.outward) as u64;
        }
    }
    weights
}

/// The place that stands for another one in a scope.
fn lifted(place: &Place, scope: Scope) -> Option<Place> {
    (scope == Scope::Namespaces && !place.namespace.is_empty())
        .then(|| crate::places::of_namespace(&place.namespace))
}
