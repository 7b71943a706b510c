//! A small world in few words.
//!
//! ```text
//! namespace a (team=red)  a/web app=web        10.0.0.1 fd00::1   on n1 (172.18.0.1 fd01::1)
//!                         a/db  app=db,tier=x  10.0.0.2 fd00::2   on n2 (172.18.0.2 fd01::2)
//! namespace b (no object) b/web app=web        10.0.0.3 fd00::3   on n1
//!                         b/job (no labels)    10.0.0.4 fd00::4   on n2
//! ```
//! Selectors are written as kubectl has them: `app=web,tier notin (x|y),key,!other`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use podgate_api::{
    ContainerPort, IpBlock, LabelSelector, Labels, Meta, NAMESPACE_NAME_LABEL, Namespace, NetworkPolicy,
    Node, Object, ObjectKey, Operator, Peer, Pod, PodPeer, PolicyPort, PortMatch, Protocol, Requirement,
    Rule, Source,
};
use podgate_policy::{Cluster, Connection, Decision, Delta, Reason, Settings, Verdict};

/// An engine, and where the pods are.
pub struct World {
    pub cluster: Cluster,
    addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// The world of the picture above.
pub fn world() -> World {
    world_with(Settings::default())
}

pub fn world_with(settings: Settings) -> World {
    let mut world = World { cluster: Cluster::new(settings), addresses: BTreeMap::new() };
    world.put(node("n1", "172.18.0.1 fd01::1"));
    world.put(node("n2", "172.18.0.2 fd01::2"));
    world.put(namespace("a", "team=red"));
    for (name, labels, ips, on) in [
        ("a/web", "app=web", "10.0.0.1 fd00::1", "n1"),
        ("a/db", "app=db,tier=x", "10.0.0.2 fd00::2", "n2"),
        ("b/web", "app=web", "10.0.0.3 fd00::3", "n1"),
        ("b/job", "", "10.0.0.4 fd00::4", "n2"),
    ] {
        world.put(pod(name, labels, ips).on(on));
    }
    world
}

impl World {
    /// A world without objects.
    pub fn empty() -> World {
        World { cluster: Cluster::new(Settings::default()), addresses: BTreeMap::new() }
    }

    /// The world with these objects on top.
    pub fn with(mut self, objects: impl IntoIterator<Item = Object>) -> World {
        for object in objects {
            self.apply(object);
        }
        self.cluster.commit();
        self
    }

    /// Applies and commits.
    pub fn put(&mut self, object: impl Into<Object>) -> Delta {
        self.apply(object);
        self.cluster.commit()
    }

    /// Applies only.
    pub fn apply(&mut self, object: impl Into<Object>) {
        let object = object.into();
        if let Object::Pod(pod) = &object {
            let name = format!("{}/{}", pod.meta.namespace, pod.meta.name);
            self.addresses.insert(name, pod.ips.clone());
        }
        self.cluster.apply(object);
    }

    /// Deletes and commits. The name is `namespace/name`, or a name alone.
    pub fn remove(&mut self, kind: &'static str, name: &str) -> Delta {
        let (namespace, name) = split(name);
        self.cluster.delete(&ObjectKey { kind, namespace, name });
        self.cluster.commit()
    }

