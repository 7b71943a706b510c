//! Clusters for benchmarks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use podgate_api::{
    ContainerPort, IpBlock, LabelSelector, Labels, Meta, NAMESPACE_NAME_LABEL, Namespace, NetworkPolicy,
    Node, Object, Operator, Peer, Pod, PodPeer, PolicyPort, PortMatch, Protocol, Requirement, Rule, Source,
};

use crate::Rng;

/// How many of what a cluster has. Shares are percent.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The same seed and shape make the same cluster.
    pub seed: u64,
    /// Namespaces.
    pub namespaces: u32,
    /// Pods in each namespace.
    pub pods: u32,
    /// NetworkPolicies in each namespace.
    pub policies: u32,
    /// Rules in each direction of each policy.
    pub rules: u32,
    /// Nodes that the pods are spread over.
    pub nodes: u32,
    /// Different values of the label that selectors name.
    pub label_values: u32,
    /// Peers that are ipBlocks.
    pub ip_blocks: u8,
    /// Port entries that are names.
    pub named_ports: u8,
    /// Port entries that are ranges.
    pub ranges: u8,
    /// Peers that name other namespaces.
    pub cross_namespace: u8,
    /// Pods have an IPv6 address too.
    pub dual_stack: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            seed: 1,
            namespaces: 100,
            pods: 20,
            policies: 5,
            rules: 2,
            nodes: 10,
            label_values: 8,
            ip_blocks: 15,
            named_ports: 10,
            ranges: 10,
            cross_namespace: 30,
            dual_stack: true,
        }
    }
}

impl Shape {
    /// The cluster's objects: nodes, then each namespace followed by its pods and policies.
    pub fn generate(&self) -> Vec<Object> {
        let mut rng = Rng::new(self.seed);
        let mut objects: Vec<Object> = (0..self.nodes).map(|i| Object::Node(node(i))).collect();
        for ns in 0..self.namespaces {
            let name = format!("ns-{ns}");
            let team = format!("team-{}", rng.below(self.label_values as usize));
            objects.push(namespace(&name, &[("team", &team)]));
            for i in 0..self.pods {
                let app = format!("app-{}", rng.below(self.label_values as usize));
                let index = ns * self.pods + i;
                let mut pod = pod(&name, &format!("pod-{i}"), index, self.nodes, &[("app", &app)]);
                if self.dual_stack {
                    pod.ips.push(pod_v6(index));
                }
                objects.push(Object::Pod(pod));
            }
            for i in 0..self.policies {
                let ingress = (0..self.rules).map(|_| self.rule(&mut rng)).collect();
                let egress = (0..self.rules).map(|_| self.rule(&mut rng)).collect();
                let app = format!("app-{}", rng.below(self.label_values as usize));
                objects.push(Object::NetworkPolicy(NetworkPolicy {
                    meta: meta(&name, &format!("policy-{i}"), &[]),
                    pod_selector: label_in(&[("app", &app)]),
                    ingress_in_force: true,
                    egress_in_force: rng.percent(50),
                    ingress,
                    egress,
                }));
            }
        }
        objects
    }

    fn rule(&self, rng: &mut Rng) -> Rule {
        let peer = if rng.percent(self.ip_blocks) {
            let base = Ipv4Addr::from(0x0a00_0000 + (rng.below(1 << 16) as u32));
            let length = *rng.pick(&[16, 20, 24, 26, 28]);
            let cidr = masked(base, length);
            let except = if rng.percent(30) { vec![masked(base, length + 2)] } else { Vec::new() };
            Peer::IpBlock(IpBlock { cidr, except, source: Source::default() })
        } else {
            let app = format!("app-{}", rng.below(self.label_values as usize));
            let team = format!("team-{}", rng.below(self.label_values as usize));
            let namespaces = rng.percent(self.cross_namespace).then(|| label_in(&[("team", &team)]));
            pods(namespaces, Some(label_in(&[("app", &app)])))
        };
        let lo = 1024 + rng.below(60_000) as u16;
        let port = if rng.percent(self.named_ports) {
            PortMatch::Named("http".to_owned())
        } else if rng.percent(self.ranges) {
            PortMatch::Range(lo, lo + 100)
        } else {
            PortMatch::Range(lo, lo)
        };
        Rule {
            peers: Some(vec![peer]),
            ports: Some(vec![PolicyPort { protocol: Protocol::Tcp, port, source: Source::default() }]),
            source: Source::default(),
        }
    }
}

