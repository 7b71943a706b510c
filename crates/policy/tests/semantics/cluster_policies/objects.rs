//! Cluster-scoped policies and nodes in few words.

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, Meta, Node, Object, PortMatch, Protocol, Source,
};

use crate::fixture::{labels, selector};

use ClusterPolicyKind::{AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy};

/// A ClusterNetworkPolicy of the Admin tier for every pod, priority 10.
pub fn admin(name: &str) -> Maker {
    let meta = Meta { name: name.to_owned(), ..Meta::default() };
    Maker(ClusterPolicy {
        meta,
        kind: ClusterNetworkPolicy,
        tier: ClusterTier::Admin,
        priority: 10,
        subject: ClusterSubject::Pods { namespaces: selector(""), pods: selector("") },
        ingress: Vec::new(),
        egress: Vec::new(),
    })
}

/// The same of the Baseline tier.
pub fn baseline(name: &str) -> Maker {
    let mut maker = admin(name);
    maker.0.tier = ClusterTier::Baseline;
    maker
}

pub struct Maker(pub ClusterPolicy);

impl Maker {
    pub fn kind(mut self, kind: ClusterPolicyKind) -> Self {
        self.0.kind = kind;
        match kind {
            AdminNetworkPolicy => self.0.tier = ClusterTier::Admin,
            BaselineAdminNetworkPolicy => {
                (self.0.tier, self.0.priority) = (ClusterTier::Baseline, ClusterPolicy::NO_PRIORITY);
            }
            ClusterNetworkPolicy => {}
        }
        self
    }

    pub fn priority(mut self, priority: i32) -> Self {
        self.0.priority = priority;
        self
    }

    /// Pods of namespaces, both by selector.
    pub fn subjects(mut self, namespaces: &str, pods: &str) -> Self {
        self.0.subject = ClusterSubject::Pods { namespaces: selector(namespaces), pods: selector(pods) };
        self
    }

    pub fn unknown_subject(mut self) -> Self {
        self.0.subject = ClusterSubject::Unknown;
        self
    }

    pub fn ingress(mut self, rules: impl IntoIterator<Item = ClusterRule>) -> Self {
        self.0.ingress = rules.into_iter().collect();
        self
    }

    pub fn egress(mut self, rules: impl IntoIterator<Item = ClusterRule>) -> Self {
        self.0.egress = rules.into_iter().collect();
        self
    }
}

impl From<Maker> for Object {
    fn from(maker: Maker) -> Object {
        Object::ClusterPolicy(maker.0)
    }
}

pub fn rule(action: Action, peers: impl IntoIterator<Item = ClusterPeer>) -> ClusterRule {
    let peers = peers.into_iter().collect();
    ClusterRule { name: String::new(), action, peers, ports: None, source: Source::default() }
}

pub trait On {
    /// Narrows a rule to `tcp/80`, `udp/5000-6000`, `sctp`, a port's name, or `?` for what nobody can read.
    fn on(self, ports: &str) -> ClusterRule;
}

impl On for ClusterRule {
    fn on(mut self, ports: &str) -> ClusterRule {
        let entry = |text: &str| {
            let (protocol, port) = text.split_once('/').unwrap_or((text, ""));
            let protocol = Protocol::ALL.iter().find(|p| p.as_str().eq_ignore_ascii_case(protocol));
            let number = |text: &str| text.parse().expect("a port");
            let matches = match (protocol, port.split_once('-')) {
                (Some(protocol), Some((first, last))) => {
                    ClusterPortMatch::Port(*protocol, PortMatch::Range(number(first), number(last)))
                }
                (Some(protocol), None) if port.is_empty() => {
                    ClusterPortMatch::Port(*protocol, PortMatch::All)
                }
                (Some(protocol), None) => {
                    ClusterPortMatch::Port(*protocol, PortMatch::Range(number(port), number(port)))
                }
                (None, _) if text == "?" => ClusterPortMatch::Unknown,
                (None, _) => ClusterPortMatch::Named(text.to_owned()),
            };
            ClusterPort { matches, source: Source::default() }
        };
        self.ports = Some(ports.split_whitespace().map(entry).collect());
        self
    }
}

/// Pods of namespaces.
pub fn of(namespaces: &str, pods: &str) -> ClusterPeer {
    ClusterPeer::Pods { namespaces: selector(namespaces), pods: selector(pods), source: Source::default() }
}

pub fn everybody() -> ClusterPeer {
    of("", "")
}

pub fn nodes(nodes: &str) -> ClusterPeer {
    ClusterPeer::Nodes { nodes: selector(nodes), source: Source::default() }
}

pub fn networks(networks: &[&str]) -> ClusterPeer {
    let networks = networks.iter().map(|net| net.parse().expect("a network")).collect();
    ClusterPeer::Networks { networks, source: Source::default() }
}

pub fn unknown() -> ClusterPeer {
    ClusterPeer::Unknown(Source::default())
}

pub fn node(name: &str, text: &str, ips: &str) -> Object {
    let addresses = ips.split_whitespace().map(|ip| ip.parse().expect("an address")).collect();
    let meta = Meta { name: name.to_owned(), labels: labels(text), ..Meta::default() };
    Object::Node(Node { meta, addresses, pod_cidrs: Vec::new() })
}
