//! The same questions to the naive evaluator and to the engine, and small counter-examples.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ipnet::IpNet;
use podgate_api::{
    ClusterPeer, ClusterPolicy, ClusterPortMatch, ClusterTier, NetworkPolicy, Object, Peer, PortMatch,
};
use podgate_bench::Rng;
use podgate_policy::{Cluster, Connection, Decision, Direction, Reason, Settings, Side, Tier, Verdict};

use crate::naive::{Answer, Question, Why, World};

/// Everything about a cluster that is worth asking.
#[derive(Clone, Debug)]
pub struct Interesting {
    /// Addresses of pods, of nodes, at the edges of blocks and holes, and far away.
    pub addresses: Vec<IpAddr>,
    /// The ones that are or were pods'.
    pub pods: Vec<IpAddr>,
    /// Protocols and ports: on both sides of every edge that a policy names, and container ports.
    pub ports: Vec<(u8, u16)>,
    /// First and last port of each entry that a policy has, in the order of policies.
    pub ranges: Vec<(u16, u16)>,
}

impl Interesting {
    /// What is worth asking about these objects.
    pub fn of(objects: &[Object]) -> Self {
        let mut pods = BTreeSet::new();
        let mut addresses: BTreeSet<IpAddr> = BTreeSet::from([
            Ipv4Addr::new(8, 8, 8, 8).into(),
            Ipv4Addr::UNSPECIFIED.into(),
            Ipv4Addr::BROADCAST.into(),
            Ipv6Addr::UNSPECIFIED.into(),
            Ipv6Addr::from(u128::MAX).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into(),
        ]);
        let mut numbers: BTreeSet<u16> = BTreeSet::from([0, 1, u16::MAX]);
        let mut ranges = Vec::new();
        for object in objects {
            match object {
                Object::Pod(pod) => {
                    pods.extend(pod.ips.iter().filter(|_| !pod.host_network));
                    addresses.extend(&pod.ips);
                    numbers.extend(pod.ports.iter().map(|port| port.port));
                }
                Object::Node(node) => addresses.extend(&node.addresses),
                Object::NetworkPolicy(policy) => of_policy(policy, &mut addresses, &mut ranges),
                Object::ClusterPolicy(policy) => of_cluster_policy(policy, &mut addresses, &mut ranges),
                _ => {}
            }
        }
        addresses.extend(&pods);
        for (lo, hi) in &ranges {
            numbers.extend([lo.saturating_sub(1), *lo, *hi, hi.saturating_add(1)]);
        }
        let mut ports: Vec<(u8, u16)> =
            [6, 17, 132].iter().flat_map(|protocol| numbers.iter().map(|port| (*protocol, *port))).collect();
        ports.extend([(0, 0), (1, 0), (1, 8), (1, 128), (47, 0), (58, 8), (58, 128), (255, 0)]);
        Interesting {
            addresses: addresses.into_iter().collect(),
            pods: pods.into_iter().collect(),
            ports,
            ranges,
        }
    }

    /// The same with some more addresses.
    pub fn and(mut self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.addresses.extend(addresses);
        self.addresses.sort_unstable();
        self.addresses.dedup();
        self
    }

    /// All pairs of one family with a pod at one end at least.
    pub fn pairs(&self) -> Vec<(IpAddr, IpAddr)> {
        let mut pairs = BTreeSet::new();
        for pod in &self.pods {
            for other in self.addresses.iter().filter(|other| other.is_ipv4() == pod.is_ipv4()) {
                pairs.insert((*pod, *other));
                pairs.insert((*other, *pod));
            }
        }
        pairs.into_iter().collect()
    }

    /// Every question.
    pub fn all(&self) -> impl Iterator<Item = Question> {
        self.pairs().into_iter().flat_map(move |(from, to)| {
            self.ports.iter().map(move |(protocol, port)| Question {
                from,
                to,
                protocol: *protocol,
                port: *port,
            })
        })
    }

