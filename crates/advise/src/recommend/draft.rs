//! From lessons to policies: deterministic names and order, comments that say where each rule comes from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use podgate_analysis::manifest::Document;
use podgate_analysis::suggest::namespace_named;
use podgate_api::{
    IpBlock, Meta, NetworkPolicy, Node, Peer as ApiPeer, PodPeer, PolicyPort, PortMatch, Protocol, Rule,
    Source,
};
use podgate_policy::Direction;

use super::inventory::{Inventory, WorkloadKey};
use super::learn::{Lesson, Lessons, Peer, Ports, Teacher};
use super::{Options, Recommended, look_at, statement};
use crate::seen::Seen;

/// More addresses than this in one rule are a list that will be wrong soon.
const MANY_ADDRESSES: usize = 10;
/// More ports than this towards one peer are probably not a service's.
const MANY_PORTS: usize = 20;

/// A policy for each workload that something was learned of.
pub(super) fn policies(
    inventory: &Inventory,
    nodes: &[Node],
    teacher: &Teacher<'_>,
    seen: &Seen,
    options: &Options,
) -> Vec<Recommended> {
    let names = names(inventory);
    let mut policies = Vec::new();
    for (key, lessons) in teacher.lessons.iter().filter(|(key, _)| options.covers(&key.namespace)) {
        let Some(chosen) = inventory.chosen(key) else { continue };
        let mut warnings = chosen.notes.clone();
        for (direction, words) in [(Direction::Ingress, "opened to it"), (Direction::Egress, "opened by it")]
        {
            if lessons.of(direction).is_empty() {
                warnings.push(format!(
                    "no connection {words} was seen: all {} is denied",
                    if direction == Direction::Ingress { "ingress" } else { "egress" }
                ));
            }
        }
        let draft = Draft { inventory, nodes, namespace: &key.namespace };
        let (ingress, ingress_why) = draft.rules(lessons, Direction::Ingress, &mut warnings);
        let (egress, egress_why) = draft.rules(lessons, Direction::Egress, &mut warnings);
        let mut about = statement::about(key, inventory, lessons, seen);
        about.extend(warnings.iter().map(|warning| look_at(warning)));
        policies.push(Recommended {
            workload: key.clone(),
            connections: lessons.connections,
            document: Document {
                policy: NetworkPolicy {
                    meta: Meta {
                        name: names[key].clone(),
                        namespace: key.namespace.clone(),
                        ..Meta::default()
                    },
                    pod_selector: chosen.selector.clone(),
                    ingress_in_force: true,
                    egress_in_force: true,
                    ingress,
                    egress,
                },
                about,
                ingress: ingress_why,
                egress: egress_why,
            },
            warnings,
        });
    }
    policies
}

/// A name for the policy of each workload: the same whenever the same workloads are there.
fn names(inventory: &Inventory) -> BTreeMap<WorkloadKey, String> {
    let mut taken: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for key in inventory.groups.keys() {
        *taken.entry((&key.namespace, &key.name)).or_default() += 1;
    }
    let name = |key: &WorkloadKey| match taken[&(key.namespace.as_str(), key.name.as_str())] {
        1 => format!("recommended-{}", key.name),
        _ => format!("recommended-{}-{}", key.name, key.kind.to_lowercase()),
    };
    inventory.groups.keys().map(|key| (key.clone(), name(key))).collect()
}

struct Draft<'a> {
    inventory: &'a Inventory,
    nodes: &'a [Node],
    namespace: &'a str,
}

/// Peers, with what was learned of each.
type Taught<'l> = Vec<(&'l Peer, &'l Lesson)>;

/// Rules, and what stands above each.
type Rules = (Vec<Rule>, Vec<Vec<String>>);

