//! The map against a naive one, which makes every edge first, on random clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use podgate_analysis::PortSet;
use podgate_api::{Loaded, Object, Owner, Pod};
use podgate_bench::{Rng, Shape, random_small};
use podgate_flow::{
    Decision, Endpoint, FlowId, FlowRecord, FlowVerdict, History, Limits, OwnerName, Protocol, Reason,
    Staged, Timestamp,
};
use podgate_policy::Verdict;

use super::*;
use crate::model::Origin;
use crate::places::of_pod;
use crate::routes::ROUTES;
use crate::source::{Inventory, Source};
use crate::state::Server;
use crate::table::Table;

/// An edge of the naive map.
#[derive(Clone, Debug, Default)]
struct Made {
    texts: BTreeSet<String>,
    ports: Option<PortSet>,
    unprotected: bool,
    seen: Option<Seen>,
    cut: bool,
}

impl Made {
    fn allowed(&self) -> String {
        match self.texts.len() {
            0 => String::new(),
            1 => self.texts.first().unwrap().clone(),
            _ => self.ports.as_ref().unwrap().to_string(),
        }
    }

    fn is_denied_only(&self) -> bool {
        self.texts.is_empty() && self.seen.is_some_and(|seen| seen.denied > 0)
    }
}

/// By their ends.
type All = BTreeMap<(usize, usize), Made>;

/// Whether some rule means each two parties, rather than nearly everybody.
fn means(world: &World, table: &Table) -> (Vec<(bool, bool)>, impl Fn(usize, usize) -> bool) {
    let protected: Vec<(bool, bool)> = (0..table.parties.len())
        .map(|at| match table.parties[at] {
            Party::Workload(id) => protection(world, id.0 as usize),
            _ => (false, false),
        })
        .collect();
    let is_workload = |at: &usize| matches!(table.parties[*at], Party::Workload(_));
    let workloads: Vec<usize> = (0..table.parties.len()).filter(is_workload).collect();
    let few = (workloads.len() * 3 / 10).max(20);
    let selective: Vec<(bool, bool)> = (0..table.parties.len())
        .map(|at| {
            let inward = workloads.iter().filter(|from| table.cell(**from, at) != 0).count();
            let outward = workloads.iter().filter(|to| table.cell(at, **to) != 0).count();
            (protected[at].0 && inward <= few, protected[at].1 && outward <= few)
        })
        .collect();
    (protected, move |from: usize, to: usize| selective[to].0 || selective[from].1)
}

