//! Questions about a connection.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use podgate_policy::{Direction, PolicyRef, Verdict};

use super::end::asks;
use super::{EndTerms, Pattern, View};
use crate::{Decision, FlowId, FlowVerdict, Protocol, Reason, TcpFlags};

/// What a flow has to be: each list that is not empty has to fit, one entry of it is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Nothing fits: what was asked for is never seen here.
    pub never: bool,
    /// The source.
    pub source: EndTerms,
    /// The destination.
    pub destination: EndTerms,
    /// Ids of records.
    pub ids: Vec<FlowId>,
    /// Verdicts.
    pub verdicts: Vec<FlowVerdict>,
    /// What made a denial.
    pub denials: Vec<Denial>,
    /// Directions that were decided.
    pub directions: Vec<Direction>,
    /// Whether the judged packet was a reply.
    pub replies: Vec<bool>,
    /// Protocols above IP.
    pub protocols: Vec<Protocol>,
    /// Flags that are set, among others that may be.
    pub tcp_flags: Vec<TcpFlags>,
    /// Versions of IP.
    pub families: Vec<Family>,
    /// The address under which a translated end was asked for.
    pub translated: Vec<IpNet>,
    /// Nodes that decided.
    pub nodes: Vec<Pattern>,
    /// Policies that decided, or that isolate.
    pub policies: Vec<PolicyName>,
    /// Rules that decided.
    pub rules: Vec<RuleName>,
    /// Only what staged policies would decide otherwise.
    pub staged: bool,
    /// Only connections that a policy change cut.
    pub cut: bool,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What made a denial, in four words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// A rule that denies.
    Rule,
    /// No rule allows it.
    Isolation,
    /// The kernel had no table to decide by.
    NoTable,
    /// The packet can't be read.
    Unreadable,
}

impl Denial {
    /// All of them.
    pub const ALL: [Denial; 4] = [Denial::Isolation, Denial::Rule, Denial::NoTable, Denial::Unreadable];

    /// What Cilium calls it (`DropReason` of its flow API).
    pub fn name(self) -> &'static str {
        match self {
            Denial::Rule => "POLICY_DENY",
            Denial::Isolation => "POLICY_DENIED",
            Denial::NoTable => "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION",
            Denial::Unreadable => "INVALID_PACKET_DROPPED",
        }
    }

    /// What made a decision, when it is a denial.
    pub fn of(decision: &Decision) -> Option<Denial> {
        if decision.verdict == Verdict::Allowed {
            return None;
        }
        Some(match &*decision.reason {
            Reason::Rule { .. } => Denial::Rule,
            Reason::UnknownPod | Reason::TableFull | Reason::Incomplete => Denial::NoTable,
            Reason::Unreadable => Denial::Unreadable,
            Reason::Isolated { .. }
            | Reason::NotIsolated
            | Reason::IcmpEcho
            | Reason::OwnNode
            | Reason::NotAPod
            | Reason::Itself
            | Reason::Forgotten => Denial::Isolation,
        })
    }
}

impl Terms {
    /// Whether a record, or one direction of it, fits.
    pub fn accept(&self, view: View<'_>) -> bool {
        if self.never {
            return false;
        }
        let record = view.record();
        let (source, destination) = view.ends();
        let family = if record.source.ip.is_ipv4() { Family::V4 } else { Family::V6 };
        let deciding = |fits: &mut dyn FnMut(Direction, &Decision) -> bool| {
            view.decisions().any(|(direction, decision)| fits(direction, decision))
        };
        asks(&self.verdicts, |verdict| *verdict == view.verdict())
            && asks(&self.ids, |id| *id == record.id)
            && asks(&self.denials, |denial| {
                deciding(&mut |_, decision| Denial::of(decision) == Some(*denial))
            })
            && asks(&self.directions, |wanted| deciding(&mut |direction, _| direction == *wanted))
            && asks(&self.replies, |reply| *reply == record.reply)
            && asks(&self.protocols, |protocol| *protocol == record.protocol)
            && asks(&self.tcp_flags, |flags| {
                record.protocol == Protocol::TCP && record.tcp_flags.0 & flags.0 == flags.0
            })
            && asks(&self.families, |wanted| *wanted == family)
            && asks(&self.translated, |block| record.asked.is_some_and(|at| block.contains(&at.ip())))
            && asks(&self.nodes, |node| node.fits(view.node()))
            && asks(&self.policies, |policy| deciding(&mut |_, decision| policy.is_in(&decision.reason)))
            && asks(&self.rules, |rule| deciding(&mut |_, decision| rule.is(&decision.reason)))
            && (!self.staged || record.staged.is_some())
            && (!self.cut || record.cut)
            && self.source.accept(source)
            && self.destination.accept(destination)
    }
}

