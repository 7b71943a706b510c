//! The whole way to a verdict: every policy that was asked, rule by rule.

use std::net::IpAddr;

use podgate_api::{NetworkPolicy, Source};

use crate::cluster::Cluster;
use crate::evaluate::{Connection, Decision, Reason};
use crate::policies::{CompiledRule, PolicyObject};
use crate::predicates::{NameId, PredId};
use crate::programs::ProgramState;
use crate::tables::{Direction, Family, Kind, PolicyRef, PortKey, RuleRef, Tier};

/// A verdict with everything that was asked on the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict and its reasons.
    pub decision: Decision,
    /// The policies that select the source, in the order in which they are asked.
    pub egress: Vec<PolicyTrace>,
    /// The policies that select the destination, in the order in which they are asked.
    pub ingress: Vec<PolicyTrace>,
}

/// A policy that selects one end of a connection and has a say in that direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyTrace {
    /// The policy.
    pub policy: PolicyRef,
    /// Its tier.
    pub tier: Tier,
    /// The priority within the tier, for cluster-scoped policies that have one.
    pub priority: Option<i32>,
    /// Where the policy is written.
    pub source: Source,
    /// Its rules of the direction, in order.
    pub rules: Vec<RuleTrace>,
}

/// What a rule says to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// The rule.
    pub rule: RuleRef,
    /// What the rule does where it matches. A Pass rule that podgate can't understand denies.
    pub effect: Effect,
    /// Some peer of the rule is the other end.
    pub peer: bool,
    /// Some port of the rule is the connection's.
    pub port: bool,
    /// The rule matches: both at once.
    pub matches: bool,
}

/// A rule of a NetworkPolicy that isolates one end of a connection, and doesn't match it.
#[derive(Clone, Copy, Debug)]
pub struct NearRule<'a> {
    /// The policy.
    pub policy: &'a NetworkPolicy,
    /// The rule's place in the policy's list of the direction.
    pub index: u32,
    /// Some peer of the rule is the other end.
    pub peer: bool,
    /// Some port of the rule is the connection's.
    pub port: bool,
}

/// What a rule does where it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Allows.
    Allow,
    /// Denies, finally.
    Deny,
    /// Leaves the decision to the next tier.
    Pass,
}

impl Cluster {
    /// The verdict on a connection as [`Cluster::evaluate`] makes it, with every policy and rule that was asked.
    pub fn explain(&self, connection: &Connection) -> Explanation {
        let decision = self.evaluate(connection);
        let Connection { from, to, protocol, port } = *connection;
        let key = PortKey::new(protocol, port);
        let asked = |reason: &Reason| !matches!(reason, Reason::OwnNode | Reason::Itself | Reason::NotAPod);
        let trace = |direction: Direction, reason: &Reason, subject: IpAddr, other: IpAddr| {
            if asked(reason) { self.trace(direction, subject, other, to, key) } else { Vec::new() }
        };
        Explanation {
            egress: trace(Direction::Egress, &decision.egress.reason, from, to),
            ingress: trace(Direction::Ingress, &decision.ingress.reason, to, from),
            decision,
        }
    }

    fn trace(
        &self,
        direction: Direction,
        subject: IpAddr,
        other: IpAddr,
        destination: IpAddr,
        key: PortKey,
    ) -> Vec<PolicyTrace> {
        let Some(state) = self.program_state(direction, subject) else { return Vec::new() };
        let asked = Asked::new(self, other, destination, key);
        let policies = state.key.policies.iter().map(|ix| self.policies.get(*ix));
        policies
            .map(|policy| PolicyTrace {
                policy: policy.policy_ref(),
                tier: policy.tier(),
                priority: policy.priority(),
                source: policy.object.meta().source.clone(),
                rules: policy
                    .rule_refs(direction)
                    .map(|(rule, effect)| {
                        let parts = || policy.parts(direction, rule.index);
                        RuleTrace {
                            peer: parts().any(|part| asked.matches_peer(part)),
                            port: parts().any(|part| asked.matches_port(part)),
                            matches: parts().any(|part| asked.matches(part)),
                            // What can't be understood does not do what is written: it fails closed.
                            effect: parts().next().map_or(effect, |part| part.effect),
                            rule,
                        }
                    })
                    .collect(),
            })
            .collect()
    }