    /// A pod's address, and a protocol and port of it, at random.
    pub fn some_hairpins(&self, rng: &mut Rng, count: usize) -> Vec<(IpAddr, u8, u16)> {
        let count = if self.pods.is_empty() { 0 } else { count };
        let one = |rng: &mut Rng| {
            let (pod, (protocol, port)) = (*rng.pick(&self.pods), *rng.pick(&self.ports));
            (pod, protocol, port)
        };
        (0..count).map(|_| one(rng)).collect()
    }

    /// A number of questions at random.
    pub fn some(&self, rng: &mut Rng, count: usize) -> Vec<Question> {
        let pairs = self.pairs();
        if pairs.is_empty() {
            return Vec::new();
        }
        let one = |rng: &mut Rng| {
            let ((from, to), (protocol, port)) = (*rng.pick(&pairs), *rng.pick(&self.ports));
            Question { from, to, protocol, port }
        };
        (0..count).map(|_| one(rng)).collect()
    }
}

fn of_policy(policy: &NetworkPolicy, addresses: &mut BTreeSet<IpAddr>, ranges: &mut Vec<(u16, u16)>) {
    for rule in policy.ingress.iter().chain(&policy.egress) {
        for port in rule.ports.iter().flatten() {
            if let PortMatch::Range(lo, hi) = port.port {
                ranges.push((lo, hi));
            }
        }
        for peer in rule.peers.iter().flatten() {
            if let Peer::IpBlock(block) = peer {
                edges(&block.cidr, addresses);
                block.except.iter().for_each(|hole| edges(hole, addresses));
            }
        }
    }
}

fn of_cluster_policy(policy: &ClusterPolicy, addresses: &mut BTreeSet<IpAddr>, ranges: &mut Vec<(u16, u16)>) {
    for rule in policy.ingress.iter().chain(&policy.egress) {
        for port in rule.ports.iter().flatten() {
            if let ClusterPortMatch::Port(_, PortMatch::Range(lo, hi)) = port.matches {
                ranges.push((lo, hi));
            }
        }
        for peer in &rule.peers {
            if let ClusterPeer::Networks { networks, .. } = peer {
                networks.iter().for_each(|network| edges(network, addresses));
            }
        }
    }
}

fn edges(block: &IpNet, into: &mut BTreeSet<IpAddr>) {
    match block {
        IpNet::V4(block) => {
            let (first, last) = (u32::from(block.network()), u32::from(block.broadcast()));
            for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                into.insert(Ipv4Addr::from(address).into());
            }
        }
        IpNet::V6(block) => {
            let (first, last) = (u128::from(block.network()), u128::from(block.broadcast()));
            for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
                into.insert(Ipv6Addr::from(address).into());
            }
        }
    }
}

/// The question in the engine's words.
pub fn connection(question: &Question) -> Connection {
    Connection { from: question.from, to: question.to, protocol: question.protocol, port: question.port }
}

/// An engine that got these objects at once.
pub fn engine(objects: &[Object], icmp_echo: bool) -> Cluster {
    let mut cluster = Cluster::new(Settings { icmp_echo });
    for object in objects {
        cluster.apply(object.clone());
    }
    cluster.commit();
    cluster
}

/// Asks both. The error says what differs.
pub fn agree(world: &World, cluster: &Cluster, question: &Question) -> Result<(), String> {
    let decision = cluster.evaluate(&connection(question));
    let (egress, ingress) = world.answer(question);
    let expected = egress.allowed && ingress.allowed;
    let same = (decision.verdict == Verdict::Allowed) == expected
        && same_side(&egress, &decision.egress, Direction::Egress)
        && same_side(&ingress, &decision.ingress, Direction::Ingress);
    if same { Ok(()) } else { Err(difference(question, &egress, &ingress, &decision)) }
}

/// Asks both about a connection that a pod makes to itself through a Service. What allows it need not be named:
/// a kernel has nothing to look up for pods that nobody keeps from themselves.
pub fn agree_on_hairpin(
    world: &World,
    cluster: &Cluster,
    pod: IpAddr,
    protocol: u8,
    port: u16,
) -> Result<(), String> {
    let decision = cluster.evaluate_hairpin(pod, protocol, port);
    let (egress, ingress) = world.answer_hairpin(pod, protocol, port);
    let same = |naive: &Answer, engine: &Side, direction| {
        let is_unnamed = engine.verdict == Verdict::Allowed && engine.reason == Reason::Itself;
        same_side(naive, engine, direction) || (naive.allowed && is_unnamed)
    };
    let expected = egress.allowed && ingress.allowed;
    let same = (decision.verdict == Verdict::Allowed) == expected
        && same(&egress, &decision.egress, Direction::Egress)
        && same(&ingress, &decision.ingress, Direction::Ingress);
    let question = Question { from: pod, to: pod, protocol, port };
    if same { Ok(()) } else { Err(difference(&question, &egress, &ingress, &decision)) }
}

