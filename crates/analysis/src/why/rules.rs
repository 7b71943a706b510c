//! Rules in words: what they mean, and why they don't match a connection.

use std::net::IpAddr;

use podgate_api::{
    ClusterPeer, ClusterPolicy, ClusterPortMatch, ClusterRule, LabelSelector, Labels, NAMESPACE_NAME_LABEL,
    NetworkPolicy, Operator, Peer, Pod, PortMatch, Protocol, Rule,
};
use podgate_policy::{Cluster, Direction, PolicyRef, PortKey};

use crate::ends::nearest;
use crate::world::World;

/// The text of a policy.
#[derive(Clone, Copy, Debug)]
pub enum Written<'a> {
    /// A NetworkPolicy.
    Network(&'a NetworkPolicy),
    /// A cluster-scoped policy.
    Cluster(&'a ClusterPolicy),
}

impl<'a> Written<'a> {
    /// Finds the policy that the engine names.
    pub fn find(cluster: &'a Cluster, policy: &PolicyRef) -> Option<Written<'a>> {
        if policy.namespace.is_empty() {
            let mut same = cluster
                .cluster_policies()
                .filter(|known| known.meta.name == policy.name && known.kind.as_str() == policy.kind);
            return same.next().map(Written::Cluster);
        }
        let mut same = cluster
            .policies()
            .filter(|known| known.meta.name == policy.name && known.meta.namespace == policy.namespace);
        same.next().map(Written::Network)
    }

    /// A rule in words.
    pub fn rule(self, direction: Direction, index: u32) -> String {
        match self {
            Written::Network(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                rules.get(index as usize).map_or_else(String::new, |rule| network_rule(rule, direction))
            }
            Written::Cluster(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                rules.get(index as usize).map_or_else(String::new, |rule| cluster_rule(rule, direction))
            }
        }
    }

    /// Why the peers of a rule don't match the other end: the nearest peer's reason.
    pub fn peer_miss(self, direction: Direction, index: u32, other: &Other) -> Option<Miss> {
        match self {
            Written::Network(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                let peers = rules.get(index as usize)?.peers.as_ref()?;
                let misses = peers.iter().map(|peer| network_peer_miss(&policy.meta.namespace, peer, other));
                misses.min_by_key(|miss| miss.distance)
            }
            Written::Cluster(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                let peers = &rules.get(index as usize)?.peers;
                peers.iter().map(|peer| cluster_peer_miss(peer, other)).min_by_key(|miss| miss.distance)
            }
        }
    }

    /// Whether a rule names ports.
    pub fn has_ports(self, direction: Direction, index: u32) -> bool {
        match self {
            Written::Network(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                rules.get(index as usize).is_some_and(|rule| rule.ports.is_some())
            }
            Written::Cluster(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                rules.get(index as usize).is_some_and(|rule| rule.ports.is_some())
            }
        }
    }

    /// Why the ports of a rule don't match the connection's.
    pub fn port_miss(
        self,
        direction: Direction,
        index: u32,
        key: PortKey,
        destination: &Other,
    ) -> Option<String> {
        let (ports, names): (Vec<String>, Vec<(Option<Protocol>, &str)>) = match self {
            Written::Network(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                let ports = rules.get(index as usize)?.ports.as_ref()?;
                let names = ports.iter().filter_map(|port| match &port.port {
                    PortMatch::Named(name) => Some((Some(port.protocol), name.as_str())),
                    _ => None,
                });
                (ports.iter().map(|port| port_text(port.protocol, &port.port)).collect(), names.collect())
            }
            Written::Cluster(policy) => {
                let rules = if direction == Direction::Ingress { &policy.ingress } else { &policy.egress };
                let ports = rules.get(index as usize)?.ports.as_ref()?;
                let names = ports.iter().filter_map(|port| match &port.matches {
                    ClusterPortMatch::Named(name) => Some((None, name.as_str())),
                    _ => None,
                });
                (ports.iter().map(|port| cluster_port_text(&port.matches)).collect(), names.collect())
            }
        };
        let mut text = format!("its ports are {}, not {}", ports.join(", "), key_text(key));
        for (protocol, name) in names {
            text.push_str(&named_miss(protocol, name, destination));
        }
        Some(text)
    }
}

/// What a name stands for at the destination.
fn named_miss(protocol: Option<Protocol>, name: &str, destination: &Other) -> String {
    let Some(pod) = destination.pod else {
        return format!("; {name} means nothing at an address that is no pod's");
    };
    let same: Vec<String> = pod
        .ports
        .iter()
        .filter(|port| port.name == name)
        .map(|port| format!("{}/{}", port.protocol, port.port))
        .collect();
    match (same.is_empty(), protocol) {
        (true, _) => {
            let near = nearest(
                name,
                pod.ports.iter().map(|port| port.name.as_str()).filter(|name| !name.is_empty()),
            );
            let near = near.first().map(|near| format!(" (it has {near})")).unwrap_or_default();
            format!("; {} has no port called {name}{near}", destination.title)
        }
        (false, _) => format!("; {name} is {} at {}", same.join(", "), destination.title),
    }
}

/// The other end of a connection, as rules look at it.
#[derive(Clone, Debug)]
pub struct Other<'a> {
    /// What it is called.
    pub title: String,
    /// Its address.
    pub ip: IpAddr,
    /// The pod; `None` for what is no pod to policy.
    pub pod: Option<&'a Pod>,
    /// A pod in the host network is there, which is no peer.
    pub host_network: bool,
    /// Labels of the pod's namespace.
    pub namespace: Option<&'a Labels>,
}

impl<'a> Other<'a> {
    /// The end at an address.
    pub fn new(world: &'a World, ip: IpAddr, title: String, host_network: bool) -> Other<'a> {
        let pod = world.pod_object_at(ip);
        let namespace = pod.and_then(|pod| world.namespace_labels(&pod.meta.namespace));
        Other { title, ip, pod, host_network, namespace }
    }
}

/// Why a peer isn't the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// How far off it is: 1 for a slip in one label.
    pub distance: u32,
    /// In words.
    pub text: String,
}

fn network_peer_miss(own: &str, peer: &Peer, other: &Other) -> Miss {
    match peer {
        Peer::Pods(peer) => {
            let namespaces = match &peer.namespaces {
                Some(selector) => Namespaces::Selected(selector),
                None => Namespaces::Own(own),
            };
            pods_miss(&namespaces, peer.pods.as_ref(), other)
        }
        Peer::IpBlock(block) => match block.except.iter().find(|net| net.contains(&other.ip)) {
            Some(hole) if block.cidr.contains(&other.ip) => Miss {
                distance: 2,
                text: format!("its block {} leaves out {hole}, which holds {}", block.cidr, other.ip),
            },
            _ => Miss { distance: 6, text: format!("its block {} does not hold {}", block.cidr, other.ip) },
        },
    }
}

fn cluster_peer_miss(peer: &ClusterPeer, other: &Other) -> Miss {
    let text = match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => {
            return pods_miss(&Namespaces::Selected(namespaces), Some(pods), other);
        }
        ClusterPeer::Nodes { nodes, .. } => format!("it means nodes{}", with(nodes)),
        ClusterPeer::Networks { networks, .. } => {
            let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
            format!("its networks {} do not hold {}", networks.join(", "), other.ip)
        }
        ClusterPeer::Domains { names, .. } => {
            format!("it means the addresses of {}, which DNS tells at run time", names.join(", "))
        }
        ClusterPeer::Unknown(_) => "its peer can't be read".to_owned(),
    };
    Miss { distance: 6, text }
}