    /// The rules of the NetworkPolicies that isolate one end, and that match the peer without the port, the port
    /// without the peer, or neither: by policy name and place. Nothing where a rule matches, or where no
    /// NetworkPolicy isolates.
    pub fn near_rules(&self, connection: &Connection, direction: Direction) -> Vec<NearRule<'_>> {
        let Connection { from, to, protocol, port } = *connection;
        let (subject, other) = match direction {
            Direction::Egress => (from, to),
            Direction::Ingress => (to, from),
        };
        let Some(state) = self.program_state(direction, subject) else { return Vec::new() };
        let asked = Asked::new(self, other, to, PortKey::new(protocol, port));
        let mut near: Vec<NearRule> = Vec::new();
        for policy in state.key.policies.iter().map(|ix| self.policies.get(*ix)) {
            let PolicyObject::Namespaced(written) = &policy.object else { continue };
            for part in policy.rules(direction).unwrap_or_default() {
                let (peer, port) = (asked.matches_peer(part), asked.matches_port(part));
                if peer && port {
                    return Vec::new();
                }
                match near
                    .last_mut()
                    .filter(|last| last.index == part.index && std::ptr::eq(last.policy, written))
                {
                    Some(last) => {
                        last.peer |= peer;
                        last.port |= port;
                    }
                    None => near.push(NearRule { policy: written, index: part.index, peer, port }),
                }
            }
        }
        near
    }

    fn program_state(&self, direction: Direction, subject: IpAddr) -> Option<&ProgramState> {
        let told = self.told(subject)?;
        let program = match direction {
            Direction::Egress => told.egress(),
            Direction::Ingress => told.ingress(),
        };
        self.programs.states.get(&program?).map(|state| &**state)
    }

    /// Whether an address answers a predicate with yes.
    fn answers(&self, ip: IpAddr, id: PredId) -> bool {
        let kind = Kind { pod: self.told(ip).is_some(), family: Family::of(ip) };
        let unusual =
            self.class_of(ip).is_some_and(|class| self.classes.key(class).binary_search(&id).is_ok());
        unusual != self.predicates.is_usual(id, kind)
    }

    /// What the pod at an address calls this port.
    fn named_at(&self, ip: IpAddr, key: PortKey) -> Vec<(NameId, u8)> {
        let Some(pod) = self.pod_at(ip) else { return Vec::new() };
        let ports = pod.named_ports().filter(|(_, protocol, number)| PortKey::new(*protocol, *number) == key);
        ports.filter_map(|(name, protocol, _)| Some((self.names.find(name)?, protocol))).collect()
    }
}

/// What rules are asked: is it this peer, is it this port?
struct Asked<'a> {
    cluster: &'a Cluster,
    other: IpAddr,
    is_pod: bool,
    key: PortKey,
    /// What the destination calls the port.
    named: Vec<(NameId, u8)>,
}

impl<'a> Asked<'a> {
    fn new(cluster: &'a Cluster, other: IpAddr, destination: IpAddr, key: PortKey) -> Asked<'a> {
        let is_pod = cluster.told(other).is_some();
        Asked { cluster, other, is_pod, key, named: cluster.named_at(destination, key) }
    }

    fn matches_peer(&self, rule: &CompiledRule) -> bool {
        rule.any
            || (rule.all_pods && self.is_pod)
            || rule.peers.iter().any(|id| self.cluster.answers(self.other, *id))
    }

    fn matches_port(&self, rule: &CompiledRule) -> bool {
        rule.ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&self.key.0))
            || rule.named.iter().any(|name| self.named.contains(name))
    }

    fn matches(&self, rule: &CompiledRule) -> bool {
        self.matches_peer(rule) && self.matches_port(rule)
    }
}