fn difference(question: &Question, egress: &Answer, ingress: &Answer, decision: &Decision) -> String {
    format!("{question:?}\n naive egress {egress:?}\n naive ingress {ingress:?}\n engine {decision:?}")
}

fn same_side(naive: &Answer, engine: &Side, direction: Direction) -> bool {
    if naive.allowed != (engine.verdict == Verdict::Allowed) {
        return false;
    }
    match (&naive.why, &engine.reason) {
        (Why::NotAPod, Reason::NotAPod)
        | (Why::Itself, Reason::Itself)
        | (Why::OwnNode, Reason::OwnNode)
        | (Why::NotIsolated, Reason::NotIsolated)
        | (Why::IcmpEcho, Reason::IcmpEcho) => true,
        (Why::Rule { kind, namespace, name, tier, index, source }, Reason::Rule(rule)) => {
            rule.policy.kind == *kind
                && rule.policy.namespace == *namespace
                && rule.policy.name == *name
                && rule.index as usize == *index
                && rule.source == *source
                && rule.tier == engines_tier(*tier)
                && rule.direction == direction
        }
        (Why::Isolated(naive), Reason::Isolated(engine)) => {
            let engine = engine.iter().map(|policy| (&policy.namespace, &policy.name));
            naive.iter().map(|(namespace, name)| (namespace, name)).eq(engine)
        }
        _ => false,
    }
}

/// The tier in the engine's words; `None` is that of NetworkPolicies.
pub fn engines_tier(tier: Option<ClusterTier>) -> Tier {
    match tier {
        Some(ClusterTier::Admin) => Tier::Admin,
        None => Tier::NetworkPolicy,
        Some(ClusterTier::Baseline) => Tier::Baseline,
    }
}

/// The smallest list that still fails, by leaving items out; panics with it. `fails` says why it fails.
#[track_caller]
pub fn shrink_and_panic<T: Clone + std::fmt::Debug>(
    what: &str,
    items: Vec<T>,
    fails: impl Fn(&[T]) -> Option<String>,
) -> ! {
    let mut items = items;
    let mut why = fails(&items).unwrap_or_else(|| "it doesn't fail the second time".to_owned());
    let mut size = items.len().div_ceil(2);
    while size > 0 {
        let mut start = 0;
        let mut shrunk = false;
        while start < items.len() {
            let mut fewer = items.clone();
            fewer.drain(start..(start + size).min(items.len()));
            match fails(&fewer) {
                Some(reason) => {
                    (items, why, shrunk) = (fewer, reason, true);
                }
                None => start += size,
            }
        }
        if !shrunk || items.len() <= 1 {
            size /= 2;
        }
    }
    panic!("{what}: {why}\nwith only\n{items:#?}");
}

/// Runs the check; a panic inside is a failure like any other.
pub fn caught(check: impl FnOnce() -> Result<(), String>) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(check)) {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Some(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no text")))
        }
    }
}

/// The seeds of a randomised test: `PODGATE_SEEDS` of them (a number, or `first..end`), or `default`.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    seeds_of("PODGATE_SEEDS", default)
}

/// The seeds of a randomised test with real packets: as [`seeds`], with `PODGATE_LAB_SEEDS`, since each takes
/// a second or two.
pub fn lab_seeds(default: u64) -> std::ops::Range<u64> {
    seeds_of("PODGATE_LAB_SEEDS", default)
}

fn seeds_of(variable: &str, default: u64) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var(variable) else { return 0..default };
    let number =
        |text: &str| text.parse::<u64>().unwrap_or_else(|_| panic!("{variable}: {text} is no number"));
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&text),
    }
}
