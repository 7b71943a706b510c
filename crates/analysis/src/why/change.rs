//! The smallest change that would allow a connection: tried on a copy of the cluster before it is shown.
//!
//! ```text
//! each denied side -> candidate edits (a port or a peer more in a near rule, a rule more, a small policy)
//!                  -> the one that opens least (engine) -> all edits together, verified -> Change
//! ```

mod bench;

use ipnet::IpNet;
use podgate_api::{
    IpBlock, LabelSelector, Labels, Meta, NAMESPACE_NAME_LABEL, NetworkPolicy, Operator, Peer, Pod, PodPeer,
    Requirement, Rule, Source,
};
use podgate_policy::{Direction, Effect, PolicyRef, PolicyTrace};
use serde::Serialize;

use self::bench::Bench;
use super::judge::{Unit, UnitKind};
use crate::ip::IpSet;
use crate::manifest;
use crate::ports::PortSet;
use crate::world::World;

/// What to change so that a connection is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Edits; all of them are needed.
    pub edits: Vec<Edit>,
    /// What the change allows of what was asked.
    pub allows: String,
    /// What it opens beside that, as far as pods and addresses here go; empty: nothing.
    pub also_opens: Vec<String>,
    /// How many more such lines there are.
    pub more: usize,
}

/// One edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The policy, `namespace/name`.
    pub policy: String,
    /// Where the edit goes, `file:line`; absent for a new policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What to do: `add to spec.ingress[0].from`, `new policy`.
    pub what: String,
    /// The text to add, or the new policy.
    pub yaml: String,
}

/// A connection that is denied, and what is wanted of it.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The source.
    pub from: &'a Unit,
    /// The destination.
    pub to: &'a Unit,
    /// The ports that should be allowed.
    pub ports: PortSet,
    /// The sides that deny, each with the policies that were asked there.
    pub denied: Vec<(Direction, &'a [PolicyTrace])>,
}

/// Candidates that are tried for each side; each costs a commit of the engine.
const MOST_CANDIDATES: usize = 16;
/// Lines about what else a change opens.
const MOST_LINES: usize = 4;

/// The change that opens least beside what is wanted; `None` when no NetworkPolicy can allow it.
pub fn smallest(world: &World, wanted: &Wanted) -> Option<Change> {
    let mut bench = Bench::new(world, wanted);
    let mut chosen: Vec<Candidate> = Vec::new();
    for (direction, traces) in &wanted.denied {
        let mut best: Option<(u64, Candidate)> = None;
        for candidate in candidates(world, wanted, *direction, traces).into_iter().take(MOST_CANDIDATES) {
            let Some(extra) = bench.try_side(&candidate, *direction) else { continue };
            if best.as_ref().is_none_or(|(least, _)| extra < *least) {
                best = Some((extra, candidate));
            }
            if extra == 0 {
                break;
            }
        }
        chosen.push(best?.1);
    }
    let opened = bench.verify(&chosen)?;
    let more = opened.len().saturating_sub(MOST_LINES);
    Some(Change {
        allows: format!(
            "{} -> {}: {}",
            bench.name(wanted.from),
            bench.name(wanted.to),
            super::ports_text(&wanted.ports)
        ),
        edits: chosen.into_iter().map(|candidate| candidate.edit).collect(),
        also_opens: opened.into_iter().take(MOST_LINES).collect(),
        more,
    })
}

/// An edit and the policy as it is after it.
#[derive(Debug)]
struct Candidate {
    direction: Direction,
    edit: Edit,
    after: NetworkPolicy,
}