/// All edges, and the places that are nodes without edges too.
fn make(
    ask: &Ask,
    scope: Scope,
    namespaces: &[&str],
    focus: Option<&str>,
    namer: &mut Namer<'_>,
) -> (All, BTreeSet<usize>, Option<usize>) {
    let (world, table, places) = (ask.snapshot.world(), ask.snapshot.table(), ask.snapshot.places());
    let pairs = seen(ask, ask.window().unwrap(), namer).unwrap();
    let mut edges = All::new();
    let mut nodes = BTreeSet::new();
    let mut nodes_of: Vec<Vec<usize>> = Vec::new();
    let node = |at: usize, namer: &mut Namer<'_>| {
        lifted(&namer.get(at).clone(), scope).map_or(at, |place| namer.place(place))
    };
    for (at, party) in table.parties.iter().enumerate() {
        let namespace = namer.get(at).namespace.clone();
        let of = match party {
            Party::Workload(id) if scope == Scope::Pods && namespaces.contains(&namespace.as_str()) => {
                let pods = &world.workload(*id).pods;
                pods.iter().map(|pod| namer.place(of_pod(&namespace, &world.pod(*pod).name))).collect()
            }
            _ => vec![node(at, namer)],
        };
        if matches!(party, Party::Workload(_)) {
            nodes.extend(&of);
        }
        nodes_of.push(of);
    }
    let (protected, means) = means(world, table);
    for from in 0..table.parties.len() {
        for to in 0..table.parties.len() {
            let ports = table.between(from, to);
            if from == to || ports.is_empty() || !means(from, to) {
                continue;
            }
            for key in nodes_of[from].iter().flat_map(|from| nodes_of[to].iter().map(|to| (*from, *to))) {
                if key.0 != key.1 {
                    let made = edges.entry(key).or_default();
                    made.texts.insert(ports.text());
                    let all = made.ports.as_ref().map_or(ports.any(), |all| all.union(&ports.any()));
                    made.ports = Some(all);
                }
            }
        }
    }
    for ((from, to), pair) in &pairs {
        let key = (node(*from, namer), node(*to, namer));
        if key.0 == key.1 {
            continue;
        }
        nodes.extend([key.0, key.1]);
        let made = edges.entry(key).or_default();
        made.cut |= pair.ports.values().any(was_cut);
        let sum = made.seen.get_or_insert_default();
        sum.allowed += pair.seen.allowed;
        sum.denied += pair.seen.denied;
        sum.staged += pair.seen.staged;
        sum.bytes += pair.seen.bytes;
        sum.last = sum.last.max(pair.seen.last);
    }
    let focus = focus.map(|id| {
        let made = || nodes.iter().copied().find(|at| namer.get(*at).id == id);
        places.find(id).or_else(made).expect("the place is there")
    });
    let party = |at: usize| match at < table.parties.len() {
        true => Some(at),
        false => {
            let place = namer.get(at);
            places.workload_of(&place.namespace, &place.name).map(|at| at as usize)
        }
    };
    for ((from, to), made) in edges.iter_mut().filter(|(_, made)| made.texts.is_empty()) {
        let (Some(from), Some(to)) = (party(*from), party(*to)) else { continue };
        let ports = table.between(from, to);
        if !ports.is_empty() {
            made.texts.insert(ports.text());
            made.unprotected = !protected[from].1 && !protected[to].0;
        }
    }
    let is_within = |at: usize| namespaces.contains(&namer.get(at).namespace.as_str());
    if !namespaces.is_empty() {
        edges.retain(|(from, to), _| is_within(*from) || is_within(*to));
        nodes.retain(|at| is_within(*at));
    }
    if let Some(focus) = focus {
        edges.retain(|(from, to), _| *from == focus || *to == focus);
        nodes = BTreeSet::from([focus]);
    }
    let linked: BTreeSet<usize> = edges.keys().flat_map(|(from, to)| [*from, *to]).collect();
    nodes.extend(&linked);
    nodes.retain(|at| !namer.get(*at).namespace.is_empty() || linked.contains(at) || Some(*at) == focus);
    (edges, nodes, focus)
}

