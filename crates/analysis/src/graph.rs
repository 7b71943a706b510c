//! The relation as a picture's parts: workloads in namespaces, edges between them, and what would be an edge
//! to nearly everybody as a badge.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::joint::{End, EndId, Joint};
use crate::reach::names::{Namer, joined};
use crate::reach::{Grouping, Question, blocks, by_family, family_name, single_pod};
use crate::world::{VariantId, World};

/// A picture's parts.
#[derive(Debug, Default, Serialize)]
pub struct Graph {
    /// Namespaces with workloads, sorted.
    pub namespaces: Vec<Group>,
    /// Workloads, then what is outside.
    pub nodes: Vec<Node>,
    /// Edges, sorted.
    pub edges: Vec<Edge>,
    /// What holds for everybody.
    pub notes: Vec<String>,
}

/// A namespace.
#[derive(Debug, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its workloads, as places in [`Graph::nodes`].
    pub nodes: Vec<usize>,
    /// What holds for all of them.
    pub badges: Vec<Badge>,
}

/// A workload, or addresses outside.
#[derive(Debug, Serialize)]
pub struct Node {
    /// The workload's name, or the addresses.
    pub name: String,
    /// The workload's kind; empty for what is outside.
    pub kind: String,
    /// The namespace, as a place in [`Graph::namespaces`].
    pub namespace: Option<usize>,
    /// No policy has a say about who connects to it.
    pub unprotected: bool,
    /// Connections with nearly everybody.
    pub badges: Vec<Badge>,
}

/// Connections with so many others that an edge for each would hide the rest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Badge {
    /// They are made to it.
    pub inward: bool,
    /// The others: `all pods`, `anywhere`.
    pub others: String,
    /// Ports.
    pub ports: String,
}

/// Connections from one to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// Source.
    pub from: Place,
    /// Destination.
    pub to: Place,
    /// Ports.
    pub ports: String,
}

/// An end of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// A place in [`Graph::nodes`].
    Node(usize),
    /// A place in [`Graph::namespaces`]: all its workloads.
    Namespace(usize),
}

/// An outside node with more edges than this becomes badges.
const MOST_EDGES: usize = 6;

/// Some ends as a picture shows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    AllPods,
    Namespace(String),
    Variant(VariantId),
    Outside(String),
}