    /// The decisions for `from -> to protocol/port`, one a family: ends are addresses or pods.
    pub fn ask(&self, question: &str) -> Vec<Decision> {
        let words: Vec<&str> = question.split_whitespace().collect();
        let &[from, "->", to, port] = &words[..] else {
            panic!("{question}: not `from -> to protocol/port`")
        };
        let (protocol, port) = port.split_once('/').unwrap_or((port, "0"));
        let protocol = match protocol {
            "tcp" => 6,
            "udp" => 17,
            "sctp" => 132,
            "icmp" => 1,
            "icmpv6" => 58,
            number => number.parse().expect("a protocol"),
        };
        let port = port.parse().expect("a port");
        let (from, to) = (self.ends(from), self.ends(to));
        let pairs = from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to)));
        let decisions: Vec<Decision> = pairs
            .filter(|(from, to)| from.is_ipv4() == to.is_ipv4())
            .map(|(from, to)| self.cluster.evaluate(&Connection { from, to, protocol, port }))
            .collect();
        assert!(!decisions.is_empty(), "{question}: no common address family");
        decisions
    }

    fn ends(&self, name: &str) -> Vec<IpAddr> {
        match name.parse() {
            Ok(address) => vec![address],
            Err(_) => self.addresses.get(name).unwrap_or_else(|| panic!("no pod {name}")).clone(),
        }
    }

    /// Each line is a question that the engine must answer with yes.
    #[track_caller]
    pub fn allows(&self, questions: &[&str]) -> &World {
        self.check(questions, Verdict::Allowed)
    }

    /// Each line is a question that the engine must answer with no.
    #[track_caller]
    pub fn denies(&self, questions: &[&str]) -> &World {
        self.check(questions, Verdict::Denied)
    }

    #[track_caller]
    fn check(&self, questions: &[&str], verdict: Verdict) -> &World {
        for question in questions {
            for decision in self.ask(question) {
                assert_eq!(decision.verdict, verdict, "{question}: {decision:?}");
            }
        }
        self
    }

    /// The reasons of egress and ingress, the same in all families.
    #[track_caller]
    pub fn reasons(&self, question: &str) -> (String, String) {
        let decisions = self.ask(question);
        for decision in &decisions {
            assert_eq!(decision, &decisions[0], "{question}");
        }
        (told(&decisions[0].egress.reason), told(&decisions[0].ingress.reason))
    }
}

fn told(reason: &Reason) -> String {
    match reason {
        Reason::Rule(rule) => rule.to_string(),
        Reason::Isolated(policies) => {
            let names: Vec<String> = policies.iter().map(ToString::to_string).collect();
            format!("isolated by {}", names.join(", "))
        }
        other => format!("{other:?}"),
    }
}

// === objects ===

fn split(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((namespace, name)) => (namespace.to_owned(), name.to_owned()),
        None => (String::new(), name.to_owned()),
    }
}