/// A policy; without a kind or namespace, of whatever kind or in whatever namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyName {
    /// Kind.
    pub kind: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl PolicyName {
    fn is(&self, policy: &PolicyRef) -> bool {
        self.name == policy.name
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == policy.namespace)
            && self.kind.as_ref().is_none_or(|kind| *kind == policy.kind)
    }

    fn is_in(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Rule { policy, .. } => self.is(policy),
            Reason::Isolated { policies } => policies.iter().any(|policy| self.is(policy)),
            _ => false,
        }
    }
}

/// As it is read: `Kind/namespace/name` where all is known.
impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.namespace) {
            (Some(kind), Some(namespace)) => write!(f, "{kind}/{namespace}/{}", self.name),
            (Some(kind), None) => write!(f, "{kind} {}", self.name),
            (None, Some(namespace)) => write!(f, "{namespace}/{}", self.name),
            (None, None) => f.write_str(&self.name),
        }
    }
}

/// `name`, `namespace/name`, as texts of podgate have it `Kind name`, or its id `Kind/namespace/name`, in which a policy of
/// the cluster has an empty namespace.
impl FromStr for PolicyName {
    type Err = String;

    fn from_str(text: &str) -> Result<PolicyName, String> {
        if let [kind, namespace, name] = text.trim().split('/').collect::<Vec<_>>()[..]
            && kind.starts_with(|c: char| c.is_ascii_uppercase())
            && !name.is_empty()
            && !text.trim().contains(' ')
        {
            let (kind, namespace) = (Some(kind.to_owned()), Some(namespace.to_owned()));
            return Ok(PolicyName { kind, namespace, name: name.to_owned() });
        }
        let (kind, rest) = match text.trim().split_once(' ') {
            Some((kind, rest)) => (Some(kind.to_owned()), rest.trim()),
            None => (None, text.trim()),
        };
        let (namespace, name) = match rest.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, rest),
        };
        if name.is_empty() || name.contains([' ', '/']) {
            return Err(format!(
                "{text:?} is no policy: [namespace/]name, Kind name, or Kind/namespace/name"
            ));
        }
        Ok(PolicyName { kind, namespace, name: name.to_owned() })
    }
}

/// A rule by its policy, list and place; without a policy, of whatever policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleName {
    /// Whose rule.
    pub policy: Option<PolicyName>,
    /// In which list.
    pub list: Direction,
    /// Its 0-based place in the list.
    pub index: u32,
}

impl RuleName {
    fn is(&self, reason: &Reason) -> bool {
        let Reason::Rule { policy, list, rule, .. } = reason else { return false };
        *list == self.list
            && *rule == self.index
            && self.policy.as_ref().is_none_or(|wanted| wanted.is(policy))
    }
}

/// As it is read.
impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(policy) = &self.policy {
            write!(f, "{policy} ")?;
        }
        let list = match self.list {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        };
        write!(f, "{list}[{}]", self.index)
    }
}

/// `ingress[0]`, or with a policy before it.
impl FromStr for RuleName {
    type Err = String;

    fn from_str(text: &str) -> Result<RuleName, String> {
        let unreadable = || format!("{text:?} is no rule: [[namespace/]policy ]ingress[0] or egress[0]");
        let (policy, rule) = match text.trim().rsplit_once(' ') {
            Some((policy, rule)) => (Some(policy.parse()?), rule),
            None => (None, text.trim()),
        };
        let (list, index) =
            rule.strip_suffix(']').and_then(|rule| rule.split_once('[')).ok_or_else(unreadable)?;
        let list = match list {
            "ingress" => Direction::Ingress,
            "egress" => Direction::Egress,
            _ => return Err(unreadable()),
        };
        Ok(RuleName { policy, list, index: index.parse().map_err(|_| unreadable())? })
    }
}

#[cfg(test)]
mod tests;