impl Graph {
    /// The picture of a question's answer.
    pub fn new(world: &World, question: &Question) -> Graph {
        let mut joint = Joint::new(world);
        let blocks = blocks(world, &mut joint, question, Grouping::Destination);
        let parts = Parts::new(world);
        let mut links: BTreeMap<(Part, Part), BTreeSet<String>> = BTreeMap::new();
        for block in &blocks {
            let ports: Vec<String> = by_family(&joint, block.cell)
                .into_iter()
                .map(|(family, ports)| match family {
                    Some(family) => format!("{ports} ({})", family_name(family)),
                    None => ports.to_string(),
                })
                .collect();
            let from = parts.of(&joint, &block.from, single_pod(world, &joint, &block.to));
            let to = parts.of(&joint, &block.to, single_pod(world, &joint, &block.from));
            for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
                links.entry((from.clone(), to.clone())).or_default().extend(ports.iter().cloned());
            }
        }
        Graph::drawn(world, &joint, question, links)
    }

    fn drawn(
        world: &World,
        joint: &Joint,
        question: &Question,
        links: BTreeMap<(Part, Part), BTreeSet<String>>,
    ) -> Graph {
        let mut graph = Graph::default();
        let mut variants: BTreeMap<VariantId, usize> = BTreeMap::new();
        let in_question = |id: &EndId| {
            let wanted = |selection| crate::reach::is_wanted(world, joint.end(*id), selection);
            wanted(&question.from) || wanted(&question.to)
        };
        let whole = question.from.is_none() && question.to.is_none();
        let linked: BTreeSet<VariantId> = links
            .keys()
            .flat_map(|(from, to)| [from, to])
            .filter_map(|part| if let Part::Variant(variant) = part { Some(*variant) } else { None })
            .collect();
        for id in (0..joint.ends.len() as u32).map(EndId).filter(in_question) {
            let End::Pods(variant) = joint.end(id) else { continue };
            let workload = world.workload(world.variant(*variant).workload);
            if !whole && !linked.contains(variant) {
                continue;
            }
            let title = world.variant_title(*variant);
            let name = title.strip_prefix(&format!("{}/", workload.namespace)).unwrap_or(&title);
            let namespace = graph.namespace(&workload.namespace);
            let at = graph.nodes.len();
            graph.namespaces[namespace].nodes.push(at);
            let identities = &world.variant(*variant).identities;
            graph.nodes.push(Node {
                name: name.replacen(&format!("[{}]", workload.kind), "", 1),
                kind: workload.kind.clone(),
                namespace: Some(namespace),
                unprotected: identities.iter().all(|(_, identity)| identity.ingress.is_none()),
                badges: Vec::new(),
            });
            variants.insert(*variant, at);
        }
        let mut outside: BTreeMap<(String, bool), usize> = BTreeMap::new();
        // How often each address range is an end, by role.
        let mut uses: BTreeMap<(String, bool), usize> = BTreeMap::new();
        for (from, to) in links.keys() {
            for (part, is_source) in [(from, true), (to, false)] {
                if let Part::Outside(name) = part {
                    *uses.entry((name.clone(), is_source)).or_default() += 1;
                }
            }
        }
        for ((from, to), ports) in links {
            let ports = ports.into_iter().collect::<Vec<_>>().join(", ");
            let is_all = ports == "all";
            let ports = if is_all { "all ports".to_owned() } else { ports };
            let mut place = |graph: &mut Graph, part: &Part, is_source: bool| -> Option<Place> {
                Some(match part {
                    Part::AllPods => return None,
                    Part::Namespace(name) => Place::Namespace(graph.namespace(name)),
                    Part::Variant(variant) => Place::Node(*variants.get(variant)?),
                    Part::Outside(name) => {
                        let key = (name.clone(), is_source);
                        // Lines to everywhere say less than the word.
                        let unlimited = !is_source && name == "anywhere" && is_all;
                        if uses[&key] > MOST_EDGES || unlimited {
                            return None;
                        }
                        Place::Node(*outside.entry(key).or_insert_with(|| {
                            graph.nodes.push(Node {
                                name: name.clone(),
                                kind: String::new(),
                                namespace: None,
                                unprotected: false,
                                badges: Vec::new(),
                            });
                            graph.nodes.len() - 1
                        }))
                    }
                })
            };
            let many = |part: &Part| match part {
                Part::Outside(name) => name.clone(),
                _ => "all pods".to_owned(),
            };
            // What has a place gets the badge of what has none.
            let (source, destination) = match (&from, &to) {
                (Part::AllPods, Part::Outside(_)) | (Part::Outside(_), Part::AllPods) => (None, None),
                _ => (place(&mut graph, &from, true), place(&mut graph, &to, false)),
            };
            match (source, destination) {
                (Some(from), Some(to)) => match graph.inside(from, to) {
                    Some((member, badge)) => graph.badge(member, Badge { ports, ..badge }),
                    None => graph.edges.push(Edge { from, to, ports }),
                },
                (None, Some(to)) => graph.badge(to, Badge { inward: true, others: many(&from), ports }),
                (Some(from), None) => graph.badge(from, Badge { inward: false, others: many(&to), ports }),
                (None, None) => graph.notes.push(format!("{} → {}: {ports}", many(&from), many(&to))),
            }
        }
        graph.edges.sort();
        graph.notes.sort();
        graph
    }

    fn namespace(&mut self, name: &str) -> usize {
        if let Some(at) = self.namespaces.iter().position(|group| group.name == name) {
            return at;
        }
        self.namespaces.push(Group { name: name.to_owned(), nodes: Vec::new(), badges: Vec::new() });
        self.namespaces.len() - 1
    }

    /// Between a namespace and a member of it there is no room for an edge: the member and its badge.
    fn inside(&self, from: Place, to: Place) -> Option<(Place, Badge)> {
        let (node, namespace, inward) = match (from, to) {
            (Place::Node(node), Place::Namespace(namespace)) => (node, namespace, false),
            (Place::Namespace(namespace), Place::Node(node)) => (node, namespace, true),
            (Place::Namespace(from), Place::Namespace(to)) if from == to => {
                let others = "each other".to_owned();
                return Some((Place::Namespace(from), Badge { inward: false, others, ports: String::new() }));
            }
            (Place::Node(from), Place::Node(to)) if from == to => {
                let others = "each other".to_owned();
                return Some((Place::Node(from), Badge { inward: false, others, ports: String::new() }));
            }
            _ => return None,
        };
        let is_member = self.nodes[node].namespace == Some(namespace);
        let others = format!("{}/*", self.namespaces[namespace].name);
        is_member.then_some((Place::Node(node), Badge { inward, others, ports: String::new() }))
    }

    fn badge(&mut self, place: Place, badge: Badge) {
        let badges = match place {
            Place::Node(at) => &mut self.nodes[at].badges,
            Place::Namespace(at) => &mut self.namespaces[at].badges,
        };
        if !badges.contains(&badge) {
            badges.push(badge);
            badges.sort();
        }
    }
}