/// The map by way of all edges. What is known of a node by itself is taken from the map to compare with.
fn naive(ask: &Ask, like: &MapView) -> MapView {
    let scope = like.scope;
    let namespaces = ask.all("namespace");
    let mut namer = match scope {
        Scope::Pods => Namer::by_pod(ask.snapshot.places(), &namespaces),
        _ => Namer::new(ask.snapshot.places()),
    };
    let (made, nodes, focus) = make(ask, scope, &namespaces, ask.text("focus"), &mut namer);
    let mut places: Vec<(usize, Place)> = nodes.iter().map(|at| (*at, namer.get(*at).clone())).collect();
    places.sort_by_key(|(_, place)| {
        (place.namespace.is_empty(), place.namespace.clone(), place.name.clone(), place.id.clone())
    });
    let at: BTreeMap<usize, usize> =
        places.iter().enumerate().map(|(number, (place, _))| (*place, number)).collect();
    let degree = |number: usize, inward: bool| {
        let open = made.iter().filter(|(_, made)| !made.is_denied_only());
        open.filter(|((from, to), _)| at[if inward { to } else { from }] == number).count()
    };
    let least = (places.len() / 4).clamp(10, 40);
    // Whether there is a hub, and which of its edges are folded.
    let hubs: Vec<Option<(bool, bool)>> = places
        .iter()
        .enumerate()
        .map(|(number, (_, place))| {
            let (inward, outward) = (degree(number, true), degree(number, false));
            match () {
                () if focus.is_some() => None,
                () if place.kind == OUTSIDE => (inward + outward > 5).then_some((true, true)),
                () if inward.max(outward) < least => None,
                () => Some((inward >= least, outward >= least)),
            }
        })
        .collect();
    let mut edges: Vec<MapEdge> = made
        .iter()
        .map(|((from, to), made)| MapEdge {
            from: at[from],
            to: at[to],
            allowed: made.allowed(),
            unprotected: made.unprotected,
            folded: hubs[at[from]].is_some_and(|hub| hub.1) || hubs[at[to]].is_some_and(|hub| hub.0),
            crowded: false,
            cut: made.cut && made.texts.is_empty(),
            seen: made.seen.or_else(|| ask.server.is_watched().then(Seen::default)),
        })
        .collect();
    let is_denied_only =
        |edge: &MapEdge| edge.allowed.is_empty() && edge.seen.is_some_and(|seen| seen.denied > 0);
    let knocked: Vec<(usize, usize)> = edges
        .iter()
        .filter(|edge| is_denied_only(edge) && !edge.cut)
        .map(|edge| (edge.from, edge.to))
        .collect();
    let knocks = |at: usize| knocked.iter().filter(|(from, to)| *from == at || *to == at).count();
    for edge in edges.iter_mut().filter(|edge| is_denied_only(edge) && !edge.cut) {
        edge.crowded = focus.is_none() && knocks(edge.from).max(knocks(edge.to)) > 4;
    }
    let crowded: Vec<usize> = (0..places.len())
        .map(|at| edges.iter().filter(|edge| edge.crowded && (edge.from == at || edge.to == at)).count())
        .collect();
    edges.sort_by_key(|edge| {
        let seen = edge.seen.unwrap_or_default();
        let kinds = [
            !edge.crowded && seen.denied > 0,
            !edge.crowded && seen.staged > 0,
            !edge.crowded && !edge.folded && seen.allowed > 0,
            !edge.crowded && !edge.folded,
            !edge.crowded,
        ];
        let rank = kinds.iter().position(|is| *is).unwrap_or(kinds.len());
        (rank, Reverse(seen.allowed + seen.denied), edge.from, edge.to)
    });
    let names: Vec<&str> = like.groups.iter().map(|group| group.name.as_str()).collect();
    let group_of = |at: usize| names.iter().position(|name| *name == places[at].1.namespace);
    let mut weights = vec![0; names.len()];
    let mut links = Vec::new();
    for edge in edges.iter().filter(|edge| !is_denied_only(edge)) {
        for group in [group_of(edge.from), group_of(edge.to)].into_iter().flatten() {
            weights[group] += 1;
        }
        if !edge.folded {
            links.push((edge.from, edge.to));
        }
    }
    let mut map = like.clone();
    map.nodes.truncate(places.len());
    let items: Vec<Item> = map
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let about = About { pods: node.pods, findings: node.findings, ..About::default() };
            Item {
                group: group_of(at),
                width: width(&places[at].1.name, &about, hubs[at].is_some()),
                hub: hubs[at].is_some() && !links.iter().any(|(from, to)| *from == at || *to == at),
            }
        })
        .collect();
    assert_eq!((items.len(), places.len()), (places.len(), like.nodes.len()), "nodes");
    let laid = lay_out(&items, &weights, &links, names.iter().position(|name| name.is_empty()));
    (map.width, map.height) = (laid.width, laid.height);
    for (group, at) in map.groups.iter_mut().zip(&laid.groups) {
        (group.x, group.y, group.w, group.h) = (at.x, at.y, at.w, at.h);
    }
    for (at, node) in map.nodes.iter_mut().enumerate() {
        node.place = places[at].1.clone();
        let place = laid.nodes[at];
        (node.group, node.crowded) = (group_of(at), crowded[at]);
        (node.x, node.y, node.w, node.h) = (place.x, place.y, place.w, place.h);
        // What kind of hub it is follows from its name.
        node.hub = hubs[at].map(|_| node.hub.clone().unwrap_or_else(|| "none was found".to_owned()));
    }
    let most = ask.number("edges") as usize;
    map.more_edges = edges.len().saturating_sub(most);
    edges.truncate(most);
    map.edges = edges;
    map
}

