//! Cluster-scoped policies of the tiny clusters: few names and priorities, so that they tie; all three
//! actions on the same peers, so that their order matters; and what nobody can read, which must fail closed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPolicyKind, ClusterPort, ClusterPortMatch, ClusterRule,
    ClusterSubject, ClusterTier, LabelSelector, Labels, Object, PortMatch, Source,
};

use super::{Maker, NAMESPACE_KEYS, NODE_KEYS, POD_KEYS, PORT_NAMES, PORTS, protocol};

const KINDS: [ClusterPolicyKind; 4] = [
    ClusterPolicyKind::ClusterNetworkPolicy,
    ClusterPolicyKind::ClusterNetworkPolicy,
    ClusterPolicyKind::AdminNetworkPolicy,
    ClusterPolicyKind::BaselineAdminNetworkPolicy,
];
/// Shared between the kinds, so that the kind has to tell them apart.
const NAMES: [&str; 4] = ["default", "guard", "p", "zone"];
const PRIORITIES: [i32; 5] = [0, 5, 5, 10, 1000];
const DOMAINS: [&str; 3] = ["example.com", "*.example.com", "kubernetes.default.svc.cluster.local"];
/// What DNS knows: names that rules name, names below those, and others.
const BOUND: [&str; 6] = [
    "example.com",
    "www.example.com",
    "a.b.example.com",
    "badexample.com",
    "kubernetes.default.svc.cluster.local",
    "com",
];
/// How often a subject, peer, port or selector is one that nobody can read. Such a policy decides so much
/// that more of them would hide all others.
const UNREADABLE: u8 = 2;

/// The list that a rule is in: some peers are for egress only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Ingress,
    Egress,
}

impl Maker {
    /// A policy of any kind, in place of the one that has its kind and name.
    pub(super) fn cluster_policy(&mut self) -> Object {
        let kind = *self.rng.pick(&KINDS);
        let name = *self.rng.pick(&NAMES);
        let meta = self.meta("", name, Labels::new());
        let (tier, priority) = match kind {
            ClusterPolicyKind::AdminNetworkPolicy => (ClusterTier::Admin, *self.rng.pick(&PRIORITIES)),
            ClusterPolicyKind::BaselineAdminNetworkPolicy => {
                (ClusterTier::Baseline, ClusterPolicy::NO_PRIORITY)
            }
            ClusterPolicyKind::ClusterNetworkPolicy => (self.tier(), *self.rng.pick(&PRIORITIES)),
        };
        let subject = self.subject();
        let ingress = self.cluster_rules(List::Ingress);
        let egress = self.cluster_rules(List::Egress);
        Object::ClusterPolicy(ClusterPolicy { meta, kind, tier, priority, subject, ingress, egress })
    }

