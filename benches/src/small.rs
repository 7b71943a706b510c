//! Tiny clusters that provoke corner cases: few labels, so that selectors collide; blocks and holes
//! around the pods' own addresses; ports at the edges; addresses that pods share or inherit. Two clusters
//! of three have cluster-scoped policies as well.

mod cluster_policies;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use podgate_api::{
    ContainerPort, IpBlock, LabelSelector, Labels, Meta, NAMESPACE_NAME_LABEL, Namespace, NetworkPolicy,
    Node, Object, ObjectKey, Operator, Peer, Pod, PodPeer, PodPhase, PolicyPort, PortMatch, Protocol,
    Requirement, Rule, Source,
};

use crate::Rng;

const NAMESPACES: [&str; 4] = ["a", "b", "c", "d"];
const NODES: [&str; 3] = ["n1", "n2", "n3"];
const POD_KEYS: [&str; 3] = ["app", "tier", "kubernetes.io/metadata.name"];
const NAMESPACE_KEYS: [&str; 3] = ["team", "app", NAMESPACE_NAME_LABEL];
const NODE_KEYS: [&str; 2] = ["zone", "kubernetes.io/os"];
const VALUES: [&str; 4] = ["x", "y", "", "a"];
const PORT_NAMES: [&str; 3] = ["http", "dns", "p"];
const PORTS: [u16; 9] = [1, 2, 53, 80, 81, 82, 8080, 65534, 65535];

/// What can happen to a cluster.
#[derive(Clone, Debug)]
pub enum Event {
    /// The object is there, or has changed.
    Apply(Box<Object>),
    /// The object is gone, or was never there.
    Delete(ObjectKey),
    /// A name has these addresses from now on, and no others.
    Bind(&'static str, Vec<IpAddr>),
    /// All changes so far take effect.
    Commit,
}

/// A cluster of at most a dozen pods. Objects come in random order.
pub fn random_small(seed: u64) -> Vec<Object> {
    let mut maker = Maker::new(seed, has_cluster_policies(seed));
    let mut objects = Vec::new();
    for node in NODES {
        if maker.rng.percent(75) {
            objects.push(maker.node(node));
        }
    }
    for namespace in NAMESPACES {
        if maker.rng.percent(80) {
            objects.push(maker.namespace(namespace));
        }
    }
    for i in 0..maker.rng.between(2, 10) {
        let namespace = maker.namespace_name();
        objects.push(Object::Pod(maker.pod(namespace, &format!("pod-{i}"))));
    }
    for i in 0..maker.rng.between(1, 7) {
        let namespace = maker.namespace_name();
        objects.push(Object::NetworkPolicy(maker.policy(namespace, &format!("policy-{i}"))));
    }
    for _ in 0..if maker.cluster_policies { maker.rng.between(1, 5) } else { 0 } {
        let policy = maker.cluster_policy();
        if objects.iter().all(|object: &Object| object.key() != policy.key()) {
            objects.push(policy);
        }
    }
    maker.rng.shuffle(&mut objects);
    objects
}

/// Two of three have.
fn has_cluster_policies(seed: u64) -> bool {
    !Rng::new(seed).percent(33)
}

/// What DNS might have told such a cluster: names that its policies ask for and others, with addresses of pods, of
/// nodes and of neither.
pub fn random_names(seed: u64) -> Vec<(&'static str, Vec<IpAddr>)> {
    let mut maker = Maker::new(seed ^ 0xd115, true);
    (0..maker.rng.below(5)).map(|_| maker.binding()).collect()
}

/// The life of such a cluster: it begins with [`random_small`], then `count` changes of every kind,
/// with commits after random batches and one at the end.
pub fn random_events(seed: u64, count: usize) -> Vec<Event> {
    let mut objects = random_small(seed);
    let mut events: Vec<Event> = Vec::new();
    let mut maker = Maker::new(seed ^ 0x5eed, has_cluster_policies(seed));
    // Younger than everything that was there in the beginning.
    maker.clock = 1000;
    for object in &objects {
        events.push(Event::Apply(Box::new(object.clone())));
        if maker.rng.percent(20) {
            events.push(Event::Commit);
        }
    }
    // Some lives are told one event at a time, others in batches.
    let commit = *maker.rng.pick(&[100, 50, 20]);
    for _ in 0..count {
        events.extend(maker.change(&mut objects));
        if maker.rng.percent(commit) {
            events.push(Event::Commit);
        }
    }
    events.push(Event::Commit);
    events
}

struct Maker {
    rng: Rng,
    clock: u32,
    line: u32,
    cluster_policies: bool,
}

impl Maker {
    fn new(seed: u64, cluster_policies: bool) -> Self {
        Maker { rng: Rng::new(seed), clock: 0, line: 0, cluster_policies }
    }

