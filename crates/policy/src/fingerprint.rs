//! Numbers that stand for policies, rules and isolations: the same on every node, after every restart,
//! and from every build of podgate, because what is hashed is written down here byte by byte.

use ipnet::IpNet;
use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterPortMatch, ClusterRule, ClusterSubject,
    ClusterTier, LabelSelector, Meta, NetworkPolicy, Operator, Peer, PolicyPort, PortMatch, Protocol, Rule,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::tables::{DeciderId, Direction};

/// The bytes to be hashed. Lists and texts begin with their length, choices with a number, so that
/// different content never makes the same bytes.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn number(&mut self, number: usize) -> &mut Self {
        self.0.extend_from_slice(&(number as u64).to_le_bytes());
        self
    }

    fn choice(&mut self, choice: u8) -> &mut Self {
        self.0.push(choice);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len()).0.extend_from_slice(text.as_bytes());
        self
    }

    fn selector(&mut self, selector: &LabelSelector) {
        self.choice(selector.is_invalid().into()).number(selector.requirements().len());
        for requirement in selector.requirements() {
            let operator = match requirement.operator {
                Operator::In => 0,
                Operator::NotIn => 1,
                Operator::Exists => 2,
                Operator::DoesNotExist => 3,
            };
            self.text(&requirement.key).choice(operator).number(requirement.values.len());
            for value in &requirement.values {
                self.text(value);
            }
        }
    }

    fn optional<T: ?Sized>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.choice(value.is_some().into());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn rule(&mut self, rule: &Rule) {
        self.optional(rule.peers.as_deref(), |bytes, peers| {
            bytes.number(peers.len());
            peers.iter().for_each(|peer| bytes.peer(peer));
        });
        self.optional(rule.ports.as_deref(), |bytes, ports| {
            bytes.number(ports.len());
            ports.iter().for_each(|port| bytes.port(port));
        });
    }

    fn peer(&mut self, peer: &Peer) {
        match peer {
            Peer::Pods(peer) => {
                self.choice(0);
                self.optional(peer.namespaces.as_ref(), Self::selector);
                self.optional(peer.pods.as_ref(), Self::selector);
            }
            Peer::IpBlock(block) => {
                self.choice(1).number(block.except.len());
                std::iter::once(&block.cidr).chain(&block.except).for_each(|net| self.net(net));
            }
        }
    }

    fn net(&mut self, net: &IpNet) {
        match net {
            IpNet::V4(net) => self.choice(4).choice(net.prefix_len()).0.extend(net.network().octets()),
            IpNet::V6(net) => self.choice(6).choice(net.prefix_len()).0.extend(net.network().octets()),
        }
    }

    fn port(&mut self, port: &PolicyPort) {
        self.port_match(port.protocol, &port.port);
    }

    fn port_match(&mut self, protocol: Protocol, port: &PortMatch) {
        self.protocol(protocol);
        match port {
            PortMatch::All => self.choice(0),
            PortMatch::Range(lo, hi) => self.choice(1).number((*lo).into()).number((*hi).into()),
            PortMatch::Named(name) => self.choice(2).text(name),
        };
    }

    fn protocol(&mut self, protocol: Protocol) {
        self.choice(protocol.number());
    }

    fn cluster_rule(&mut self, rule: &ClusterRule) {
        self.choice(match rule.action {
            Action::Accept => 0,
            Action::Deny => 1,
            Action::Pass => 2,
        });
        self.number(rule.peers.len());
        rule.peers.iter().for_each(|peer| self.cluster_peer(peer));
        self.optional(rule.ports.as_deref(), |bytes, ports| {
            bytes.number(ports.len());
            ports.iter().for_each(|port| bytes.cluster_port(port));
        });
    }

    fn cluster_peer(&mut self, peer: &ClusterPeer) {
        match peer {
            ClusterPeer::Unknown(_) => {
                self.choice(0);
            }
            ClusterPeer::Pods { namespaces, pods, .. } => {
                self.choice(1).selector(namespaces);
                self.selector(pods);
            }
            ClusterPeer::Nodes { nodes, .. } => self.choice(2).selector(nodes),
            ClusterPeer::Networks { networks, .. } => {
                self.choice(3).number(networks.len());
                networks.iter().for_each(|net| self.net(net));
            }
            ClusterPeer::Domains { names, .. } => {
                self.choice(4).number(names.len());
                for name in names {
                    self.text(name);
                }
            }
        }
    }

    fn cluster_port(&mut self, port: &ClusterPort) {
        match &port.matches {
            ClusterPortMatch::Unknown => {
                self.choice(0);
            }
            ClusterPortMatch::Port(protocol, port) => self.choice(1).port_match(*protocol, port),
            ClusterPortMatch::Named(name) => {
                self.choice(2).text(name);
            }
        }
    }

    fn hash(&self) -> u64 {
        xxh3_64(&self.0)
    }

    /// The lowest numbers are those of the built-in deciders.
    fn decider(&self) -> DeciderId {
        DeciderId(self.hash().max(16))
    }
}