/// Whether a rule is about a connection, as it is written: what a hint needs to know of a policy that the engine
/// did not ask. Verdicts are the engine's.
pub fn is_about(own: &str, rule: &Rule, other: &Other, key: PortKey, destination: &Other) -> bool {
    let peer = rule.peers.as_ref().is_none_or(|peers| {
        peers.iter().any(|peer| match peer {
            Peer::Pods(_) => network_peer_miss(own, peer, other).text.is_empty(),
            Peer::IpBlock(block) => {
                block.cidr.contains(&other.ip) && !block.except.iter().any(|hole| hole.contains(&other.ip))
            }
        })
    });
    let port = rule.ports.as_ref().is_none_or(|ports| {
        ports.iter().filter(|port| port.protocol.number() == key.protocol()).any(|port| match &port.port {
            PortMatch::All => true,
            PortMatch::Range(first, last) => (*first..=*last).contains(&key.port()),
            PortMatch::Named(name) => destination.pod.is_some_and(|pod| {
                let mut ports = pod.ports.iter();
                ports.any(|known| {
                    known.name == *name && known.port == key.port() && known.protocol == port.protocol
                })
            }),
        })
    });
    peer && port
}

/// Why a selector for subjects misses a pod by one slip; `None`: it selects it, or means others.
pub fn subject_slip(selector: &LabelSelector, pod: &Pod, title: &str) -> Option<String> {
    let (mut distance, mut reasons) = (0, Vec::new());
    labels_miss(selector, &pod.meta.labels, "pods", title, title, &mut distance, &mut reasons);
    (distance == 1).then(|| reasons.join("; "))
}