    // === changes ===

    fn change(&mut self, objects: &mut Vec<Object>) -> Vec<Event> {
        let put = |objects: &mut Vec<Object>, object: Object| {
            match objects.iter_mut().find(|o| o.key() == object.key()) {
                Some(old) => *old = object.clone(),
                None => objects.push(object.clone()),
            }
            vec![Event::Apply(Box::new(object))]
        };
        let chosen = (!objects.is_empty()).then(|| self.rng.below(objects.len()));
        match (self.rng.below(if self.cluster_policies { 27 } else { 20 }), chosen) {
            (0..=3, _) => {
                let (namespace, i) = (self.namespace_name(), self.rng.below(12));
                let pod = self.pod(namespace, &format!("pod-{i}"));
                put(objects, Object::Pod(pod))
            }
            (4..=6, _) => {
                let (namespace, i) = (self.namespace_name(), self.rng.below(8));
                let policy = self.policy(namespace, &format!("policy-{i}"));
                put(objects, Object::NetworkPolicy(policy))
            }
            (7, _) => {
                let name = self.namespace_name();
                let namespace = self.namespace(name);
                put(objects, namespace)
            }
            (8, _) => {
                let name = *self.rng.pick(&NODES);
                let node = self.node(name);
                put(objects, node)
            }
            (9..=11, Some(at)) => {
                let gone = objects.swap_remove(at);
                vec![Event::Delete(gone.key())]
            }
            (12, Some(at)) => {
                // The new one is told before the old one's end: names and addresses overlap in time.
                let old = objects.swap_remove(at);
                let mut events = Vec::new();
                if let Object::Pod(old) = &old
                    && !old.host_network
                {
                    let mut pod = self.pod(&old.meta.namespace.clone(), "successor");
                    pod.ips = old.ips.clone();
                    pod.host_network = false;
                    events.extend(put(objects, Object::Pod(pod)));
                }
                events.push(Event::Delete(old.key()));
                events
            }
            (13, _) => {
                let key = ObjectKey { kind: "Pod", namespace: "a".to_owned(), name: "never".to_owned() };
                vec![Event::Delete(key)]
            }
            (14, _) => {
                // All at once, so that blocks which held most of them hold few now, or the other way round.
                let (half, families) = (self.rng.below(2) as u8 * 8, self.rng.between(1, 3));
                let mut moved = Vec::new();
                for object in objects.iter_mut() {
                    let Object::Pod(pod) = object else { continue };
                    if pod.host_network {
                        continue;
                    }
                    let low = half | self.rng.below(8) as u8;
                    pod.ips = Vec::new();
                    if families & 1 != 0 {
                        pod.ips.push(Ipv4Addr::new(10, 0, 0, low).into());
                    }
                    if families & 2 != 0 {
                        pod.ips.push(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, low.into()).into());
                    }
                    moved.push(Event::Apply(Box::new(object.clone())));
                }
                moved
            }
            (20 | 21, _) => {
                let policy = self.cluster_policy();
                put(objects, policy)
            }
            (22..=24, _) => (0..self.rng.between(1, 3))
                .map(|_| self.binding())
                .map(|(name, ips)| Event::Bind(name, ips))
                .collect(),
            (_, Some(at)) => {
                let mut object = objects[at].clone();
                self.edit(&mut object);
                put(objects, object)
            }
            (_, None) => {
                let node = self.node("n1");
                put(objects, node)
            }
        }
    }