    /// One thing about it is different.
    pub(super) fn edit_cluster_policy(&mut self, policy: &mut ClusterPolicy) {
        match self.rng.below(9) {
            0 => policy.subject = self.subject(),
            1 => policy.ingress = self.cluster_rules(List::Ingress),
            2 => policy.egress = self.cluster_rules(List::Egress),
            3 if policy.kind != ClusterPolicyKind::BaselineAdminNetworkPolicy => {
                policy.priority = *self.rng.pick(&PRIORITIES);
            }
            4 if policy.kind == ClusterPolicyKind::ClusterNetworkPolicy => policy.tier = self.tier(),
            5 => {
                policy.ingress.reverse();
                policy.egress.reverse();
            }
            6 => {
                for rule in &mut policy.ingress {
                    rule.action = self.action();
                }
            }
            7 => {
                // Domains are for Accept rules only.
                let is_free = |peer: &ClusterPeer| !matches!(peer, ClusterPeer::Domains { .. });
                for rule in policy.egress.iter_mut().filter(|rule| rule.peers.iter().all(is_free)) {
                    rule.action = self.action();
                }
            }
            // The file around it was edited: same content at other lines.
            _ => {
                for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                    rule.source.line += 7;
                }
            }
        }
    }

    /// A name and what DNS gives to it; now and then nothing any more.
    pub(super) fn binding(&mut self) -> (&'static str, Vec<IpAddr>) {
        let name = *self.rng.pick(&BOUND);
        (name, (0..self.rng.below(4)).map(|_| self.named_address()).collect())
    }

    fn named_address(&mut self) -> IpAddr {
        match self.rng.below(8) {
            0 | 1 => self.v4().into(),
            2 => self.v6().into(),
            3 => Ipv4Addr::new(172, 18, 0, self.rng.below(4) as u8).into(),
            4 => Ipv4Addr::new(8, 8, 8, 8).into(),
            5 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            _ => Ipv4Addr::new(198, 51, 100, self.rng.below(3) as u8).into(),
        }
    }

    fn tier(&mut self) -> ClusterTier {
        *self.rng.pick(&[ClusterTier::Admin, ClusterTier::Baseline])
    }

    fn action(&mut self) -> Action {
        *self.rng.pick(&[Action::Accept, Action::Deny, Action::Pass])
    }

    fn subject(&mut self) -> ClusterSubject {
        if self.rng.percent(UNREADABLE) {
            return ClusterSubject::Unknown;
        }
        let (namespaces, pods) = self.pods_of_namespaces();
        ClusterSubject::Pods { namespaces, pods }
    }

    /// Every pod of some namespaces, or some of them.
    fn pods_of_namespaces(&mut self) -> (LabelSelector, LabelSelector) {
        let namespaces = self.readable_selector(&NAMESPACE_KEYS);
        let pods = match self.rng.percent(50) {
            true => self.readable_selector(&POD_KEYS),
            false => LabelSelector::default(),
        };
        (namespaces, pods)
    }

    fn readable_selector(&mut self, keys: &[&str]) -> LabelSelector {
        let selector = self.selector(keys);
        if selector.is_invalid() && !self.rng.percent(UNREADABLE * 10) {
            return LabelSelector::default();
        }
        selector
    }

    fn cluster_rules(&mut self, list: List) -> Vec<ClusterRule> {
        (0..*self.rng.pick(&[0, 1, 1, 2, 2, 3, 4])).map(|_| self.cluster_rule(list)).collect()
    }

    fn cluster_rule(&mut self, list: List) -> ClusterRule {
        let source = self.source();
        let action = self.action();
        let name = if self.rng.percent(50) { format!("rule-{}", source.line) } else { String::new() };
        // Nothing is left of a rule that the API server would refuse.
        let count = if self.rng.percent(3) { 0 } else { self.rng.between(1, 3) };
        let peers = (0..count).map(|_| self.cluster_peer(list, action)).collect();
        let ports = (!self.rng.percent(40))
            .then(|| (0..self.rng.between(1, 3)).map(|_| self.cluster_port()).collect());
        ClusterRule { name, action, peers, ports, source }
    }

    fn cluster_peer(&mut self, list: List, action: Action) -> ClusterPeer {
        let source = self.source();
        if self.rng.percent(UNREADABLE) {
            return ClusterPeer::Unknown(source);
        }
        match self.rng.below(10) {
            0 | 1 if list == List::Egress => {
                ClusterPeer::Nodes { nodes: self.readable_selector(&NODE_KEYS), source }
            }
            2..=4 if list == List::Egress => self.networks(source),
            5 if list == List::Egress && action == Action::Accept => {
                let names =
                    (0..self.rng.between(1, 2)).map(|_| self.rng.pick(&DOMAINS).to_string()).collect();
                ClusterPeer::Domains { names, source }
            }
            _ => {
                let (namespaces, pods) = self.pods_of_namespaces();
                ClusterPeer::Pods { namespaces, pods, source }
            }
        }
    }

    /// Around pods, around nodes, or everything of a family; overlapping, since there are several.
    fn networks(&mut self, source: Source) -> ClusterPeer {
        let networks = (0..self.rng.between(1, 3))
            .map(|_| match self.rng.below(10) {
                0..=4 => self.block_v4().0,
                5..=7 => self.block_v6().0,
                _ => self.block_of_nodes(),
            })
            .collect();
        ClusterPeer::Networks { networks, source }
    }

    fn cluster_port(&mut self) -> ClusterPort {
        let source = self.source();
        let matches = match self.rng.below(10) {
            _ if self.rng.percent(UNREADABLE) => ClusterPortMatch::Unknown,
            0 | 1 => ClusterPortMatch::Named(self.rng.pick(&PORT_NAMES).to_string()),
            2 | 3 => ClusterPortMatch::Port(protocol(&mut self.rng), PortMatch::All),
            4 | 5 => {
                let (a, b) = (*self.rng.pick(&PORTS), *self.rng.pick(&PORTS));
                ClusterPortMatch::Port(protocol(&mut self.rng), PortMatch::Range(a.min(b), a.max(b)))
            }
            _ => {
                let port = *self.rng.pick(&PORTS);
                ClusterPortMatch::Port(protocol(&mut self.rng), PortMatch::Range(port, port))
            }
        };
        ClusterPort { matches, source }
    }
}