/// Cuts sets of ends into parts.
struct Parts {
    namer: Namer,
    of_namespace: BTreeMap<String, BTreeSet<VariantId>>,
}

impl Parts {
    fn new(world: &World) -> Parts {
        let mut of_namespace: BTreeMap<String, BTreeSet<VariantId>> = BTreeMap::new();
        for (number, variant) in world.variants.iter().enumerate() {
            let workload = world.workload(variant.workload);
            if !workload.host_network && workload.hypothesis.is_none() {
                let members = of_namespace.entry(workload.namespace.clone()).or_default();
                members.insert(VariantId(number as u32));
            }
        }
        Parts { namer: Namer::new(world), of_namespace }
    }

    fn of(&self, joint: &Joint, ends: &[EndId], itself: Option<EndId>) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut variants: BTreeSet<VariantId> = BTreeSet::new();
        let (mut sets, mut domains) = (Vec::new(), Vec::new());
        for end in ends {
            match joint.end(*end) {
                End::Pods(variant) => {
                    variants.insert(*variant);
                }
                End::Outside(set) => sets.push(set.clone()),
                End::Domain(name) => domains.push(name.clone()),
            }
        }
        let itself = itself.map(|end| VariantId(end.0));
        let without = |members: &BTreeSet<VariantId>| -> BTreeSet<VariantId> {
            members.iter().copied().filter(|variant| Some(*variant) != itself).collect()
        };
        let all: BTreeSet<VariantId> = self.of_namespace.values().flat_map(without).collect();
        if all.len() > 2 && all.is_subset(&variants) {
            parts.push(Part::AllPods);
            variants.retain(|variant| !all.contains(variant) && Some(*variant) != itself);
        }
        for (namespace, members) in &self.of_namespace {
            let others = without(members);
            if others.len() > 1 && others.is_subset(&variants) {
                parts.push(Part::Namespace(namespace.clone()));
                variants.retain(|variant| !members.contains(variant));
            }
        }
        parts.extend(variants.into_iter().filter(|variant| Some(*variant) != itself).map(Part::Variant));
        let mut names = Default::default();
        self.namer.add_outside(&mut names, &joined(sets), domains);
        let outside = names.addresses.into_iter().chain(names.domains).collect::<Vec<_>>();
        if !outside.is_empty() {
            parts.push(Part::Outside(outside.join(", ")));
        }
        parts
    }
}