/// 100,000 pods and 75,000 policies in 25,000 namespaces: the shape of the large-scale measurement that
/// another controller publishes, with ports.
///
/// Each namespace has two groups of two pods. One policy denies everything in both directions, and one
/// for each group lets the group's pods talk to each other.
pub fn antrea_like() -> Vec<Object> {
    antrea_like_of(25_000)
}

/// [`antrea_like`] with another number of namespaces.
pub fn antrea_like_of(namespaces: u32) -> Vec<Object> {
    let nodes = (namespaces / 25).max(1);
    let mut objects: Vec<Object> = (0..nodes).map(|i| Object::Node(node(i))).collect();
    for ns in 0..namespaces {
        let name = format!("ns-{ns}");
        objects.push(namespace(&name, &[("app", &name)]));
        objects.extend(four_pods(ns, nodes));
        let both = |policy: &str, app: Option<&str>, port: u16| {
            let group = || app.map(|app| label_in(&[("app", app)]));
            let allowed =
                group().map(|group| rule(Some(vec![pods(None, Some(group))]), Some(vec![tcp(port)])));
            let ingress = allowed.into_iter().collect();
            let pod_selector = group().unwrap_or_default();
            Object::NetworkPolicy(NetworkPolicy {
                meta: meta(&name, policy, &[]),
                pod_selector,
                ingress_in_force: true,
                egress_in_force: true,
                ingress,
                egress: Vec::new(),
            })
        };
        objects.extend([
            both("deny", None, 0),
            both("front", Some("front"), 80),
            both("back", Some("back"), 5432),
        ]);
    }
    objects
}

fn four_pods(ns: u32, nodes: u32) -> impl Iterator<Item = Object> {
    (0..4).map(move |i| {
        let app = if i < 2 { "front" } else { "back" };
        let unique = format!("{ns}-{i}");
        let labels = [("app", app), ("pod-template-hash", unique.as_str())];
        Object::Pod(pod(&format!("ns-{ns}"), &format!("{app}-{i}"), ns * 4 + i, nodes, &labels))
    })
}

/// As many namespaces, pods and policies as [`antrea_like_of`], and something that all of them share.
///
/// Each namespace has two front ends and two back ends, and three policies: front ends take HTTP from
/// everywhere and may open connections to the back ends; back ends take a port from the front ends; all
/// pods of the namespace are reachable by the monitoring namespaces, one in a thousand.
pub fn monitored_of(namespaces: u32) -> Vec<Object> {
    let nodes = (namespaces / 25).max(1);
    let mut objects: Vec<Object> = (0..nodes).map(|i| Object::Node(node(i))).collect();
    let front = || label_in(&[("app", "front")]);
    let back = || label_in(&[("app", "back")]);
    for ns in 0..namespaces {
        let name = format!("ns-{ns}");
        let purpose = if ns % 1000 == 0 { "monitoring" } else { "tenant" };
        objects.push(namespace(&name, &[("purpose", purpose)]));
        objects.extend(four_pods(ns, nodes));
        objects.push(Object::NetworkPolicy(NetworkPolicy {
            meta: meta(&name, "front", &[]),
            pod_selector: front(),
            ingress_in_force: true,
            egress_in_force: true,
            ingress: vec![rule(None, Some(vec![tcp(80), tcp(443)]))],
            egress: vec![rule(Some(vec![pods(None, Some(back()))]), Some(vec![tcp(5432)]))],
        }));
        let from_front = rule(Some(vec![pods(None, Some(front()))]), Some(vec![tcp(5432)]));
        objects.push(ingress_policy(&name, "back", back(), vec![from_front]));
        let monitoring = pods(Some(label_in(&[("purpose", "monitoring")])), None);
        let scraped = rule(Some(vec![monitoring]), Some(vec![tcp(9090)]));
        objects.push(ingress_policy(&name, "monitoring", LabelSelector::default(), vec![scraped]));
    }
    objects
}

