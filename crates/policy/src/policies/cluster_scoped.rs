//! Cluster-scoped policies compiled, failing closed where they can't be understood.

use podgate_api::{
    Action, ClusterPeer, ClusterPolicy, ClusterPort, ClusterPortMatch, ClusterRule, ClusterSubject,
    LabelSelector, PortMatch, Protocol,
};
use smallvec::SmallVec;

use super::{
    CompiledPolicy, CompiledRule, Compiler, Ids, Peers, PolicyObject, Ports, Ranges, key_range, merged, push,
};
use crate::explain::Effect;
use crate::fingerprint;
use crate::paint::ALL_KEYS;
use crate::predicates::{Ids as PredIds, Question};
use crate::tables::Direction;

/// Compiles a cluster-scoped policy, taking predicates into use; `version` is its fingerprint.
pub(crate) fn compile_cluster_scoped(
    object: ClusterPolicy,
    version: u64,
    ids: &mut impl Ids,
) -> CompiledPolicy {
    let everything = LabelSelector::default();
    let (namespaces, pods, known) = match &object.subject {
        ClusterSubject::Pods { namespaces, pods } if !namespaces.is_invalid() && !pods.is_invalid() => {
            (namespaces, pods, true)
        }
        _ => (&everything, &everything, false),
    };
    let mut compiler =
        Compiler { ids, namespace: None, version, held: PredIds::new(), held_namespaces: SmallVec::new() };
    let scope = compiler.namespaces(namespaces);
    let subject = compiler.ids.predicates().hold(Question::Subject(scope, pods.clone()));
    let ingress = compiler.cluster_rules(Direction::Ingress, &object.ingress, known);
    let egress = compiler.cluster_rules(Direction::Egress, &object.egress, known);
    let Compiler { held, held_namespaces, .. } = compiler;
    let object = PolicyObject::ClusterScoped(Box::new(object));
    CompiledPolicy { version, object, namespace: None, subject, ingress, egress, held, held_namespaces }
}

impl<I: Ids> Compiler<'_, I> {
    /// The rules of a direction; `None` without any: such a policy has no say there.
    fn cluster_rules(
        &mut self,
        direction: Direction,
        rules: &[ClusterRule],
        subject_known: bool,
    ) -> Option<Box<[CompiledRule]>> {
        if rules.is_empty() {
            return None;
        }
        let mut compiled = Vec::with_capacity(rules.len());
        for (index, rule) in rules.iter().enumerate() {
            self.cluster_rule(direction, index as u32, rule, subject_known, &mut compiled);
        }
        Some(compiled.into())
    }

    /// "Accept: treat the rule as matching no traffic. Deny and Pass: treat the rule as a 'Deny all' rule", says
    /// the API of what an implementation can't understand.
    fn cluster_rule(
        &mut self,
        direction: Direction,
        index: u32,
        rule: &ClusterRule,
        subject_known: bool,
        out: &mut Vec<CompiledRule>,
    ) {
        let decider = fingerprint::rule(self.version, direction, index);
        let understood = subject_known && understood(rule);
        match (understood, rule.action) {
            (false, Action::Accept) => {}
            (false, Action::Deny | Action::Pass) => {
                let peers = Peers { any: true, ..Peers::default() };
                let ports = (Ranges::from_slice(&[ALL_KEYS]), [].into());
                push(direction, index, Effect::Deny, decider, peers, ports, out);
            }
            (true, action) => {
                let ports = self.cluster_ports(rule.ports.as_deref());
                let peers = self.cluster_peers(&rule.peers);
                push(direction, index, Effect::of(action), decider, peers, ports, out);
            }
        }
    }

    fn cluster_peers(&mut self, written: &[ClusterPeer]) -> Peers {
        let mut peers = Peers::default();
        for peer in written {
            match peer {
                ClusterPeer::Pods { namespaces, pods, .. } => {
                    self.pods(Some(namespaces), Some(pods), &mut peers)
                }
                ClusterPeer::Networks { networks, .. } => {
                    networks.iter().for_each(|network| self.block(*network, &[], &mut peers));
                }
                ClusterPeer::Nodes { nodes, .. } => {
                    peers.blocks.push(self.hold(Question::Nodes(nodes.clone())))
                }
                ClusterPeer::Domains { names, .. } => {
                    for name in names {
                        peers.blocks.push(self.hold(Question::Domain(name.as_str().into())));
                    }
                }
                ClusterPeer::Unknown(_) => {}
            }
        }
        peers
    }

    fn cluster_ports(&mut self, ports: Option<&[ClusterPort]>) -> Ports {
        let Some(ports) = ports else { return (Ranges::from_slice(&[ALL_KEYS]), [].into()) };
        let mut ranges = Ranges::new();
        let mut named = Vec::new();
        for port in ports {
            match &port.matches {
                ClusterPortMatch::Port(protocol, PortMatch::All) => {
                    ranges.push(key_range(protocol.number(), 0, u16::MAX));
                }
                ClusterPortMatch::Port(protocol, PortMatch::Range(lo, hi)) => {
                    ranges.push(key_range(protocol.number(), *lo, *hi));
                }
                ClusterPortMatch::Port(protocol, PortMatch::Named(name)) => {
                    named.push((self.ids.port_name(name), protocol.number()));
                }
                ClusterPortMatch::Named(name) => {
                    let name = self.ids.port_name(name);
                    named.extend(Protocol::ALL.map(|protocol| (name, protocol.number())));
                }
                ClusterPortMatch::Unknown => {}
            }
        }
        named.sort_unstable();
        named.dedup();
        (merged(ranges), named.into())
    }
}

fn understood(rule: &ClusterRule) -> bool {
    let peer = |peer: &ClusterPeer| match peer {
        ClusterPeer::Pods { namespaces, pods, .. } => !namespaces.is_invalid() && !pods.is_invalid(),
        ClusterPeer::Nodes { nodes, .. } => !nodes.is_invalid(),
        ClusterPeer::Networks { .. } => true,
        // Which addresses a name has is known only in part: enough to allow, never to deny.
        ClusterPeer::Domains { .. } => rule.action == Action::Accept,
        ClusterPeer::Unknown(_) => false,
    };
    let port = |port: &ClusterPort| port.matches != ClusterPortMatch::Unknown;
    rule.peers.iter().all(peer) && rule.ports.iter().flatten().all(port)
}