/// Candidates for one side; what touches least text comes first.
fn candidates(
    world: &World,
    wanted: &Wanted,
    direction: Direction,
    traces: &[PolicyTrace],
) -> Vec<Candidate> {
    let (subject, other) = match direction {
        Direction::Egress => (wanted.from, wanted.to),
        Direction::Ingress => (wanted.to, wanted.from),
    };
    let UnitKind::Pods(variant, pods) = &subject.kind else { return Vec::new() };
    let workload = world.workload(world.variant(*variant).workload);
    let pod = world.pod_object(pods[0]);
    let ports = manifest::ports_of(&wanted.ports);
    let peers = peers_for(world, &workload.namespace, other);
    if peers.is_empty() {
        return Vec::new();
    }
    let mut near: Vec<(u32, Candidate)> = Vec::new();
    let mut rules: Vec<(u32, Candidate)> = Vec::new();
    for trace in traces.iter().filter(|trace| trace.tier == podgate_policy::Tier::NetworkPolicy) {
        let Some(policy) = network_policy(world, &trace.policy) else { continue };
        for rule in trace.rules.iter().filter(|rule| rule.effect == Effect::Allow && !rule.matches) {
            let at = rule.rule.index as usize;
            let written = &rules_of(policy, direction)[at];
            let place = format!("{}[{at}]", list_name(direction));
            if rule.peer
                && let (Some(ports), Some(_)) = (&ports, &written.ports)
            {
                let mut after = policy.clone();
                let own = rules_of_mut(&mut after, direction)[at].ports.get_or_insert_default();
                own.extend(ports.iter().cloned());
                let lines: Vec<String> =
                    ports.iter().flat_map(|port| manifest::item(manifest::port(port))).collect();
                let edit = edit(policy, &written.source, format!("add to spec.{place}.ports"), &lines);
                near.push((
                    written.ports.as_ref().map_or(0, |ports| ports.len() as u32),
                    Candidate { direction, edit, after },
                ));
            }
            if rule.port
                && let Some(known) = &written.peers
            {
                let mut after = policy.clone();
                rules_of_mut(&mut after, direction)[at]
                    .peers
                    .get_or_insert_default()
                    .extend(peers.iter().cloned());
                let lines: Vec<String> =
                    peers.iter().flat_map(|peer| manifest::item(manifest::peer(peer))).collect();
                let list = peer_list(direction);
                let edit = edit(policy, &written.source, format!("add to spec.{place}.{list}"), &lines);
                near.push((known.len() as u32, Candidate { direction, edit, after }));
            }
        }
        let mut after = policy.clone();
        let rule = Rule { peers: Some(peers.clone()), ports: ports.clone(), source: Source::default() };
        let lines = manifest::item(manifest::rule(&rule, peer_list(direction)));
        let count = rules_of(policy, direction).len() as u32;
        rules_of_mut(&mut after, direction).push(rule);
        let what = format!("add to spec.{}", list_name(direction));
        rules.push((
            count,
            Candidate { direction, edit: edit(policy, &policy.meta.source, what, &lines), after },
        ));
    }
    near.sort_by_key(|(size, _)| *size);
    // A policy about few pods opens less than one about all.
    rules.sort_by_key(|(_, candidate)| std::cmp::Reverse(candidate.after.pod_selector.requirements().len()));
    let mut all: Vec<Candidate> = near.into_iter().chain(rules).map(|(_, candidate)| candidate).collect();
    all.truncate(MOST_CANDIDATES - 1);
    all.push(new_policy(world, pod, &workload.name, direction, peers, ports));
    all
}

fn edit(policy: &NetworkPolicy, source: &Source, what: String, lines: &[String]) -> Edit {
    Edit {
        policy: format!("{}/{}", policy.meta.namespace, policy.meta.name),
        at: Some(place(source)),
        what,
        yaml: manifest::joined(lines),
    }
}

/// `file:line`.
pub fn place(source: &Source) -> String {
    Source { column: 0, ..source.clone() }.to_string()
}

fn new_policy(
    world: &World,
    pod: &Pod,
    name: &str,
    direction: Direction,
    peers: Vec<Peer>,
    ports: Option<Vec<podgate_api::PolicyPort>>,
) -> Candidate {
    let rule = Rule { peers: Some(peers), ports, source: Source::default() };
    let (ingress, egress) = match direction {
        Direction::Ingress => (vec![rule], Vec::new()),
        Direction::Egress => (Vec::new(), vec![rule]),
    };
    let taken = |name: &str| {
        world
            .cluster
            .policies()
            .any(|known| known.meta.namespace == pod.meta.namespace && known.meta.name == name)
    };
    let base = format!("{name}-{}", list_name(direction));
    let free = std::iter::once(base.clone()).chain((2..).map(|number| format!("{base}-{number}")));
    let name = free.into_iter().find(|name| !taken(name)).expect("some number is free");
    let after = NetworkPolicy {
        meta: Meta { name, namespace: pod.meta.namespace.clone(), ..Meta::default() },
        pod_selector: telling_labels(world, pod),
        ingress_in_force: direction == Direction::Ingress,
        egress_in_force: direction == Direction::Egress,
        ingress,
        egress,
    };
    let edit = Edit {
        policy: format!("{}/{}", after.meta.namespace, after.meta.name),
        at: None,
        what: "new policy".to_owned(),
        yaml: manifest::policy(&after),
    };
    Candidate { direction, edit, after }
}