fn number_of(direction: Direction) -> u8 {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}

/// A policy's name and everything in it that decides.
pub(crate) fn version(policy: &NetworkPolicy) -> u64 {
    let mut bytes = Bytes(Vec::with_capacity(512));
    bytes.text(&policy.meta.namespace).text(&policy.meta.name);
    bytes.selector(&policy.pod_selector);
    bytes.choice(policy.ingress_in_force.into()).choice(policy.egress_in_force.into());
    for rules in [&policy.ingress, &policy.egress] {
        bytes.number(rules.len());
        rules.iter().for_each(|rule| bytes.rule(rule));
    }
    bytes.hash()
}

/// As [`version`], for a cluster-scoped policy.
pub(crate) fn cluster_scoped_version(policy: &ClusterPolicy) -> u64 {
    let mut bytes = Bytes(Vec::with_capacity(512));
    bytes.text(policy.kind.as_str()).text(&policy.meta.name);
    bytes.choice(match policy.tier {
        ClusterTier::Admin => 0,
        ClusterTier::Baseline => 1,
    });
    bytes.0.extend_from_slice(&policy.priority.to_le_bytes());
    match &policy.subject {
        ClusterSubject::Unknown => {
            bytes.choice(0);
        }
        ClusterSubject::Pods { namespaces, pods } => {
            bytes.choice(1).selector(namespaces);
            bytes.selector(pods);
        }
    }
    for rules in [&policy.ingress, &policy.egress] {
        bytes.number(rules.len());
        rules.iter().for_each(|rule| bytes.cluster_rule(rule));
    }
    bytes.hash()
}

/// A rule of a version of a policy.
pub(crate) fn rule(version: u64, direction: Direction, index: u32) -> DeciderId {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&version.to_le_bytes());
    bytes[8] = number_of(direction);
    bytes[9..].copy_from_slice(&index.to_le_bytes());
    DeciderId(xxh3_64(&bytes).max(16))
}

/// The isolation of a pod by these policies, whatever they allow.
pub(crate) fn isolation<'a>(direction: Direction, policies: impl Iterator<Item = &'a Meta>) -> DeciderId {
    let mut bytes = Bytes(Vec::with_capacity(128));
    bytes.text("isolation").choice(number_of(direction));
    for meta in policies {
        bytes.text(&meta.namespace).text(&meta.name);
    }
    bytes.decider()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str) -> NetworkPolicy {
        let mut policy = NetworkPolicy { ingress_in_force: true, ..NetworkPolicy::default() };
        policy.meta.namespace = "shop".into();
        policy.meta.name = name.into();
        policy
    }

    #[test]
    fn numbers_stay_the_same_from_build_to_build() {
        let version = version(&policy("web"));
        assert_eq!(version, 0xfbf6_d0ab_160c_52ed);
        assert_eq!(rule(version, Direction::Ingress, 0), DeciderId(0xc6ad_60ca_2ab9_9f54));
        assert_eq!(
            isolation(Direction::Egress, [&policy("web").meta].into_iter()),
            DeciderId(0xf2b5_e834_b80f_6a50)
        );
    }

    #[test]
    fn absent_and_empty_differ() {
        let with = |peers: Option<Vec<Peer>>| {
            let mut policy = policy("web");
            policy.ingress.push(Rule { peers, ..Rule::default() });
            version(&policy)
        };
        assert_ne!(with(None), with(Some(vec![])));
    }

    #[test]
    fn places_in_files_do_not_count() {
        let mut moved = policy("web");
        moved.meta.source = podgate_api::Source::origin("elsewhere").at(7, 1);
        assert_eq!(version(&moved), version(&policy("web")));
    }
}