pub fn labels(text: &str) -> Labels {
    text.split(',')
        .filter(|label| !label.is_empty())
        .map(|label| label.split_once('=').expect("key=value"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn meta(name: &str, text: &str) -> Meta {
    let (namespace, name) = split(name);
    Meta { name, namespace, labels: labels(text), ..Meta::default() }
}

fn addresses(text: &str) -> Vec<IpAddr> {
    text.split_whitespace().map(|address| address.parse().expect("an address")).collect()
}

pub fn node(name: &str, ips: &str) -> Object {
    Object::Node(Node { meta: meta(name, ""), addresses: addresses(ips), pod_cidrs: Vec::new() })
}

pub fn namespace(name: &str, text: &str) -> Object {
    let mut meta = meta(name, text);
    meta.labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.to_owned());
    Object::Namespace(Namespace { meta })
}

/// A running pod.
pub fn pod(name: &str, text: &str, ips: &str) -> PodMaker {
    PodMaker(Pod { meta: meta(name, text), ips: addresses(ips), ..Pod::default() })
}

pub struct PodMaker(pub Pod);

impl PodMaker {
    pub fn on(mut self, node: &str) -> Self {
        self.0.node = Some(node.to_owned());
        self
    }

    /// `name=protocol/number`, separated by spaces.
    pub fn ports(mut self, text: &str) -> Self {
        self.0.ports = text
            .split_whitespace()
            .map(|port| {
                let (name, port) = port.split_once('=').expect("name=protocol/number");
                let (protocol, number) = port.split_once('/').expect("protocol/number");
                let port = number.parse().expect("a number");
                ContainerPort { name: name.to_owned(), port, protocol: protocol_named(protocol) }
            })
            .collect();
        self
    }
}

impl From<PodMaker> for Object {
    fn from(maker: PodMaker) -> Object {
        Object::Pod(maker.0)
    }
}

fn protocol_named(name: &str) -> Protocol {
    *Protocol::ALL.iter().find(|p| p.as_str().eq_ignore_ascii_case(name)).expect("tcp, udp or sctp")
}

pub fn selector(text: &str) -> LabelSelector {
    let requirement = |text: &str| {
        let (key, operator, values) = if let Some(key) = text.strip_prefix('!') {
            (key, Operator::DoesNotExist, "")
        } else if let Some((key, values)) = text.split_once(" notin ") {
            (key, Operator::NotIn, values)
        } else if let Some((key, values)) = text.split_once(" in ") {
            (key, Operator::In, values)
        } else if let Some((key, value)) = text.split_once('=') {
            (key, Operator::In, value)
        } else {
            (text, Operator::Exists, "")
        };
        let values = values.trim_matches(['(', ')']);
        let listed = matches!(operator, Operator::In | Operator::NotIn);
        let values = if listed { values.split('|').map(str::to_owned).collect() } else { Vec::new() };
        Requirement { key: key.to_owned(), operator, values }
    };
    LabelSelector::new(text.split(',').filter(|part| !part.is_empty()).map(requirement).collect())
}

/// A policy for all pods of its namespace that says nothing yet.
pub fn policy(name: &str) -> PolicyMaker {
    PolicyMaker(NetworkPolicy { meta: meta(name, ""), ..NetworkPolicy::default() })
}

pub struct PolicyMaker(pub NetworkPolicy);

impl PolicyMaker {
    pub fn subjects(mut self, text: &str) -> Self {
        self.0.pod_selector = selector(text);
        self
    }

    /// Isolates for ingress, with these rules.
    pub fn ingress(mut self, rules: impl IntoIterator<Item = Rule>) -> Object {
        self.0.ingress_in_force = true;
        self.0.ingress = rules.into_iter().collect();
        Object::NetworkPolicy(self.0)
    }

    /// Isolates for egress, with these rules.
    pub fn egress(mut self, rules: impl IntoIterator<Item = Rule>) -> Object {
        self.0.egress_in_force = true;
        self.0.egress = rules.into_iter().collect();
        Object::NetworkPolicy(self.0)
    }
}

/// The rule for any peer and any port.
pub fn any() -> Rule {
    Rule::default()
}

/// The rule for these peers and any port.
pub fn peers(peers: impl IntoIterator<Item = Peer>) -> Rule {
    Rule { peers: Some(peers.into_iter().collect()), ..Rule::default() }
}

/// Narrows a rule to ports: `tcp/80`, `udp/5000-6000`, `sctp` or `tcp/name`.
pub trait Ports {
    fn ports(self, text: &str) -> Rule;
}

impl Ports for Rule {
    fn ports(mut self, text: &str) -> Rule {
        let entry = |text: &str| {
            let (protocol, port) = text.split_once('/').unwrap_or((text, ""));
            let number = |text: &str| text.parse::<u16>().ok();
            let port = match port.split_once('-').map(|(lo, hi)| (number(lo), number(hi))) {
                Some((Some(lo), Some(hi))) => PortMatch::Range(lo, hi),
                _ if port.is_empty() => PortMatch::All,
                _ => number(port).map_or(PortMatch::Named(port.to_owned()), |n| PortMatch::Range(n, n)),
            };
            PolicyPort { protocol: protocol_named(protocol), port, source: Source::default() }
        };
        self.ports = Some(text.split_whitespace().map(entry).collect());
        self
    }
}

/// Pods of the policy's own namespace.
pub fn pods(pods: &str) -> Peer {
    Peer::Pods(PodPeer { namespaces: None, pods: Some(selector(pods)), source: Source::default() })
}

/// All pods of namespaces.
pub fn namespaces(namespaces: &str) -> Peer {
    let namespaces = Some(selector(namespaces));
    Peer::Pods(PodPeer { namespaces, pods: None, source: Source::default() })
}

/// Pods of namespaces.
pub fn pods_in(namespaces: &str, pods: &str) -> Peer {
    let (namespaces, pods) = (Some(selector(namespaces)), Some(selector(pods)));
    Peer::Pods(PodPeer { namespaces, pods, source: Source::default() })
}

/// A block and its holes.
pub fn block(cidr: &str, except: &[&str]) -> Peer {
    let net = |text: &str| text.parse().expect("a block");
    Peer::IpBlock(IpBlock {
        cidr: net(cidr),
        except: except.iter().map(|hole| net(hole)).collect(),
        source: Source::default(),
    })
}
