//! What ends of connections are called, the same in every answer.

use std::net::IpAddr;

use podgate_analysis::{IpSet, Workload, World};
use podgate_flow::{Endpoint, Party, Place as EdgePlace};
use rustc_hash::FxHashMap;

use crate::ask::Ask;
use crate::fault::Fault;
use crate::model::{self, Place};
use crate::table::{self, Table};

/// The places of some objects. The first ones are the parties of their [`Table`], in its order.
pub struct Places {
    all: Vec<Place>,
    by_id: FxHashMap<String, u32>,
    pods: FxHashMap<(String, String), u32>,
    outside: Vec<(Vec<IpSet>, u32)>,
    internet: Option<u32>,
}

/// The kind of places that are neither workload nor node.
pub const OUTSIDE: &str = "Outside";
/// The kind of namespaces.
pub const NAMESPACE: &str = "Namespace";
/// The kind of nodes.
pub const NODE: &str = "Node";

impl Places {
    /// The places of a world.
    pub fn new(world: &World, table: &Table) -> Places {
        let mut places = Places {
            all: Vec::new(),
            by_id: FxHashMap::default(),
            pods: FxHashMap::default(),
            outside: Vec::new(),
            internet: table.internet.map(|at| at as u32),
        };
        for (number, party) in table.parties.iter().enumerate() {
            let place = match party {
                table::Party::Workload(id) => of_workload(world.workload(*id)),
                table::Party::Outside(..) if table.internet == Some(number) => {
                    outside("internet", "internet", "internet")
                }
                table::Party::Outside(sets, name) => {
                    let end = sets.iter().find_map(IpSet::first).map(|ip| ip.to_string()).unwrap_or_default();
                    outside(&format!("outside {name}"), &end, name)
                }
                table::Party::Domain(name) => outside(&format!("domain {name}"), "", name),
            };
            if let table::Party::Outside(sets, _) = party {
                places.outside.push((sets.clone(), number as u32));
            }
            places.add(place);
        }
        for pod in &world.pods {
            let workload = world.workload(pod.workload);
            let key = (workload.namespace.clone(), pod.name.to_string());
            places.pods.insert(key, pod.workload.0);
        }
        for node in &world.nodes {
            let end = node.addresses.first().map(ToString::to_string).unwrap_or_default();
            places.add(of_node(&node.meta.name, &end));
        }
        for (name, _) in world.known_namespaces() {
            places.add(of_namespace(name));
        }
        places
    }

    fn add(&mut self, place: Place) -> u32 {
        let at = self.all.len() as u32;
        self.by_id.insert(place.id.clone(), at);
        self.all.push(place);
        at
    }

    /// The place of a number.
    pub fn get(&self, at: usize) -> &Place {
        &self.all[at]
    }

    /// The number of an id.
    pub fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).map(|at| *at as usize)
    }

    /// What /why asks for: the end of an id, or the text as it is.
    pub fn end<'a>(&'a self, text: &'a str) -> &'a str {
        match self.find(text).map(|at| self.get(at)) {
            Some(place) if !place.end.is_empty() => &place.end,
            _ => text,
        }
    }

    /// The workload that a pod belongs to, as a number.
    pub fn workload_of(&self, namespace: &str, pod: &str) -> Option<u32> {
        self.pods.get(&(namespace.to_owned(), pod.to_owned())).copied()
    }

    /// The place of an address that is no pod's.
    pub fn of_address(&self, ip: IpAddr) -> Option<u32> {
        let holds = |(sets, _): &&(Vec<IpSet>, u32)| sets.iter().any(|set| set.contains(ip));
        self.outside.iter().find(holds).map(|(_, at)| *at).or(self.internet)
    }
}

fn outside(id: &str, end: &str, name: &str) -> Place {
    let [id, end, name, kind] = [id, end, name, OUTSIDE].map(str::to_owned);
    Place { id, end, namespace: String::new(), name, kind }
}

fn of_workload(workload: &Workload) -> Place {
    named(&workload.namespace, &workload.kind, &workload.name)
}

fn named(namespace: &str, kind: &str, name: &str) -> Place {
    Place {
        id: format!("{namespace}/{name}[{kind}]"),
        end: format!("{namespace}/{kind}/{name}"),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        kind: kind.to_owned(),
    }
}