    fn edit(&mut self, object: &mut Object) {
        match object {
            Object::Namespace(namespace) => {
                let name = namespace.meta.name.clone();
                *object = self.namespace(&name);
            }
            Object::Node(node) => {
                let name = node.meta.name.clone();
                *object = self.node(&name);
            }
            Object::Pod(pod) => match self.rng.below(7) {
                0 | 1 => pod.meta.labels = self.labels(&POD_KEYS),
                2 => pod.ips = self.pod_addresses(),
                3 => pod.ports = self.container_ports(),
                4 => pod.phase = self.phase(),
                5 => pod.node = self.node_name(),
                _ => pod.meta.terminating = true,
            },
            Object::NetworkPolicy(policy) => match self.rng.below(6) {
                0 => policy.pod_selector = self.selector(&POD_KEYS),
                1 => policy.ingress = self.rules(),
                2 => policy.egress = self.rules(),
                3 => std::mem::swap(&mut policy.ingress_in_force, &mut policy.egress_in_force),
                4 => {
                    policy.ingress_in_force = true;
                    policy.egress_in_force = true;
                }
                // The file around it was edited: same content at other lines.
                _ => {
                    for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                        rule.source.line += 7;
                    }
                }
            },
            Object::ClusterPolicy(policy) => self.edit_cluster_policy(policy),
            // The others are never made here: policy has no use for them.
            _ => {}
        }
    }

    // === objects ===

    fn source(&mut self) -> Source {
        self.line += 1;
        Source { file: "random.yaml".into(), line: self.line, column: 1 }
    }

    fn meta(&mut self, namespace: &str, name: &str, labels: Labels) -> Meta {
        self.clock += 1;
        Meta {
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            uid: format!("uid-{}", self.rng.bits()),
            labels,
            created: format!(
                "2026-01-01T{:02}:{:02}:{:02}Z",
                self.clock / 3600,
                self.clock / 60 % 60,
                self.clock % 60
            ),
            source: self.source(),
            ..Meta::default()
        }
    }

    fn namespace_name(&mut self) -> &'static str {
        // Most objects share two namespaces, so that they meet.
        if self.rng.percent(70) { NAMESPACES[self.rng.below(2)] } else { NAMESPACES[self.rng.below(4)] }
    }

    fn node_name(&mut self) -> Option<String> {
        self.rng.percent(85).then(|| self.rng.pick(&NODES).to_string())
    }

    fn namespace(&mut self, name: &str) -> Object {
        let mut labels = self.labels(&NAMESPACE_KEYS);
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
        Object::Namespace(Namespace { meta: self.meta("", name, labels) })
    }

    /// A node's labels and addresses change in its life; no other node ever has an address of its own.
    fn node(&mut self, name: &str) -> Object {
        let number = NODES.iter().position(|n| *n == name).unwrap_or(0) as u8;
        let labels = self.labels(&NODE_KEYS);
        let mut addresses: Vec<IpAddr> = vec![
            Ipv4Addr::new(172, 18, 0, number).into(),
            Ipv4Addr::new(10, 0, 1, number).into(),
            Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, number.into()).into(),
        ];
        self.rng.shuffle(&mut addresses);
        addresses.truncate(self.rng.between(1, 3));
        Object::Node(Node { meta: self.meta("", name, labels), addresses, pod_cidrs: Vec::new() })
    }

    fn pod(&mut self, namespace: &str, name: &str) -> Pod {
        let labels = self.labels(&POD_KEYS);
        let mut meta = self.meta(namespace, name, labels);
        meta.terminating = self.rng.percent(10);
        let host_network = self.rng.percent(10);
        let ips = if host_network {
            vec![Ipv4Addr::new(172, 18, 0, self.rng.below(3) as u8).into()]
        } else {
            self.pod_addresses()
        };
        let node = self.node_name();
        let phase = self.phase();
        let ports = self.container_ports();
        Pod { meta, node, ips, host_network, phase, ports, ..Pod::default() }
    }

    fn phase(&mut self) -> PodPhase {
        match self.rng.below(20) {
            0 => PodPhase::Succeeded,
            1 => PodPhase::Failed,
            2 => PodPhase::Unknown,
            3 => PodPhase::Pending,
            _ => PodPhase::Running,
        }
    }

    fn pod_addresses(&mut self) -> Vec<IpAddr> {
        let v4 = IpAddr::V4(self.v4());
        let v6 = IpAddr::V6(self.v6());
        match self.rng.below(10) {
            0 => Vec::new(),
            1 | 2 => vec![v6],
            3..=5 => vec![v4],
            6 => vec![v6, v4],
            _ => vec![v4, v6],
        }
    }

    /// One of 16 addresses, half of them at the edges of small blocks.
    fn v4(&mut self) -> Ipv4Addr {
        Ipv4Addr::new(10, 0, 0, self.rng.below(16) as u8)
    }

    fn v6(&mut self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, self.rng.below(16) as u16)
    }

    fn container_ports(&mut self) -> Vec<ContainerPort> {
        let count = self.rng.below(4);
        let one = |rng: &mut Rng| ContainerPort {
            name: if rng.percent(85) { rng.pick(&PORT_NAMES).to_string() } else { String::new() },
            port: *rng.pick(&PORTS),
            protocol: protocol(rng),
        };
        (0..count).map(|_| one(&mut self.rng)).collect()
    }

    fn labels(&mut self, keys: &[&str]) -> Labels {
        let mut labels = Labels::new();
        for key in keys {
            if self.rng.percent(60) {
                labels.insert(key.to_string(), self.rng.pick(&VALUES).to_string());
            }
        }
        labels
    }

    fn selector(&mut self, keys: &[&str]) -> LabelSelector {
        if self.rng.percent(3) {
            return LabelSelector::invalid();
        }
        let count = *self.rng.pick(&[0, 0, 1, 1, 1, 2, 3]);
        let requirements = (0..count).map(|_| {
            let operator =
                *self.rng.pick(&[Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist]);
            let values = match operator {
                Operator::In | Operator::NotIn => {
                    (0..self.rng.between(1, 3)).map(|_| self.rng.pick(&VALUES).to_string()).collect()
                }
                Operator::Exists | Operator::DoesNotExist => Vec::new(),
            };
            Requirement { key: self.rng.pick(keys).to_string(), operator, values }
        });
        LabelSelector::new(requirements.collect())
    }

    fn policy(&mut self, namespace: &str, name: &str) -> NetworkPolicy {
        let meta = self.meta(namespace, name, Labels::new());
        let pod_selector = self.selector(&POD_KEYS);
        let (ingress_in_force, egress_in_force) =
            *self.rng.pick(&[(true, false), (false, true), (true, true)]);
        let ingress = self.rules();
        let egress = self.rules();
        NetworkPolicy { meta, pod_selector, ingress_in_force, egress_in_force, ingress, egress }
    }

    fn rules(&mut self) -> Vec<Rule> {
        (0..*self.rng.pick(&[0, 1, 1, 1, 2, 3])).map(|_| self.rule()).collect()
    }

    fn rule(&mut self) -> Rule {
        let peers =
            (!self.rng.percent(20)).then(|| (0..self.rng.between(1, 3)).map(|_| self.peer()).collect());
        let ports =
            (!self.rng.percent(35)).then(|| (0..self.rng.between(1, 3)).map(|_| self.port()).collect());
        Rule { peers, ports, source: self.source() }
    }

    fn port(&mut self) -> PolicyPort {
        let port = match self.rng.below(10) {
            0 | 1 => PortMatch::All,
            2 | 3 => PortMatch::Named(self.rng.pick(&PORT_NAMES).to_string()),
            4 | 5 => {
                let (a, b) = (*self.rng.pick(&PORTS), *self.rng.pick(&PORTS));
                PortMatch::Range(a.min(b), a.max(b))
            }
            6 => PortMatch::Range(1, 65535),
            _ => {
                let port = *self.rng.pick(&PORTS);
                PortMatch::Range(port, port)
            }
        };
        PolicyPort { protocol: protocol(&mut self.rng), port, source: self.source() }
    }

    fn peer(&mut self) -> Peer {
        let source = self.source();
        match self.rng.below(10) {
            0..=3 => {
                let (cidr, except) = if self.rng.percent(60) { self.block_v4() } else { self.block_v6() };
                Peer::IpBlock(IpBlock { cidr, except, source })
            }
            4 | 5 => Peer::Pods(PodPeer { namespaces: None, pods: Some(self.selector(&POD_KEYS)), source }),
            6 | 7 => {
                Peer::Pods(PodPeer { namespaces: Some(self.selector(&NAMESPACE_KEYS)), pods: None, source })
            }
            _ => {
                let namespaces = Some(self.selector(&NAMESPACE_KEYS));
                Peer::Pods(PodPeer { namespaces, pods: Some(self.selector(&POD_KEYS)), source })
            }
        }
    }

    /// A block around a pod's possible address; holes are strict subsets, often nested or adjacent.
    fn block_v4(&mut self) -> (IpNet, Vec<IpNet>) {
        let length = *self.rng.pick(&[0_u8, 8, 24, 27, 28, 29, 30, 31, 32]);
        let address = self.v4();
        let net = |address: Ipv4Addr, length: u8| Ipv4Net::new(address, length).expect("at most 32").trunc();
        let cidr = net(address, length);
        let mut except = Vec::new();
        if length < 32 {
            for _ in 0..self.rng.below(4) {
                let longer = self.rng.between(usize::from(length.max(26)) + 1, 32) as u8;
                let inside = u32::from(cidr.network()) | (u32::from(self.v4()) & u32::from(cidr.hostmask()));
                except.push(IpNet::V4(net(inside.into(), longer)));
            }
        }
        (IpNet::V4(cidr), except)
    }

    /// A block around some nodes' addresses.
    fn block_of_nodes(&mut self) -> IpNet {
        let number = self.rng.below(4) as u8;
        match self.rng.below(3) {
            0 => {
                let length = *self.rng.pick(&[16, 30, 31, 32]);
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(172, 18, 0, number), length).trunc())
            }
            1 => {
                let length = *self.rng.pick(&[23, 24, 31, 32]);
                IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 1, number), length).trunc())
            }
            _ => {
                let length = *self.rng.pick(&[64, 127, 128]);
                let address = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, number.into());
                IpNet::V6(Ipv6Net::new_assert(address, length).trunc())
            }
        }
    }

    fn block_v6(&mut self) -> (IpNet, Vec<IpNet>) {
        let net = |address: Ipv6Addr, length: u8| Ipv6Net::new(address, length).expect("at most 128").trunc();
        if self.rng.percent(5) {
            // IPv4-mapped: a block of IPv6 addresses, whatever they look like.
            return (IpNet::V6(net(Ipv4Addr::new(10, 0, 0, 0).to_ipv6_mapped(), 120)), Vec::new());
        }
        let length = *self.rng.pick(&[0_u8, 8, 64, 123, 124, 125, 126, 127, 128]);
        let address = self.v6();
        let cidr = net(address, length);
        let mut except = Vec::new();
        if length < 128 {
            for _ in 0..self.rng.below(4) {
                let longer = self.rng.between(usize::from(length.max(122)) + 1, 128) as u8;
                let inside =
                    u128::from(cidr.network()) | (u128::from(self.v6()) & u128::from(cidr.hostmask()));
                except.push(IpNet::V6(net(inside.into(), longer)));
            }
        }
        (IpNet::V6(cidr), except)
    }
}

