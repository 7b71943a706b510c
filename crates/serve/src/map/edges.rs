//! Which edges a map has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podgate_analysis::{PortSet, World};
use rustc_hash::FxHashSet;

use super::{lifted, protection};
use crate::model::{Place, Scope, Seen};
use crate::places::{Namer, of_pod};
use crate::state::Snapshot;
use crate::table::{Party, Ports, Table};

/// An edge before it is drawn.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Ports in words; empty: none.
    pub allowed: Arc<str>,
    /// Only because no policy has a say.
    pub unprotected: bool,
    /// What was seen.
    pub seen: Option<Seen>,
    /// On some port most came through, and the last was denied.
    pub cut: bool,
    ports: Arc<PortSet>,
}

/// What is allowed, put into words once for all edges that have it: there may be millions.
struct Allowed {
    text: Arc<str>,
    ports: Arc<PortSet>,
}

impl Allowed {
    fn new(ports: &Ports) -> Allowed {
        Allowed { text: ports.text().into(), ports: Arc::new(ports.any()) }
    }
}

impl Draft {
    /// Whether nothing is allowed on it, and it is there because somebody tried.
    pub fn is_denied_only(&self) -> bool {
        self.allowed.is_empty() && self.seen.is_some_and(|seen| seen.denied > 0)
    }
}

/// Edges and nodes, by numbers of places.
pub struct Drafts {
    /// The edges.
    pub edges: BTreeMap<(usize, usize), Draft>,
    /// The nodes, those without edges too.
    pub nodes: BTreeSet<usize>,
    scope: Scope,
    policy: Policy,
}

/// What the table says of each party.
struct Policy {
    /// Some policy has a say about connections to it, and from it.
    protected: Vec<(bool, bool)>,
    /// A rule that names it, or that it has, tells those it is connected with from most others.
    selective: Vec<(bool, bool)>,
}

impl Policy {
    fn new(world: &World, table: &Table) -> Policy {
        let workloads: Vec<usize> =
            (0..table.parties.len()).filter(|at| matches!(table.parties[*at], Party::Workload(_))).collect();
        let protected: Vec<(bool, bool)> = (0..table.parties.len())
            .map(|at| match table.parties[at] {
                Party::Workload(id) => protection(world, id.0 as usize),
                _ => (false, false),
            })
            .collect();
        // Counted by row and column: parties that are alike are counted once.
        let mut of_row: BTreeMap<u32, usize> = BTreeMap::new();
        let mut of_column: BTreeMap<u32, usize> = BTreeMap::new();
        for at in &workloads {
            *of_row.entry(table.rows[*at].unwrap_or_default()).or_default() += 1;
            *of_column.entry(table.columns[*at]).or_default() += 1;
        }
        let is_open = |row: u32, column: u32| table.cells[row as usize][column as usize] != 0;
        let inward = |column: u32| -> usize {
            of_row.iter().filter(|(row, _)| is_open(**row, column)).map(|(_, number)| number).sum()
        };
        let outward = |row: u32| -> usize {
            of_column.iter().filter(|(column, _)| is_open(row, **column)).map(|(_, number)| number).sum()
        };
        let inward: BTreeMap<u32, usize> =
            table.columns.iter().map(|column| (*column, inward(*column))).collect();
        let outward: BTreeMap<u32, usize> =
            table.rows.iter().flatten().map(|row| (*row, outward(*row))).collect();
        let few = (workloads.len() * 3 / 10).max(20);
        let selective = (0..table.parties.len()).map(|at| {
            let outward = table.rows[at].map_or(0, |row| outward[&row]);
            (protected[at].0 && inward[&table.columns[at]] <= few, protected[at].1 && outward <= few)
        });
        Policy { selective: selective.collect(), protected }
    }

    /// Whether some rule means these two, rather than nearly everybody.
    fn names(&self, from: usize, to: usize) -> bool {
        self.selective[to].0 || self.selective[from].1
    }
}

impl Drafts {
    /// The edges that rules make.
    pub fn new(snapshot: &Snapshot, scope: Scope, namespaces: &[&str], namer: &mut Namer<'_>) -> Drafts {
        let (world, table) = (snapshot.world(), snapshot.table());
        let policy = Policy::new(world, table);
        let mut drafts = Drafts { edges: BTreeMap::new(), nodes: BTreeSet::new(), scope, policy };
        // The nodes that stand for each party; for pods that are told apart there are several.
        let mut nodes: Vec<Vec<usize>> = Vec::with_capacity(table.parties.len());
        for (at, party) in table.parties.iter().enumerate() {
            let place = namer.get(at).clone();
            nodes.push(match party {
                Party::Workload(id)
                    if scope == Scope::Pods && namespaces.contains(&place.namespace.as_str()) =>
                {
                    let pods = world.workload(*id).pods.iter();
                    pods.map(|pod| namer.place(of_pod(&place.namespace, &world.pod(*pod).name))).collect()
                }
                _ => vec![drafts.node(at, &place, namer)],
            });
        }
        for (at, party) in table.parties.iter().enumerate() {
            if matches!(party, Party::Workload(_)) {
                drafts.nodes.extend(&nodes[at]);
            }
        }
        let allowed: Vec<Allowed> = table.ports.iter().map(Allowed::new).collect();
        for from in 0..table.parties.len() {
            for to in 0..table.parties.len() {
                let cell = table.cell(from, to);
                if cell == 0 || from == to || !drafts.policy.names(from, to) {
                    continue;
                }
                let allowed = &allowed[cell as usize];
                for from in &nodes[from] {
                    for to in nodes[to].iter().filter(|to| *to != from) {
                        drafts.allow((*from, *to), allowed, false);
                    }
                }
            }
        }
        drafts
    }

