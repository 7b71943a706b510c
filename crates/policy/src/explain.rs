//! The whole way to a verdict: every policy that was asked, rule by rule.

use std::net::IpAddr;

use podgate_api::Source;

use crate::cluster::Cluster;
use crate::evaluate::{Connection, Decision, Reason};
use crate::policies::CompiledRule;
use crate::predicates::{NameId, PredId};
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
        let program = self.told(subject).and_then(|told| match direction {
            Direction::Egress => told.egress(),
            Direction::Ingress => told.ingress(),
        });
        let Some(state) = program.and_then(|program| self.programs.states.get(&program)) else {
            return Vec::new();
        };
        let is_pod = self.told(other).is_some();
        let named = self.named_at(destination, key);
        let matches_peer = |rule: &CompiledRule| {
            rule.any || (rule.all_pods && is_pod) || rule.peers.iter().any(|id| self.answers(other, *id))
        };
        let matches_port = |rule: &CompiledRule| {
            rule.ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&key.0))
                || rule.named.iter().any(|name| named.contains(name))
        };
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
                            peer: parts().any(matches_peer),
                            port: parts().any(matches_port),
                            matches: parts().any(|part| matches_peer(part) && matches_port(part)),
                            // What can't be understood does not do what is written: it fails closed.
                            effect: parts().next().map_or(effect, |part| part.effect),
                            rule,
                        }
                    })
                    .collect(),
            })
            .collect()
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