/// Pods of a random cluster get owners, so that there are workloads of several.
fn cluster(seed: u64) -> Vec<Object> {
    let mut rng = Rng::new(seed);
    let mut objects = match seed % 3 {
        0 => random_small(seed),
        _ => {
            let shape = Shape {
                seed,
                namespaces: rng.between(1, 6) as u32,
                pods: rng.between(3, 16) as u32,
                policies: rng.between(1, 12) as u32,
                label_values: rng.between(2, 12) as u32,
                ip_blocks: *rng.pick(&[5, 40]),
                dual_stack: rng.percent(30),
                ..Shape::default()
            };
            shape.generate()
        }
    };
    let owned = *rng.pick(&[0, 30, 80]);
    for object in &mut objects {
        if let Object::Pod(pod) = object
            && rng.percent(owned)
        {
            let name = format!("{}-{}", rng.pick(&["web", "dns", "metrics"]), rng.below(3));
            pod.owner = Some(Owner { kind: "StatefulSet".to_owned(), name });
        }
    }
    objects
}

/// Connections of pods, of those that are gone, of nodes and of what is outside. One tries everything.
fn flows(objects: &[Object], rng: &mut Rng, now: Timestamp) -> Vec<Arc<FlowRecord>> {
    let pods: Vec<&Pod> = objects
        .iter()
        .filter_map(|object| match object {
            Object::Pod(pod) => Some(pod),
            _ => None,
        })
        .collect();
    let of_pod = |pod: &Pod, gone: bool| {
        let owner = pod.owner.as_ref();
        let party = podgate_flow::Party::Pod {
            namespace: pod.meta.namespace.clone(),
            pod: if gone { format!("{}-gone", pod.meta.name) } else { pod.meta.name.clone() },
            owner: owner.map(|owner| OwnerName { kind: owner.kind.clone(), name: owner.name.clone() }),
            node: pod.node.clone(),
            labels: [].into(),
        };
        let ip = pod.ips.first().copied().unwrap_or(IpAddr::from([10, 244, 9, 9]));
        Endpoint::new(ip, 8080, party)
    };
    let end = |rng: &mut Rng| match rng.below(10) {
        0 => Endpoint::new([203, 0, 113, 9].into(), 443, podgate_flow::Party::Outside { name: None }),
        1 => {
            let node = format!("node-{}", rng.below(3));
            Endpoint::new([172, 16, 0, 1].into(), 22, podgate_flow::Party::Node { node })
        }
        way => of_pod(pods[rng.below(pods.len())], way == 2),
    };
    let (stranger, count) = (end(rng), rng.below(80));
    let flow = |number: usize| {
        let source = if rng.percent(20) { stranger.clone() } else { end(rng) };
        let destination = end(rng);
        let verdict = match rng.below(20) {
            0 => FlowVerdict::Unknown,
            1..=8 => FlowVerdict::Denied,
            _ => FlowVerdict::Allowed,
        };
        let time = Timestamp(now.0 - 1_000_000_000 * (count - number) as u64);
        let reason = Reason::Isolated { policies: Vec::new() };
        let denied = Decision::new(Verdict::Denied, reason);
        let staged = Staged { verdict: Verdict::Denied, egress: Some(denied), ingress: None };
        Arc::new(FlowRecord {
            id: FlowId(number as u128),
            staged: rng.percent(10).then(|| Box::new(staged)),
            ..FlowRecord::new(time, "node-1", verdict, Protocol::TCP, source, destination)
        })
    };
    (0..count).map(flow).collect()
}

/// A random cluster's server, watched or not.
fn server(seed: u64) -> Arc<Server> {
    let mut rng = Rng::new(seed ^ 0xf10);
    let objects = cluster(seed);
    let has_pods = objects.iter().any(|object| matches!(object, Object::Pod(_)));
    let history = Arc::new(History::new(Limits::default()));
    let is_watched = has_pods && rng.percent(75);
    let server = serving(objects.clone(), is_watched.then_some(&history));
    if is_watched {
        history.push(server.now(), flows(&objects, &mut rng, server.now()));
    }
    server
}

fn serving(objects: Vec<Object>, history: Option<&Arc<History>>) -> Arc<Server> {
    let loaded = Loaded { objects, ..Loaded::default() };
    let inventory = Inventory { revision: 1, loaded, ..Inventory::default() };
    let (mut source, _) = Source::new("a cluster", Origin::Files, inventory);
    source.history = history.cloned();
    Arc::new(Server::new(source))
}