enum Namespaces<'a> {
    Own(&'a str),
    Selected(&'a LabelSelector),
}

fn pods_miss(namespaces: &Namespaces, pods: Option<&LabelSelector>, other: &Other) -> Miss {
    let (Some(pod), Some(labels)) = (other.pod, other.namespace) else {
        let text = match other.host_network {
            true => {
                format!("it means pods, and {} is in the host network: to policy it is its node", other.title)
            }
            false => format!("it means pods, and {} is no pod's address", other.ip),
        };
        return Miss { distance: 9, text };
    };
    let mut distance = 0;
    let mut reasons: Vec<String> = Vec::new();
    match namespaces {
        Namespaces::Own(own) if *own != pod.meta.namespace => {
            distance += 3;
            reasons.push(format!(
                "it means pods of its own namespace {own} (no namespaceSelector), and {} is in {}",
                other.title, pod.meta.namespace
            ));
        }
        Namespaces::Own(_) => {}
        Namespaces::Selected(selector) => {
            let what = format!("namespace {}", pod.meta.namespace);
            let place = format!("{} is in {}", other.title, pod.meta.namespace);
            labels_miss(selector, labels, "a namespace", &what, &place, &mut distance, &mut reasons);
        }
    }
    if let Some(selector) = pods {
        labels_miss(
            selector,
            &pod.meta.labels,
            "pods",
            &other.title,
            &other.title,
            &mut distance,
            &mut reasons,
        );
    }
    Miss { distance: distance.max(1), text: reasons.join("; ") }
}

fn labels_miss(
    selector: &LabelSelector,
    labels: &Labels,
    what: &str,
    name: &str,
    place: &str,
    distance: &mut u32,
    reasons: &mut Vec<String>,
) {
    if selector.is_invalid() {
        *distance += 9;
        reasons.push(format!("its selector for {what} can't be read"));
    }
    for requirement in selector.requirements() {
        let value = labels.get(&requirement.key).map(String::as_str);
        if requirement.matches(value) {
            continue;
        }
        let slip = value.is_some_and(|value| is_slip(value, &requirement.values));
        *distance += if slip { 1 } else { 2 };
        let has = match value {
            Some(value) => format!("has {}={value}", requirement.key),
            None => match nearest(&requirement.key, labels.keys().map(String::as_str)).first() {
                Some(near) => format!("has no label {}, but {near}={}", requirement.key, labels[*near]),
                None => format!("has no label {}", requirement.key),
            },
        };
        reasons.push(match (requirement.key == NAMESPACE_NAME_LABEL, requirement.operator) {
            (true, Operator::In) => {
                format!("it means namespace {}, and {place}", requirement.values.join(" or "))
            }
            _ => format!("it wants {what} with {}, and {name} {has}", requirement),
        });
    }
}

/// Whether a value was probably meant to be one of others. `app-1` and `app-2` are two names, no slip.
fn is_slip(value: &str, meant: &[String]) -> bool {
    let letters = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
    let near = nearest(value, meant.iter().map(String::as_str));
    near.iter().any(|near| letters(near) != letters(value))
}

fn with(selector: &LabelSelector) -> String {
    match (selector.is_invalid(), selector.is_everything()) {
        (true, _) => " by a selector that can't be read".to_owned(),
        (_, true) => String::new(),
        _ => format!(" with {}", selector),
    }
}

fn network_rule(rule: &Rule, direction: Direction) -> String {
    let peers = match &rule.peers {
        None => "anyone".to_owned(),
        Some(peers) if peers.is_empty() => "nobody".to_owned(),
        Some(peers) => shortened(peers.iter().map(network_peer).collect()),
    };
    let ports = match &rule.ports {
        None => "all ports".to_owned(),
        Some(ports) => shortened(ports.iter().map(|port| port_text(port.protocol, &port.port)).collect()),
    };
    sentence(direction, &peers, &ports)
}

fn sentence(direction: Direction, peers: &str, ports: &str) -> String {
    match direction {
        Direction::Ingress => format!("from {peers}: {ports}"),
        Direction::Egress => format!("to {peers}: {ports}"),
    }
}

fn network_peer(peer: &Peer) -> String {
    match peer {
        Peer::Pods(peer) => match (&peer.namespaces, &peer.pods) {
            (None, None) => "nobody".to_owned(),
            (None, Some(pods)) if pods.is_everything() => "all pods of the namespace".to_owned(),
            (None, Some(pods)) => format!("pods{}", with(pods)),
            (Some(namespaces), pods) => selected(namespaces, pods.as_ref()),
        },
        Peer::IpBlock(block) => {
            let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
            match except.is_empty() {
                true => block.cidr.to_string(),
                false => format!("{} but {}", block.cidr, shortened(except)),
            }
        }
    }
}

fn selected(namespaces: &LabelSelector, pods: Option<&LabelSelector>) -> String {
    let everything = LabelSelector::default();
    let pods = pods.unwrap_or(&everything);
    let named = match namespaces.requirements() {
        [only] if only.key == NAMESPACE_NAME_LABEL && only.operator == Operator::In => {
            Some(format!("namespace {}", only.values.join(" or ")))
        }
        _ => None,
    };
    let place = match named {
        Some(named) => format!(" in {named}"),
        None if namespaces.is_everything() => " of any namespace".to_owned(),
        None => format!(" in namespaces{}", with(namespaces)),
    };
    let what = if pods.is_everything() { "all pods".to_owned() } else { format!("pods{}", with(pods)) };
    format!("{what}{place}")
}

fn cluster_rule(rule: &ClusterRule, direction: Direction) -> String {
    let peers = rule.peers.iter().map(|peer| match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => selected(namespaces, Some(pods)),
        ClusterPeer::Nodes { nodes, .. } => format!("nodes{}", with(nodes)),
        ClusterPeer::Networks { networks, .. } => {
            shortened(networks.iter().map(ToString::to_string).collect())
        }
        ClusterPeer::Domains { names, .. } => shortened(names.clone()),
        ClusterPeer::Unknown(_) => "what can't be read".to_owned(),
    });
    let ports = match &rule.ports {
        None => "all ports".to_owned(),
        Some(ports) => shortened(ports.iter().map(|port| cluster_port_text(&port.matches)).collect()),
    };
    sentence(direction, &shortened(peers.collect()), &ports)
}

