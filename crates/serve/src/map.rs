//! The map: who may connect to whom and who does, laid out.
//!
//! ```text
//! Table (rules that name somebody) --\
//! flows that were seen              ---> edges -> hubs folded -> the most telling first -> layout
//! ```
//!
//! Where no policy has a say everybody may connect to everybody: that is told once for each node and is no edge.

mod edges;
pub mod layout;

use std::collections::BTreeSet;

use podgate_analysis::World;
use rustc_hash::FxHashMap;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::map::edges::{Draft, Drafts};
use crate::map::layout::{Item, lay_out};
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
    let mut drafts = Drafts::new(snapshot, scope, &namespaces, &mut namer);
    for (key, pair) in &pairs {
        drafts.see(*key, pair.seen, pair.ports.values().any(was_cut), &mut namer);
    }
    let focus = match ask.text("focus") {
        Some(id) => {
            Some(snapshot.places().find(id).or_else(|| drafts.find(id, &namer)).ok_or_else(|| {
                Fault::missing(format!(
                    "no place has the id {id}: /places lists them, and a flow may name one that is gone"
                ))
            })?)
        }
        None => None,
    };
    drafts.keep(snapshot, focus, &namespaces, &namer);
    Ok(View { ask, scope, namer, drafts, focus, is_watched: ask.server.is_watched() }
        .finish(ask.number("edges") as usize))
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

struct View<'a> {
    ask: &'a Ask,
    scope: Scope,
    namer: Namer<'a>,
    drafts: Drafts,
    focus: Option<usize>,
    is_watched: bool,
}