fn network_policy<'a>(world: &'a World, policy: &PolicyRef) -> Option<&'a NetworkPolicy> {
    match super::rules::Written::find(&world.cluster, policy)? {
        super::rules::Written::Network(policy) => Some(policy),
        super::rules::Written::Cluster(_) => None,
    }
}

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> &[Rule] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

fn rules_of_mut(policy: &mut NetworkPolicy, direction: Direction) -> &mut Vec<Rule> {
    match direction {
        Direction::Ingress => &mut policy.ingress,
        Direction::Egress => &mut policy.egress,
    }
}

fn list_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

fn peer_list(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "from",
        Direction::Egress => "to",
    }
}

/// Peers that select a unit; none when nothing that the manifests say does.
fn peers_for(world: &World, own: &str, unit: &Unit) -> Vec<Peer> {
    match &unit.kind {
        UnitKind::Pods(_, pods) if unit.stand.kind.pod => {
            let pod = world.pod_object(pods[0]);
            let namespaces = (pod.meta.namespace != own)
                .then(|| LabelSelector::new(vec![is(NAMESPACE_NAME_LABEL, &pod.meta.namespace)]));
            let pods = Some(telling_labels(world, pod));
            vec![Peer::Pods(PodPeer { namespaces, pods, source: Source::default() })]
        }
        // The address of a node that the manifests don't tell can't be written.
        UnitKind::Pods(..) if world.invented.contains(&unit.ip) => Vec::new(),
        UnitKind::Pods(..) => blocks(&IpSet::address(unit.ip)),
        UnitKind::Outside(set) => blocks(set),
    }
}

/// Blocks that hold exactly a set: networks where they are few, otherwise one with holes.
fn blocks(set: &IpSet) -> Vec<Peer> {
    const FEW: usize = 4;
    let block =
        |cidr: IpNet, except: Vec<IpNet>| Peer::IpBlock(IpBlock { cidr, except, source: Source::default() });
    let nets = set.nets();
    if nets.len() <= FEW {
        return nets.into_iter().map(|net| block(net, Vec::new())).collect();
    }
    let whole = nets.iter().skip(1).fold(nets[0], |whole, net| {
        let mut whole = whole;
        while !whole.contains(net) {
            match whole.supernet() {
                Some(larger) => whole = larger,
                None => break,
            }
        }
        whole
    });
    let holes = IpSet::net(whole).difference(set).nets();
    match holes.len() < nets.len() {
        true => vec![block(whole, holes)],
        false => nets.into_iter().map(|net| block(net, Vec::new())).collect(),
    }
}

fn is(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), operator: Operator::In, values: vec![value.to_owned()] }
}

/// Labels that controllers put on pods: they change with every rollout or name one pod.
const OF_CONTROLLERS: [&str; 12] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "deployment",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
    "topology.kubernetes.io/zone",
];

/// Keys by which people tell their workloads apart, the usual ones first.
const TELLING: [&str; 6] =
    ["app.kubernetes.io/name", "app", "k8s-app", "name", "app.kubernetes.io/component", "component"];

/// The selector with the fewest labels that selects a pod's workload and nothing else in its namespace; all
/// of its labels when other workloads have them as well.
fn telling_labels(world: &World, pod: &Pod) -> LabelSelector {
    let stable: Labels = pod
        .meta
        .labels
        .iter()
        .filter(|(key, _)| !OF_CONTROLLERS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let others: Vec<&Labels> = world
        .workloads
        .iter()
        .filter(|workload| {
            workload.hypothesis.is_none()
                && workload.namespace == pod.meta.namespace
                && !workload.pods.iter().any(|id| *world.pod(*id).name == *pod.meta.name)
        })
        .map(|workload| &workload.labels)
        .collect();
    let usual = TELLING.iter().copied().filter_map(|key| stable.get_key_value(key));
    let rest = stable.iter().filter(|(key, _)| !TELLING.contains(&key.as_str()));
    for (key, value) in usual.chain(rest) {
        if !others.iter().any(|labels| labels.get(key) == Some(value)) {
            return LabelSelector::new(vec![is(key, value)]);
        }
    }
    LabelSelector::new(stable.iter().map(|(key, value)| is(key, value)).collect())
}