fn cluster_port_text(port: &ClusterPortMatch) -> String {
    match port {
        ClusterPortMatch::Port(protocol, port) => port_text(*protocol, port),
        ClusterPortMatch::Named(name) => name.clone(),
        ClusterPortMatch::Unknown => "a port that can't be read".to_owned(),
    }
}

fn port_text(protocol: Protocol, port: &PortMatch) -> String {
    match port {
        PortMatch::All => format!("{protocol}"),
        PortMatch::Range(first, last) if first == last => format!("{protocol}/{first}"),
        PortMatch::Range(first, last) => format!("{protocol}/{first}-{last}"),
        PortMatch::Named(name) => format!("{protocol}/{name}"),
    }
}

/// `TCP/80`, `ICMP`, `protocol 47`.
pub fn key_text(key: PortKey) -> String {
    match Protocol::ALL.into_iter().find(|protocol| protocol.number() == key.protocol()) {
        Some(protocol) => format!("{protocol}/{}", key.port()),
        None => match (key.protocol(), key.port()) {
            (1, 8) => "ICMP echo".to_owned(),
            (58, 128) => "ICMPv6 echo".to_owned(),
            (1, kind) => format!("ICMP type {kind}"),
            (58, kind) => format!("ICMPv6 type {kind}"),
            (protocol, _) => format!("protocol {protocol}"),
        },
    }
}

/// The first few, and how many more.
fn shortened(parts: Vec<String>) -> String {
    const MOST: usize = 4;
    match parts.len() {
        0 => "nobody".to_owned(),
        1..=MOST => parts.join(", "),
        many => format!("{} and {} more", parts[..MOST - 1].join(", "), many - MOST + 1),
    }
}