impl Draft<'_> {
    fn rules(&self, lessons: &Lessons, direction: Direction, warnings: &mut Vec<String>) -> Rules {
        let word = if direction == Direction::Ingress { "From" } else { "To" };
        let (mut rules, mut comments): Rules = (Vec::new(), Vec::new());
        let mut push = |peers: Vec<ApiPeer>, ports: &Ports, why: Vec<String>| {
            rules.push(Rule { peers: Some(peers), ports: Some(written(ports)), source: Source::default() });
            comments.push(why);
        };
        let lessons = lessons.of(direction);
        // By selectors first, then nodes, then blocks that are known, then single addresses.
        for (peer, lesson) in lessons {
            let Peer::Workload(key) = peer else { continue };
            let Some(chosen) = self.inventory.chosen(key) else { continue };
            let mut why = vec![format!("{word} {key}: {}.", connections(lesson.connections))];
            why.extend(chosen.notes.iter().map(|note| look_at(note)));
            let namespaces = (key.namespace != self.namespace).then(|| namespace_named(&key.namespace));
            let peer = PodPeer { namespaces, pods: Some(chosen.selector.clone()), source: Source::default() };
            many_ports(lesson, &key.to_string(), warnings);
            push(vec![ApiPeer::Pods(peer)], &lesson.ports, why);
        }
        for (ports, group) in by_ports(lessons, |peer| matches!(peer, Peer::Node(_)).then_some(())) {
            let names: BTreeSet<&str> = group.iter().filter_map(|(peer, _)| node_name(peer)).collect();
            let mut addresses: BTreeSet<IpAddr> =
                group.iter().flat_map(|(_, lesson)| lesson.addresses.iter().copied()).collect();
            let known = self.nodes.iter().filter(|node| names.contains(node.meta.name.as_str()));
            addresses.extend(known.flat_map(|node| node.addresses.iter().copied()));
            let names: Vec<&str> = names.into_iter().collect();
            let why = vec![
                format!(
                    "{word} {} {}: {}.",
                    if names.len() == 1 { "node" } else { "nodes" },
                    names.join(", "),
                    connections(sum(&group))
                ),
                "Pods in the host network, kubelets and API servers have their node's addresses: no label selects them,"
                    .to_owned(),
                "and another node has others.".to_owned(),
            ];
            warnings.push(format!(
                "{} {} named by address: a node that is added or replaced has another",
                match names.len() {
                    1 => format!("node {}", names[0]),
                    number => format!("{number} nodes"),
                },
                if names.len() == 1 { "is" } else { "are" }
            ));
            push(blocks(&addresses), &ports, why);
        }
        for (peer, lesson) in lessons {
            let Peer::Known(net, name) = peer else { continue };
            let why = vec![format!(
                "{word} {name}: {}, to {} of its addresses.",
                connections(lesson.connections),
                lesson.addresses.len()
            )];
            push(vec![block(*net)], &lesson.ports, why);
        }
        let named = |peer: &Peer| match peer {
            Peer::Outside(name, _) => Some(name.clone()),
            _ => None,
        };
        let mut outside: Vec<(Option<String>, Ports, Taught)> = Vec::new();
        let names: BTreeSet<Option<String>> = lessons.keys().filter_map(named).collect();
        for name in names {
            let of_name = by_ports(lessons, |peer| (named(peer) == Some(name.clone())).then_some(()));
            outside.extend(of_name.into_iter().map(|(ports, group)| (name.clone(), ports, group)));
        }
        // Those with a name first.
        outside.sort_by(|a, b| (a.0.is_none(), &a.0, &a.1).cmp(&(b.0.is_none(), &b.0, &b.1)));
        for (name, ports, group) in outside {
            let addresses: BTreeSet<IpAddr> =
                group.iter().flat_map(|(_, lesson)| lesson.addresses.iter().copied()).collect();
            let title = match &name {
                Some(name) => format!("{name} (its name by DNS when it was seen)"),
                None => "addresses outside of the cluster".to_owned(),
            };
            let mut why = vec![format!("{word} {title}: {}.", connections(sum(&group)))];
            if name.is_some() && direction == Direction::Egress {
                why.push(
                    "Addresses behind a name change: a ClusterNetworkPolicy can name the domain.".to_owned(),
                );
            }
            if direction == Direction::Ingress {
                why.push(
                    "Clients outside come from other addresses tomorrow: write the block that may come, or 0.0.0.0/0."
                        .to_owned(),
                );
            }
            if addresses.len() > MANY_ADDRESSES {
                warnings.push(format!(
                    "{} single addresses of {} in one rule: name their block with --known-blocks, or the domain in a \
                     ClusterNetworkPolicy",
                    addresses.len(),
                    name.as_deref().unwrap_or("the outside")
                ));
            }
            push(blocks(&addresses), &ports, why);
        }
        (rules, comments)
    }
}

/// Peers of one kind that were used on the same ports: one rule must not lend one's ports to another.
fn by_ports(
    lessons: &BTreeMap<Peer, Lesson>,
    is_meant: impl Fn(&Peer) -> Option<()>,
) -> BTreeMap<Ports, Taught<'_>> {
    let mut groups: BTreeMap<Ports, Taught<'_>> = BTreeMap::new();
    for (peer, lesson) in lessons.iter().filter(|(peer, _)| is_meant(peer).is_some()) {
        groups.entry(lesson.ports.clone()).or_default().push((peer, lesson));
    }
    groups
}

fn node_name(peer: &Peer) -> Option<&str> {
    match peer {
        Peer::Node(name) => Some(name),
        _ => None,
    }
}

fn sum(group: &[(&Peer, &Lesson)]) -> u64 {
    group.iter().map(|(_, lesson)| lesson.connections).sum()
}

fn many_ports(lesson: &Lesson, peer: &str, warnings: &mut Vec<String>) {
    if lesson.ports.len() > MANY_PORTS {
        warnings.push(format!(
            "{} ports between it and {peer}: ports that change are better said by `endPort`",
            lesson.ports.len()
        ));
    }
}

/// `1 connection`, `2 connections`.
pub(super) fn connections(number: u64) -> String {
    if number == 1 { "1 connection".to_owned() } else { format!("{number} connections") }
}

fn block(cidr: IpNet) -> ApiPeer {
    ApiPeer::IpBlock(IpBlock { cidr, except: Vec::new(), source: Source::default() })
}

fn blocks(addresses: &BTreeSet<IpAddr>) -> Vec<ApiPeer> {
    addresses.iter().map(|ip| block(IpNet::from(*ip))).collect()
}

/// Ports as policies write them, neighbours in one range.
fn written(ports: &Ports) -> Vec<PolicyPort> {
    let mut written: Vec<PolicyPort> = Vec::new();
    for protocol in Protocol::ALL {
        for (_, port) in ports.iter().filter(|(known, _)| known.0 == protocol.number()) {
            if let Some(PolicyPort { protocol: known, port: PortMatch::Range(_, last), .. }) =
                written.last_mut()
                && *known == protocol
                && last.checked_add(1) == Some(*port)
            {
                *last = *port;
                continue;
            }
            written.push(PolicyPort {
                protocol,
                port: PortMatch::Range(*port, *port),
                source: Source::default(),
            });
        }
    }
    written
}
