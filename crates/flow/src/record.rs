//! The flow record: the one form in which connections reach people, files and other tools.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use podgate_policy::{Decider, PolicyRef, Tier, Verdict};
use serde::{Deserialize, Serialize};

use crate::{FlowId, PolicyVersion, Protocol, TcpFlags, Timestamp};

/// One connection with its verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowRecord {
    /// Tells this record from all others.
    #[serde(default, skip_serializing_if = "FlowId::is_unset")]
    pub id: FlowId,
    /// When its first packet was judged.
    pub time: Timestamp,
    /// The node that reported it; the one that denied it, when one did.
    pub node: Arc<str>,
    /// Denied as soon as one direction denies, allowed when all that have a say allow.
    pub verdict: FlowVerdict,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// Flags of the packet that was judged; none for other protocols than TCP.
    #[serde(default, skip_serializing_if = "TcpFlags::is_empty")]
    pub tcp_flags: TcpFlags,
    /// ICMP or ICMPv6 type and code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icmp: Option<(u8, u8)>,
    /// Who opened the connection.
    pub source: Endpoint,
    /// Who was reached, after Service translation.
    pub destination: Endpoint,
    /// What the client asked for, when a Service translated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<SocketAddr>,
    /// The Service that the client asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<ServiceName>>,
    /// The source's policies; absent where the source has none to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Decision>,
    /// The destination's policies; absent where it has none, was never reached, or was not heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Decision>,
    /// What it would be if the staged policies were enforced, where that differs. Never a part of the verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Box<Staged>>,
    /// The policies that were in force: see [`PolicyVersion`].
    #[serde(default, skip_serializing_if = "PolicyVersion::is_unknown")]
    pub policy_version: PolicyVersion,
    /// The packet that was judged went from the destination to the source.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reply: bool,
    /// An established connection that a policy change cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
    /// Like events that the kernel counted rather than reported since the last one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

impl FlowRecord {
    /// A record of which nothing is known but this.
    pub fn new(
        time: Timestamp,
        node: impl Into<Arc<str>>,
        verdict: FlowVerdict,
        protocol: Protocol,
        source: Endpoint,
        destination: Endpoint,
    ) -> FlowRecord {
        FlowRecord {
            id: FlowId::default(),
            time,
            node: node.into(),
            verdict,
            protocol,
            tcp_flags: TcpFlags::default(),
            icmp: None,
            source,
            destination,
            asked: None,
            service: None,
            egress: None,
            ingress: None,
            staged: None,
            policy_version: PolicyVersion::default(),
            reply: false,
            cut: false,
            suppressed: 0,
        }
    }
}

/// What a connection's verdict would be with the staged policies in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// What it would be.
    pub verdict: Verdict,
    /// What would decide at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Decision>,
    /// What would decide at the destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Decision>,
}

/// The verdict on a connection, as far as it was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlowVerdict {
    /// The connection was let through at both ends.
    Allowed,
    /// It was dropped.
    Denied,
    /// One end let it through, and the other end's node said nothing of it: the packet was lost on its way,
    /// or the report was. In a flood of denials reports are counted rather than sent.
    Unknown,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port; 0 for protocols without ports.
    pub port: u16,
    /// Whose address it is.
    #[serde(flatten)]
    pub party: Arc<Party>,
    /// Names that DNS answers gave to the address, as this node's pods saw them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Arc<[Box<str>]>>,
}

impl Endpoint {
    /// An address without names of its own.
    pub fn new(ip: IpAddr, port: u16, party: impl Into<Arc<Party>>) -> Endpoint {
        Endpoint { ip, port, party: party.into(), dns: None }
    }
}