/// The holes that the blocks of [`blocked_of`] have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holes {
    /// All policies have the same block.
    Same,
    /// Each policy has a hole of its own: a third of them some pods of their namespace, the others no pod.
    Own,
}

/// As many namespaces, pods and policies as [`antrea_like_of`]; each policy also has a block that holds
/// nearly all pods of the cluster, and nearly every pod is a class of its own.
///
/// Each namespace has two front ends and two back ends, and three policies: all pods may open connections to
/// the block; front ends take HTTP from the block and a port from the back ends; back ends take another
/// port from each of the front ends, and HTTPS from the block.
pub fn blocked_of(namespaces: u32, holes: Holes) -> Vec<Object> {
    let nodes = (namespaces / 25).max(1);
    let mut objects: Vec<Object> = (0..nodes).map(|i| Object::Node(node(i))).collect();
    let app = |app: &str| label_in(&[("app", app)]);
    let nets = |nets: &[(u32, u8)]| -> Vec<IpNet> {
        nets.iter().map(|(address, length)| masked(Ipv4Addr::from(*address), *length)).collect()
    };
    for ns in 0..namespaces {
        let name = format!("ns-{ns}");
        objects.push(namespace(&name, &[("app", &name)]));
        objects.extend(four_pods(ns, nodes));
        let block = |policy: u32| {
            let except = match (holes, policy) {
                (Holes::Same, _) => nets(&[(0x0aff_0000, 16), (0xa9fe_a9fe, 32)]),
                (Holes::Own, 0) => nets(&[(0x0a00_0000 + 4 * ns, 30)]),
                (Holes::Own, _) => nets(&[(0x0a80_0000 + (ns * 2 + policy) * 16, 28)]),
            };
            Peer::IpBlock(IpBlock { cidr: nets(&[(0, 0)])[0], except, source: Source::default() })
        };
        let from = |labels: &[(&str, &str)], port| {
            rule(Some(vec![pods(None, Some(label_in(labels)))]), Some(vec![tcp(port)]))
        };
        let of_block = |policy, port| rule(Some(vec![block(policy)]), Some(vec![tcp(port)]));
        objects.push(Object::NetworkPolicy(NetworkPolicy {
            meta: meta(&name, "outside", &[]),
            egress_in_force: true,
            egress: vec![of_block(0, 443)],
            ..NetworkPolicy::default()
        }));
        let fronts = vec![of_block(1, 80), from(&[("app", "back")], 8080)];
        objects.push(ingress_policy(&name, "front", app("front"), fronts));
        let mut backs = vec![of_block(2, 443)];
        for i in 0..2 {
            backs.push(from(&[("pod-template-hash", &format!("{ns}-{i}"))], 5432 + i as u16));
        }
        objects.push(ingress_policy(&name, "back", app("back"), backs));
    }
    objects
}

/// 10,000 pods and 10,000 policies in one namespace; every policy selects every pod, and each allows
/// another pod on another port.
pub fn select_all() -> Vec<Object> {
    select_all_of(10_000, 1)
}

/// [`select_all`] with `count` pods and `count` policies, spread over a number of namespaces.
pub fn select_all_of(count: u32, namespaces: u32) -> Vec<Object> {
    let nodes = (count / 100).max(1);
    let mut objects: Vec<Object> = (0..nodes).map(|i| Object::Node(node(i))).collect();
    for ns in 0..namespaces {
        objects.push(namespace(&format!("ns-{ns}"), &[]));
    }
    for i in 0..count {
        let ns = format!("ns-{}", i % namespaces);
        let id = format!("id-{i}");
        objects.push(Object::Pod(pod(&ns, &format!("pod-{i}"), i, nodes, &[("id", &id)])));
        let port = 1 + (i % 65_535) as u16;
        let allowed = rule(Some(vec![pods(None, Some(label_in(&[("id", &id)])))]), Some(vec![tcp(port)]));
        objects.push(ingress_policy(&ns, &format!("policy-{i}"), LabelSelector::default(), vec![allowed]));
    }
    objects
}