/// Compares an answer with the naive one.
#[track_caller]
fn same(server: &Arc<Server>, query: &[(&str, &str)]) -> MapView {
    let ask = asked(server, query);
    let got = map(&ask).unwrap_or_else(|_| panic!("{query:?}"));
    let want = naive(&ask, &got);
    let [got_text, want_text] = [&got, &want].map(|map| serde_json::to_string(map).unwrap());
    assert_eq!(got_text, want_text, "{query:?}");
    got
}

fn asked(server: &Arc<Server>, query: &[(&str, &str)]) -> Ask {
    let route = ROUTES.iter().find(|route| route.path == "/map").unwrap();
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    Ask::new(server.clone(), route, &query, String::new(), Vec::new()).unwrap_or_else(|_| panic!("{query}"))
}

#[test]
fn the_map_is_the_same_as_one_that_makes_every_edge() {
    // What the clusters had of each, so that none of it goes untested.
    let (mut folded, mut crowded, mut more, mut mixed, mut pods, mut outside) = (0, 0, 0, 0, 0, 0);
    for seed in 0..90 {
        let server = server(seed);
        let mut rng = Rng::new(seed ^ 0xa5c);
        let snapshot = server.snapshot();
        let namespaces: Vec<String> =
            snapshot.world().workloads.iter().map(|workload| workload.namespace.clone()).collect();
        let mut foci: Vec<String> = vec!["internet".to_owned()];
        foci.retain(|id| snapshot.places().find(id).is_some());
        for _ in 0..8 {
            let scope = *rng.pick(&["workloads", "namespaces", "pods"]);
            let most = rng.pick(&["0", "3", "40", "500", "50000"]).to_string();
            let mut query: Vec<(&str, &str)> = vec![("scope", scope), ("edges", &most)];
            if !namespaces.is_empty() && (scope == "pods" || rng.percent(40)) {
                let first = rng.below(namespaces.len());
                query.extend(
                    [first, (first + 7) % namespaces.len()].map(|at| ("namespace", &*namespaces[at])),
                );
            }
            if scope == "pods" && query.len() == 2 {
                continue;
            }
            let focus = (rng.percent(30) && !foci.is_empty()).then(|| rng.pick(&foci).clone());
            query.extend(focus.iter().map(|id| ("focus", id.as_str())));
            let got = same(&server, &query);
            folded += got.edges.iter().filter(|edge| edge.folded).count();
            crowded += got.edges.iter().filter(|edge| edge.crowded).count();
            more += got.more_edges;
            mixed += got.edges.iter().filter(|edge| edge.allowed.contains(", ")).count();
            pods += got.nodes.iter().filter(|node| node.place.kind == "Pod" && scope == "pods").count();
            outside += got.nodes.iter().filter(|node| node.place.kind == OUTSIDE).count();
            // Places of this map are asked about by themselves.
            if scope != "namespaces" {
                foci = got.nodes.iter().map(|node| node.place.id.clone()).collect();
                foci.retain(|id| snapshot.places().find(id).is_some());
            }
        }
    }
    let had = [folded, crowded, more, mixed, pods, outside];
    assert!(had.iter().all(|number| *number > 50), "{had:?}");
}

#[test]
fn edges_of_hubs_are_drawn_in_order_until_there_are_enough() {
    let pod = |name: &str, app: &str| {
        format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {app}}}}}}}\n")
    };
    let mut text: String = (0..12).map(|number| pod(&format!("leaf-{number}"), "leaf")).collect();
    text.extend(["hub-a", "hub-b"].map(|name| pod(name, "hub")));
    text.push_str(
        "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: to-leaves}, spec: {podSelector: \
         {matchLabels: {app: hub}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: leaf}}}]}]}}\n",
    );
    let server = serving(podgate_api::load_text("hubs", &text).objects, None);
    for most in 0..=25_usize {
        let map = same(&server, &[("edges", &most.to_string())]);
        assert_eq!((map.edges.len(), map.more_edges), (most.min(24), 24_usize.saturating_sub(most)));
        assert!(map.edges.iter().all(|edge| edge.folded), "all are edges of hubs");
    }
}