fn protocol(rng: &mut Rng) -> Protocol {
    *rng.pick(&[Protocol::Tcp, Protocol::Tcp, Protocol::Udp, Protocol::Sctp])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_strict_subsets_of_their_block() {
        let mut holes = 0;
        for seed in 0..300 {
            for object in random_small(seed) {
                let Object::NetworkPolicy(policy) = object else { continue };
                for rule in policy.ingress.iter().chain(&policy.egress) {
                    for peer in rule.peers.iter().flatten() {
                        let Peer::IpBlock(block) = peer else { continue };
                        assert_eq!(block.cidr, block.cidr.trunc(), "seed {seed}");
                        for hole in &block.except {
                            holes += 1;
                            assert!(
                                block.cidr.contains(hole) && block.cidr != *hole,
                                "seed {seed}: {block:?}"
                            );
                        }
                    }
                }
            }
        }
        assert!(holes > 100, "the generator makes too few holes: {holes}");
    }

    #[test]
    fn cluster_policies_are_in_two_clusters_of_three_and_stay_out_of_the_third() {
        let is_one = |kind: &str| kind.ends_with("NetworkPolicy") && kind != "NetworkPolicy";
        let mut with = 0;
        for seed in 0..300 {
            let at_first = random_small(seed).iter().any(|object| is_one(object.key().kind));
            with += usize::from(at_first);
            let later = random_events(seed, 60).iter().any(|event| match event {
                Event::Apply(object) => is_one(object.key().kind),
                _ => false,
            });
            assert_eq!(at_first, later, "seed {seed}");
        }
        assert!((170..230).contains(&with), "{with} of 300");
    }

    #[test]
    fn lives_use_every_kind_of_event_on_every_kind_of_object() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..50 {
            for event in random_events(seed, 40) {
                seen.insert(match event {
                    Event::Apply(object) => ("apply", object.key().kind),
                    Event::Delete(key) => ("delete", key.kind),
                    Event::Bind(..) => ("bind", ""),
                    Event::Commit => ("commit", ""),
                });
            }
        }
        assert_eq!(seen.len(), 16, "{seen:?}");
    }
}