impl View<'_> {
    fn finish(self, most: usize) -> MapView {
        let nodes: Vec<usize> = self.ordered();
        let at: FxHashMap<usize, usize> = nodes.iter().enumerate().map(|(at, place)| (*place, at)).collect();
        let hubs = self.hubs(&nodes, &at);
        let mut edges: Vec<MapEdge> = self
            .drafts
            .edges
            .iter()
            .map(|((from, to), draft)| {
                let (from, to) = (at[from], at[to]);
                let folded =
                    hubs[from].is_some_and(|hub| hub.outward) || hubs[to].is_some_and(|hub| hub.inward);
                self.edge(from, to, draft, folded)
            })
            .collect();
        let crowded = self.crowd(&mut edges, nodes.len());
        edges.sort_by_key(|edge| {
            let seen = edge.seen.unwrap_or_default();
            let count = seen.allowed + seen.denied;
            let rank = match () {
                () if edge.crowded => 5,
                () if seen.denied > 0 => 0,
                () if seen.staged > 0 => 1,
                () if edge.folded => 4,
                () if seen.allowed > 0 => 2,
                () => 3,
            };
            (rank, std::cmp::Reverse(count), edge.from, edge.to)
        });
        let more_edges = edges.len().saturating_sub(most);
        let (groups, group_of) = self.groups(&nodes);
        let allowed: Vec<&MapEdge> = edges.iter().filter(|edge| !is_denied_only(edge)).collect();
        let weights = weights(&allowed, &group_of, groups.len());
        // What is denied has no say about who stands where: an application keeps its shape whoever knocks.
        let links: Vec<(usize, usize)> =
            allowed.iter().filter(|edge| !edge.folded).map(|edge| (edge.from, edge.to)).collect();
        let about: Vec<About> = nodes.iter().map(|place| self.about(*place)).collect();
        // A hub that is in the middle of what isn't folded has its place there.
        let linked: BTreeSet<usize> = links.iter().flat_map(|(from, to)| [*from, *to]).collect();
        let items: Vec<Item> = nodes
            .iter()
            .enumerate()
            .map(|(at, place)| Item {
                group: group_of[at],
                width: width(&self.namer.get(*place).name, &about[at], hubs[at].is_some()),
                hub: hubs[at].is_some() && !linked.contains(&at),
            })
            .collect();
        let entry = groups.iter().position(String::is_empty);
        let laid = lay_out(&items, &weights, &links, entry);
        edges.truncate(most);
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
            nodes: nodes
                .iter()
                .enumerate()
                .map(|(number, place)| MapNode {
                    place: self.namer.get(*place).clone(),
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
            edges,
            more_edges,
        }
    }

    /// The nodes by namespace, name and kind; what is outside comes last.
    fn ordered(&self) -> Vec<usize> {
        let mut nodes: Vec<usize> = self.drafts.nodes.iter().copied().collect();
        nodes.sort_by(|a, b| {
            let key = |at: usize| {
                let place = self.namer.get(at);
                (place.namespace.is_empty(), place.namespace.as_str(), place.name.as_str(), place.id.as_str())
            };
            key(*a).cmp(&key(*b))
        });
        nodes
    }

    fn edge(&self, from: usize, to: usize, draft: &Draft, folded: bool) -> MapEdge {
        let seen = draft.seen.or_else(|| self.is_watched.then(Seen::default));
        MapEdge {
            from,
            to,
            allowed: draft.allowed.to_string(),
            unprotected: draft.unprotected,
            folded,
            crowded: false,
            cut: draft.cut && draft.allowed.is_empty(),
            seen,
        }
    }

    /// Marks the edges that would hide all others where somebody tries everything. Returns how many each node has.
    fn crowd(&self, edges: &mut [MapEdge], nodes: usize) -> Vec<usize> {
        // More than a few.
        const FEW: usize = 4;
        let mut denied = vec![0; nodes];
        for edge in edges.iter().filter(|edge| is_denied_only(edge) && !edge.cut) {
            denied[edge.from] += 1;
            denied[edge.to] += 1;
        }
        let mut crowded = vec![0; nodes];
        for edge in edges.iter_mut().filter(|edge| is_denied_only(edge) && !edge.cut) {
            edge.crowded = self.focus.is_none() && denied[edge.from].max(denied[edge.to]) > FEW;
            if edge.crowded {
                crowded[edge.from] += 1;
                crowded[edge.to] += 1;
            }
        }
        crowded
    }

    /// Nodes that a quarter of the others is connected with, or so many that nobody follows each edge.
    fn hubs(&self, nodes: &[usize], at: &FxHashMap<usize, usize>) -> Vec<Option<Hub>> {
        const LEAST: usize = 10;
        const MOST: usize = 40;
        // How many others connect to a node, and how many it connects to: an edge for each two.
        let mut others = vec![(0, 0); nodes.len()];
        // Who knocks is no neighbour.
        let open = self.drafts.edges.iter().filter(|(_, draft)| !draft.is_denied_only());
        for ((from, to), _) in open {
            let (from, to) = (at[from], at[to]);
            others[from].1 += 1;
            others[to].0 += 1;
        }
        let least = (nodes.len() / 4).clamp(LEAST, MOST);
        let hub = |number: usize| {
            let place = self.namer.get(nodes[number]);
            let (inward, outward) = others[number];
            if place.kind == OUTSIDE {
                let is_hub = inward + outward > LEAST / 2 && self.focus.is_none();
                return is_hub.then_some(Hub { kind: "outside", inward: true, outward: true });
            }
            if inward.max(outward) < least || self.focus.is_some() {
                return None;
            }
            let name = place.name.to_ascii_lowercase();
            let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
            let kind = match () {
                () if self.about(nodes[number]).is_dns || has(&["dns"]) => "dns",
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
    fn groups(&self, nodes: &[usize]) -> (Vec<String>, Vec<Option<usize>>) {
        if self.scope == Scope::Namespaces {
            return (Vec::new(), vec![None; nodes.len()]);
        }
        let mut groups: Vec<String> = Vec::new();
        let of = nodes.iter().map(|place| {
            let name = &self.namer.get(*place).namespace;
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

/// Whether nothing is allowed on an edge, and it is there because somebody tried.
fn is_denied_only(edge: &MapEdge) -> bool {
    edge.allowed.is_empty() && edge.seen.is_some_and(|seen| seen.denied > 0)
}

/// How much goes on in each box.
fn weights(edges: &[&MapEdge], group_of: &[Option<usize>], groups: usize) -> Vec<u64> {
    let mut weights = vec![0; groups];
    for edge in edges {
        for group in [group_of[edge.from], group_of[edge.to]].into_iter().flatten() {
            weights[group] += 1;
        }
    }
    weights
}

/// The place that stands for another one in a scope.
fn lifted(place: &Place, scope: Scope) -> Option<Place> {
    (scope == Scope::Namespaces && !place.namespace.is_empty())
        .then(|| crate::places::of_namespace(&place.namespace))
}