/// Whose address an address is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Party {
    /// A pod.
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        pod: String,
        /// The workload that made it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<OwnerName>,
        /// The node it runs on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
        /// Its labels.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// A node.
    Node {
        /// Its name.
        node: String,
    },
    /// Neither pod nor node.
    Outside {
        /// A name, where one was given to the address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

/// A workload by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwnerName {
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl OwnerName {
    /// The workload that made a pod, as far as the pod's name and the labels that Kubernetes' controllers
    /// give it tell: for readers that see pods without their owner references.
    pub fn of_pod(pod: &str, labels: &BTreeMap<String, String>) -> Option<OwnerName> {
        let named = |kind: &str, name: &str| Some(OwnerName { kind: kind.to_owned(), name: name.to_owned() });
        let job = labels.get("batch.kubernetes.io/job-name").or_else(|| labels.get("job-name"));
        if let Some(job) = job {
            return named("Job", job);
        }
        if let Some(hash) = labels.get("pod-template-hash") {
            let (set, _) = pod.rsplit_once('-')?;
            return named("Deployment", set.strip_suffix(hash.as_str())?.strip_suffix('-')?);
        }
        let (before, last) = pod.rsplit_once('-')?;
        if labels.get("statefulset.kubernetes.io/pod-name").is_some_and(|name| name == pod) {
            return named("StatefulSet", before);
        }
        if labels.contains_key("controller-revision-hash") && last.len() == 5 {
            return named("DaemonSet", before);
        }
        None
    }
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The port that was asked for: the Service's or the node port.
    pub port: u16,
}

/// What one direction decided, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// Why.
    #[serde(flatten)]
    pub reason: Arc<Reason>,
    /// Where no rule allowed it: the one that came nearest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<Arc<NearMiss>>,
}

impl Decision {
    /// A decision that needs no more words.
    pub fn new(verdict: Verdict, reason: impl Into<Arc<Reason>>) -> Decision {
        Decision { verdict, reason: reason.into(), nearest: None }
    }
}

/// A rule that almost allowed a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearMiss {
    /// The policy it belongs to.
    pub policy: PolicyRef,
    /// The list it is in.
    pub list: podgate_policy::Direction,
    /// Its 0-based place in the list.
    pub rule: u32,
    /// What is missing, in words.
    pub but: String,
}

/// Why a direction allowed or denied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// A rule.
    Rule {
        /// The policy it belongs to.
        policy: PolicyRef,
        /// When the policy is asked; absent for NetworkPolicies.
        #[serde(default = "network_policy", skip_serializing_if = "is_network_policy")]
        tier: Tier,
        /// `ingress` or `egress`: the list it is in.
        list: podgate_policy::Direction,
        /// Its 0-based place in the list.
        rule: u32,
        /// `file:line:column` of the rule.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        written: String,
    },
    /// No rule allows it, and these policies isolate the pod.
    Isolated {
        /// Every policy that isolates it in this direction.
        policies: Vec<PolicyRef>,
    },
    /// No NetworkPolicy isolates the pod in this direction, and no cluster-scoped rule decides.
    NotIsolated,
    /// The setting that lets ICMP echo through.
    IcmpEcho,
    /// A pod's own node always reaches it.
    OwnNode,
    /// The address is in the pods' range and no known pod has it.
    UnknownPod,
    /// The packet's headers or its port could not be read.
    Unreadable,
    /// The verdict table found no room in the kernel: closed.
    TableFull,
    /// The verdict table in the kernel is incomplete: closed.
    Incomplete,
    /// No pod is at this end, so there are no policies to ask.
    NotAPod,
    /// A pod that reaches itself is not kept out.
    Itself,
    /// A policy that is gone made this verdict, too long ago to be named.
    Forgotten,
}