    fn node(&self, at: usize, place: &Place, namer: &mut Namer<'_>) -> usize {
        lifted(place, self.scope).map_or(at, |place| namer.place(place))
    }

    fn allow(&mut self, key: (usize, usize), allowed: &Allowed, unprotected: bool) {
        let draft = self.edges.entry(key).or_default();
        match draft.allowed.is_empty() {
            true => {
                draft.allowed = allowed.text.clone();
                draft.ports = allowed.ports.clone();
                draft.unprotected = unprotected;
            }
            // Workloads of a namespace with ports of their own: together, whoever they are.
            false if draft.allowed != allowed.text => {
                draft.ports = Arc::new(draft.ports.union(&allowed.ports));
                draft.allowed = draft.ports.to_string().into();
                draft.unprotected &= unprotected;
            }
            false => draft.unprotected &= unprotected,
        }
    }

    /// Adds what was seen between two places, and whether some of it was cut.
    pub fn see(&mut self, (from, to): (usize, usize), seen: Seen, cut: bool, namer: &mut Namer<'_>) {
        let places = [from, to].map(|at| (at, namer.get(at).clone()));
        let [(from_node, _), (to_node, _)] = places.map(|(at, place)| (self.node(at, &place, namer), place));
        if from_node == to_node {
            return;
        }
        self.nodes.extend([from_node, to_node]);
        let draft = self.edges.entry((from_node, to_node)).or_default();
        draft.cut |= cut;
        let sum = draft.seen.get_or_insert_default();
        sum.allowed += seen.allowed;
        sum.denied += seen.denied;
        sum.staged += seen.staged;
        sum.bytes += seen.bytes;
        sum.last = sum.last.max(seen.last);
    }

    /// Says what policy allows on edges that are there because something was seen on them.
    fn explain(&mut self, snapshot: &Snapshot, namer: &Namer<'_>) {
        let table = snapshot.table();
        let party = |at: usize| -> Option<usize> {
            if at < table.parties.len() {
                return Some(at);
            }
            let place = namer.get(at);
            snapshot.places().workload_of(&place.namespace, &place.name).map(|at| at as usize)
        };
        let unexplained: Vec<(usize, usize)> =
            self.edges.iter().filter(|(_, draft)| draft.allowed.is_empty()).map(|(key, _)| *key).collect();
        for (from, to) in unexplained {
            let (Some(sender), Some(receiver)) = (party(from), party(to)) else { continue };
            let ports = table.between(sender, receiver);
            if !ports.is_empty() {
                let unprotected = !self.policy.protected[sender].1 && !self.policy.protected[receiver].0;
                self.allow((from, to), &Allowed::new(ports), unprotected);
            }
        }
    }

    /// The node with an id, among those that are not in the objects.
    pub fn find(&self, id: &str, namer: &Namer<'_>) -> Option<usize> {
        self.nodes.iter().copied().find(|at| namer.get(*at).id == id)
    }

    /// Leaves what has an end in a place, or in some namespaces.
    pub fn keep(
        &mut self,
        snapshot: &Snapshot,
        focus: Option<usize>,
        namespaces: &[&str],
        namer: &Namer<'_>,
    ) {
        self.explain(snapshot, namer);
        let is_within = |at: usize| namespaces.contains(&namer.get(at).namespace.as_str());
        if !namespaces.is_empty() {
            self.edges.retain(|(from, to), _| is_within(*from) || is_within(*to));
            self.nodes.retain(|at| is_within(*at));
        }
        if let Some(focus) = focus {
            self.edges.retain(|(from, to), _| *from == focus || *to == focus);
            self.nodes = BTreeSet::from([focus]);
        }
        let linked: FxHashSet<usize> = self.edges.keys().flat_map(|(from, to)| [*from, *to]).collect();
        self.nodes.extend(&linked);
        // An address range that nobody is connected with says nothing on a map.
        self.nodes.retain(|at| {
            let place = namer.get(*at);
            !place.namespace.is_empty() || linked.contains(at) || Some(*at) == focus
        });
    }
}
