//! Verdicts for single connections, from the same tables that the kernel gets.

use std::fmt;
use std::net::IpAddr;

use crate::cluster::Cluster;
use crate::pods::Told;
use crate::program::Programs;
use crate::tables::{Decider, Direction, Family, Kind, PolicyRef, PortKey, ProgramId, RuleRef, Verdict};

/// A connection attempt, as policy sees it: after Service translation, before masquerading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Who connects.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// IANA protocol number.
    pub protocol: u8,
    /// Destination port; the message type for ICMP and ICMPv6; 0 for other protocols.
    pub port: u16,
}

/// The verdict on a connection, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allowed when both sides allow.
    pub verdict: Verdict,
    /// At the source.
    pub egress: Side,
    /// At the destination.
    pub ingress: Side,
}

/// The verdict of one side, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
}

/// What made a side's verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// The address is no pod's, so no policy has a say on this side.
    NotAPod,
    /// A node and a pod that runs on it always reach each other.
    OwnNode,
    /// A pod always reaches itself.
    Itself,
    /// The setting that lets echo requests through.
    IcmpEcho,
    /// This rule. When several allow, the first by policy name and place.
    Rule(RuleRef),
    /// No rule allows it, and all these policies isolate the pod in this direction.
    Isolated(Vec<PolicyRef>),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotIsolated => f.write_str("not isolated"),
            Reason::NotAPod => f.write_str("not a pod"),
            Reason::OwnNode => f.write_str("the pod's own node"),
            Reason::Itself => f.write_str("the pod itself"),
            Reason::IcmpEcho => f.write_str("echo requests are let through by setting"),
            Reason::Rule(rule) => write!(f, "{rule}"),
            Reason::Isolated(policies) => {
                f.write_str("isolated by ")?;
                for (i, policy) in policies.iter().enumerate() {
                    write!(f, "{}{policy}", if i > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

impl Side {
    fn allowed(reason: Reason) -> Side {
        Side { verdict: Verdict::Allowed, reason }
    }
}

impl Cluster {
    /// The verdict on a connection, by the tables of the last [`Cluster::commit`].
    pub fn evaluate(&self, connection: &Connection) -> Decision {
        let Connection { from, to, protocol, port } = *connection;
        let both = |reason: Reason| Decision {
            verdict: Verdict::Allowed,
            egress: Side::allowed(reason.clone()),
            ingress: Side::allowed(reason),
        };
        if from == to {
            return both(Reason::Itself);
        }
        let (source, destination) = (self.told(from), self.told(to));
        if self.is_own_node(from, destination) || self.is_own_node(to, source) {
            return both(Reason::OwnNode);
        }
        let key = PortKey::new(protocol, port);
        let egress = source.map(Told::egress);
        let ingress = destination.map(Told::ingress);
        let egress = self.side(Direction::Egress, egress, to, destination, key);
        let ingress = self.side(Direction::Ingress, ingress, from, source, key);
        let verdict = match (egress.verdict, ingress.verdict) {
            (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
            _ => Verdict::Denied,
        };
        Decision { verdict, egress, ingress }
    }

    /// The verdict on a connection that a pod makes to itself through a Service: cluster-scoped policies apply
    /// to it, NetworkPolicies don't. [`Cluster::evaluate`] has the verdict for a pod's own address.
    pub fn evaluate_hairpin(&self, pod: IpAddr, protocol: u8, port: u16) -> Decision {
        let key = PortKey::new(protocol, port);
        let told = self.told(pod);
        let side = |program: Option<ProgramId>| {
            let program = program.and_then(|program| self.program(program));
            let row =
                program.zip(told).and_then(|(program, told)| program.itself(told.class(), Family::of(pod)));
            let Some(outcome) = row.map(|row| row.outcome(key)) else { return Side::allowed(Reason::Itself) };
            match self.decider(outcome.decider) {
                Some(Decider::Rule(rule)) => Side { verdict: outcome.verdict, reason: Reason::Rule(rule) },
                _ => Side { verdict: outcome.verdict, reason: Reason::Itself },
            }
        };
        let egress = side(told.and_then(Told::egress));
        let ingress = side(told.and_then(Told::ingress));
        let verdict = match (egress.verdict, ingress.verdict) {
            (Verdict::Allowed, Verdict::Allowed) => Verdict::Allowed,
            _ => Verdict::Denied,
        };
        Decision { verdict, egress, ingress }
    }

    fn is_own_node(&self, node: IpAddr, pod: Option<Told>) -> bool {
        pod.is_some_and(|pod| self.nodes.has(pod.node(), node))
    }

    /// The verdict of one side: `program` is `None` where the side's address is no pod's.
    fn side(
        &self,
        direction: Direction,
        program: Option<Option<ProgramId>>,
        other: IpAddr,
        other_pod: Option<Told>,
        key: PortKey,
    ) -> Side {
        let Some(program) = program else { return Side::allowed(Reason::NotAPod) };
        let Some(program) = program else { return Side::allowed(Reason::NotIsolated) };
        let class = other_pod.map(Told::class).or(self.blocks.prefix_of(other).class);
        let (Some(program), Some(class)) = (self.program(program), class) else {
            // Only before the first commit: nothing has been told yet.
            return Side::allowed(Reason::NotIsolated);
        };
        let kind = Kind { pod: other_pod.is_some(), family: Family::of(other) };
        let outcome = program.outcome(class, kind, key);
        let reason = match self.decider(outcome.decider) {
            Some(Decider::Rule(rule)) => Reason::Rule(rule),
            Some(Decider::Isolation { policies, .. }) => Reason::Isolated(policies),
            Some(Decider::IcmpEcho) => Reason::IcmpEcho,
            Some(Decider::NotIsolated) | None => Reason::NotIsolated,
        };
        debug_assert!(
            !matches!(&reason, Reason::Rule(rule) if rule.direction != direction),
            "a rule decides in its own direction"
        );
        Side { verdict: outcome.verdict, reason }
    }
}