impl Reason {
    /// The reason that a decider stands for.
    pub fn of(decider: &Decider) -> Reason {
        match decider {
            Decider::NotIsolated => Reason::NotIsolated,
            Decider::IcmpEcho => Reason::IcmpEcho,
            Decider::Rule(rule) => Reason::Rule {
                policy: rule.policy.clone(),
                tier: rule.tier,
                list: rule.direction,
                rule: rule.index,
                written: rule.source.to_string(),
            },
            Decider::Isolation { policies, .. } => Reason::Isolated { policies: policies.clone() },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Rule { policy, list, rule, .. } => {
                let list = match list {
                    podgate_policy::Direction::Egress => "egress",
                    podgate_policy::Direction::Ingress => "ingress",
                };
                write!(f, "{policy} {list}[{rule}]")
            }
            Reason::Isolated { policies } => {
                f.write_str("isolated by ")?;
                for (i, policy) in policies.iter().enumerate() {
                    write!(f, "{}{policy}", if i > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Reason::NotIsolated => f.write_str("not isolated"),
            Reason::IcmpEcho => f.write_str("ICMP echo is let through"),
            Reason::OwnNode => f.write_str("the pod's own node"),
            Reason::UnknownPod => f.write_str("no known pod has this address"),
            Reason::Unreadable => f.write_str("unreadable packet"),
            Reason::TableFull => f.write_str("no room in the kernel's tables"),
            Reason::Incomplete => f.write_str("incomplete table in the kernel"),
            Reason::NotAPod => f.write_str("not a pod"),
            Reason::Itself => f.write_str("the pod itself"),
            Reason::Forgotten => f.write_str("a policy that is gone"),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Pod { namespace, pod, .. } => write!(f, "{namespace}/{pod}"),
            Party::Node { node } => write!(f, "node {node}"),
            Party::Outside { name: Some(name) } => f.write_str(name),
            Party::Outside { name: None } => f.write_str("outside"),
        }
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.name, self.port)
    }
}

fn network_policy() -> Tier {
    Tier::NetworkPolicy
}

fn is_network_policy(tier: &Tier) -> bool {
    *tier == Tier::NetworkPolicy
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_policy::{Direction, RuleRef};

    #[test]
    fn controllers_leave_their_names_with_their_pods() {
        for (pod, key, value, told) in [
            ("web-6f7c9d-x2x4z", "pod-template-hash", "6f7c9d", "Deployment/web"),
            ("web-6f7c9d-x2x4z", "pod-template-hash", "other", ""),
            ("db-0", "statefulset.kubernetes.io/pod-name", "db-0", "StatefulSet/db"),
            ("log-agent-x2x4z", "controller-revision-hash", "5d4f", "DaemonSet/log-agent"),
            ("nightly-28-x2x4z", "batch.kubernetes.io/job-name", "nightly-28", "Job/nightly-28"),
            ("alone", "app", "alone", ""),
        ] {
            let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
            let owner = OwnerName::of_pod(pod, &labels);
            let owner = owner.map(|owner| format!("{}/{}", owner.kind, owner.name)).unwrap_or_default();
            assert_eq!(owner, told, "{pod}");
        }
    }

    #[test]
    fn rules_of_every_tier_are_named_and_survive_their_line() {
        for (kind, namespace, tier, text, told) in [
            ("NetworkPolicy", "shop", Tier::NetworkPolicy, "shop/guard egress[2]", None),
            ("ClusterNetworkPolicy", "", Tier::Admin, "ClusterNetworkPolicy guard egress[2]", Some("Admin")),
            (
                "BaselineAdminNetworkPolicy",
                "",
                Tier::Baseline,
                "BaselineAdminNetworkPolicy guard egress[2]",
                Some("Baseline"),
            ),
        ] {
            let policy = PolicyRef { kind: kind.into(), namespace: namespace.into(), name: "guard".into() };
            let source = podgate_api::Source { file: "a.yaml".into(), line: 7, column: 3 };
            let rule =
                RuleRef { policy, tier, direction: Direction::Egress, index: 2, name: String::new(), source };
            let reason = Reason::of(&Decider::Rule(rule));
            assert_eq!(reason.to_string(), text);
            let line = serde_json::to_value(&reason).unwrap();
            assert_eq!(line.get("tier").and_then(|tier| tier.as_str()), told, "{line}");
            assert_eq!(serde_json::from_value::<Reason>(line).unwrap(), reason);
        }
    }
}