pub(crate) fn meta(namespace: &str, name: &str, labels: &[(&str, &str)]) -> Meta {
    let labels: Labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let uid = format!("{namespace}/{name}");
    Meta { name: name.to_owned(), namespace: namespace.to_owned(), uid, labels, ..Meta::default() }
}

pub(crate) fn namespace(name: &str, labels: &[(&str, &str)]) -> Object {
    let mut meta = meta("", name, labels);
    meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    Object::Namespace(Namespace { meta })
}

pub(crate) fn node(index: u32) -> Node {
    let addresses = vec![IpAddr::V4(Ipv4Addr::from(0xac10_0000 + index + 1))];
    Node { meta: meta("", &format!("node-{index}"), &[]), addresses, pod_cidrs: Vec::new() }
}

pub(crate) fn pod(namespace: &str, name: &str, index: u32, nodes: u32, labels: &[(&str, &str)]) -> Pod {
    Pod {
        meta: meta(namespace, name, labels),
        node: Some(format!("node-{}", index % nodes.max(1))),
        ips: vec![IpAddr::V4(Ipv4Addr::from(0x0a00_0001 + index))],
        ports: vec![ContainerPort { name: "http".to_owned(), port: 8080, protocol: Protocol::Tcp }],
        ..Pod::default()
    }
}

fn pod_v6(index: u32) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(index) + 1))
}

fn masked(address: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new(address, length).expect("lengths are at most 30").trunc())
}

pub(crate) fn label_in(labels: &[(&str, &str)]) -> LabelSelector {
    let one = |(key, value): &(&str, &str)| Requirement {
        key: key.to_string(),
        operator: Operator::In,
        values: vec![value.to_string()],
    };
    LabelSelector::new(labels.iter().map(one).collect())
}

pub(crate) fn pods(namespaces: Option<LabelSelector>, pods: Option<LabelSelector>) -> Peer {
    Peer::Pods(PodPeer { namespaces, pods, source: Source::default() })
}

pub(crate) fn rule(peers: Option<Vec<Peer>>, ports: Option<Vec<PolicyPort>>) -> Rule {
    Rule { peers, ports, source: Source::default() }
}

/// One port.
pub(crate) fn tcp(port: u16) -> PolicyPort {
    PolicyPort { protocol: Protocol::Tcp, port: PortMatch::Range(port, port), source: Source::default() }
}

/// A policy that isolates for ingress.
pub(crate) fn ingress_policy(
    namespace: &str,
    name: &str,
    subjects: LabelSelector,
    ingress: Vec<Rule>,
) -> Object {
    Object::NetworkPolicy(NetworkPolicy {
        meta: meta(namespace, name, &[]),
        pod_selector: subjects,
        ingress_in_force: true,
        egress_in_force: false,
        ingress,
        egress: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(objects: &[Object], kind: &str) -> usize {
        objects.iter().filter(|o| o.key().kind == kind).count()
    }

    #[test]
    fn tenants_have_four_pods_and_three_policies_each() {
        let blocked = [blocked_of(50, Holes::Same), blocked_of(50, Holes::Own)];
        for objects in [antrea_like_of(50), monitored_of(50)].into_iter().chain(blocked) {
            assert_eq!(count(&objects, "Pod"), 200);
            assert_eq!(count(&objects, "NetworkPolicy"), 150);
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_cluster_and_another_seed_another() {
        let shape = Shape { namespaces: 5, ..Shape::default() };
        assert_eq!(shape.generate(), shape.generate());
        assert_ne!(shape.generate(), Shape { seed: 2, ..shape.clone() }.generate());
    }

    #[test]
    fn no_two_objects_share_a_key() {
        for objects in
            [antrea_like_of(50), monitored_of(50), select_all_of(100, 3), Shape::default().generate()]
        {
            let keys: std::collections::BTreeSet<_> = objects.iter().map(Object::key).collect();
            assert_eq!(keys.len(), objects.len());
        }
    }
}