/// A pod by itself.
pub fn of_pod(namespace: &str, name: &str) -> Place {
    named(namespace, "Pod", name)
}

fn of_node(name: &str, end: &str) -> Place {
    let [name, kind, end] = [name, NODE, end].map(str::to_owned);
    Place { id: format!("node {name}"), end, namespace: String::new(), name, kind }
}

/// A namespace.
pub fn of_namespace(name: &str) -> Place {
    Place {
        id: name.to_owned(),
        end: format!("{name}/*"),
        namespace: name.to_owned(),
        name: name.to_owned(),
        kind: NAMESPACE.to_owned(),
    }
}

/// Names the ends of flows; what is gone from the objects gets a place here.
pub struct Namer<'a> {
    known: &'a Places,
    more: Vec<Place>,
    by_id: FxHashMap<String, u32>,
    /// Ends of these namespaces are pods rather than workloads.
    by_pod: Vec<String>,
}

impl<'a> Namer<'a> {
    /// For the places of some objects.
    pub fn new(known: &'a Places) -> Namer<'a> {
        Namer { known, more: Vec::new(), by_id: FxHashMap::default(), by_pod: Vec::new() }
    }

    /// The same, with the pods of some namespaces told apart.
    pub fn by_pod(known: &'a Places, namespaces: &[&str]) -> Namer<'a> {
        Namer { by_pod: namespaces.iter().map(|name| (*name).to_owned()).collect(), ..Namer::new(known) }
    }

    /// The place of a number.
    pub fn get(&self, at: usize) -> &Place {
        match at.checked_sub(self.known.all.len()) {
            Some(more) => &self.more[more],
            None => self.known.get(at),
        }
    }

    /// The number of a place, which may be new.
    pub fn place(&mut self, place: Place) -> usize {
        if let Some(known) = self.known.by_id.get(&place.id).or_else(|| self.by_id.get(&place.id)) {
            return *known as usize;
        }
        let at = self.known.all.len() + self.more.len();
        self.by_id.insert(place.id.clone(), at as u32);
        self.more.push(place);
        at
    }

    /// The place of an end of a flow.
    pub fn endpoint(&mut self, end: &Endpoint) -> usize {
        match &*end.party {
            Party::Pod { namespace, pod, .. } if self.by_pod.iter().any(|name| name == namespace) => {
                self.place(of_pod(namespace, pod))
            }
            Party::Pod { namespace, pod, owner, .. } => match self.known.workload_of(namespace, pod) {
                Some(workload) => workload as usize,
                None => match owner {
                    Some(owner) => self.place(named(namespace, &owner.kind, &owner.name)),
                    None => self.place(of_pod(namespace, pod)),
                },
            },
            Party::Node { node } => self.place(of_node(node, &end.ip.to_string())),
            Party::Outside { .. } => self.address(end.ip),
        }
    }

    /// The place of an end of an edge.
    pub fn edge(&mut self, place: &EdgePlace) -> usize {
        match place {
            EdgePlace::Workload { namespace, owner } => {
                match self.known.workload_of(namespace, &owner.name) {
                    Some(workload) if owner.kind == "Pod" => workload as usize,
                    _ => self.place(named(namespace, &owner.kind, &owner.name)),
                }
            }
            EdgePlace::Node { node } => self.place(of_node(node, "")),
            EdgePlace::Outside { ip, .. } => self.address(*ip),
        }
    }

    fn address(&mut self, ip: IpAddr) -> usize {
        match self.known.of_address(ip) {
            Some(at) => at as usize,
            None => self.place(outside("internet", "internet", "internet")),
        }
    }
}

/// All places, by kind of place, namespace and name.
pub fn list(ask: &Ask) -> Result<model::Places, Fault> {
    let mut places = ask.snapshot.places().all.clone();
    places.sort_by(|a, b| {
        let key = |place: &Place| {
            let order = match place.kind.as_str() {
                NAMESPACE => 0,
                NODE => 2,
                OUTSIDE => 3,
                _ => 1,
            };
            (order, place.namespace.clone(), place.name.clone(), place.kind.clone())
        };
        key(a).cmp(&key(b))
    });
    Ok(model::Places { revision: ask.snapshot.revision(), places })
}
