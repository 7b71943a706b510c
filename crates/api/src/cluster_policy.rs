//! Cluster-scoped policies (`policy.networking.k8s.io`): `ClusterNetworkPolicy` v1alpha2 and v1beta1,
//! `AdminNetworkPolicy` and `BaselineAdminNetworkPolicy` v1alpha1, all in one form.

use std::fmt;

use ipnet::IpNet;

use crate::{LabelSelector, Meta, PortMatch, Protocol, Source};

/// A cluster-scoped policy. It isolates nobody: only its rules decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Name and source; the namespace is empty.
    pub meta: Meta,
    /// The kind it was written as.
    pub kind: ClusterPolicyKind,
    /// `spec.tier`; an AdminNetworkPolicy is in the Admin tier, a BaselineAdminNetworkPolicy in the Baseline tier.
    pub tier: ClusterTier,
    /// `spec.priority`, 0..=1000, lower is asked first. [`ClusterPolicy::NO_PRIORITY`] for a
    /// BaselineAdminNetworkPolicy, which has none and is asked last.
    pub priority: i32,
    /// `spec.subject`.
    pub subject: ClusterSubject,
    /// `spec.ingress`, asked in this order.
    pub ingress: Vec<ClusterRule>,
    /// `spec.egress`, asked in this order.
    pub egress: Vec<ClusterRule>,
}

impl ClusterPolicy {
    /// The priority of policies that have no such field.
    pub const NO_PRIORITY: i32 = 1001;
}

/// The kinds of cluster-scoped policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterPolicyKind {
    /// `AdminNetworkPolicy` v1alpha1.
    AdminNetworkPolicy,
    /// `BaselineAdminNetworkPolicy` v1alpha1.
    BaselineAdminNetworkPolicy,
    /// `ClusterNetworkPolicy` v1alpha2 or v1beta1.
    ClusterNetworkPolicy,
}

impl ClusterPolicyKind {
    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ClusterPolicyKind::AdminNetworkPolicy => "AdminNetworkPolicy",
            ClusterPolicyKind::BaselineAdminNetworkPolicy => "BaselineAdminNetworkPolicy",
            ClusterPolicyKind::ClusterNetworkPolicy => "ClusterNetworkPolicy",
        }
    }
}

impl fmt::Display for ClusterPolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When a cluster-scoped policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClusterTier {
    /// Before NetworkPolicies.
    Admin,
    /// After NetworkPolicies.
    Baseline,
}

/// The pods that a cluster-scoped policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterSubject {
    /// `namespaces` (every pod in them), or `pods` with both selectors.
    Pods {
        /// `namespaces`, or `pods.namespaceSelector`.
        namespaces: LabelSelector,
        /// `pods.podSelector`; selects everything for `namespaces`.
        pods: LabelSelector,
    },
    /// Nothing set that podgate knows, or not readable. Fails closed: the policy's Accept rules match
    /// nothing, its Deny and Pass rules deny everything to every pod.
    Unknown,
}

/// One rule of a cluster-scoped policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRule {
    /// `name`; empty when absent.
    pub name: String,
    /// What happens to matching traffic.
    pub action: Action,
    /// `from` or `to`: any of these. An empty list matches nothing; it is what is left where the API server
    /// would refuse the rule.
    pub peers: Vec<ClusterPeer>,
    /// `protocols` (v1alpha1: `ports`), any of these; `None`: every port and protocol, ICMP included.
    pub ports: Option<Vec<ClusterPort>>,
    /// Where the rule starts.
    pub source: Source,
}

/// `action` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `Accept` (v1alpha1: `Allow`): allowed, finally.
    Accept,
    /// `Deny`: denied, finally.
    Deny,
    /// `Pass`: the rest of the tier has no say.
    Pass,
}

impl Action {
    /// As `ClusterNetworkPolicy` spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::Accept => "Accept",
            Action::Deny => "Deny",
            Action::Pass => "Pass",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A peer of a cluster-scoped rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterPeer {
    /// `namespaces` (every pod in them), or `pods` with both selectors.
    Pods {
        /// `namespaces`, or `pods.namespaceSelector`.
        namespaces: LabelSelector,
        /// `pods.podSelector`; selects everything for `namespaces`.
        pods: LabelSelector,
        /// Where the peer starts.
        source: Source,
    },
    /// `nodes`: the addresses in `status.addresses` of the selected Nodes. Egress only.
    Nodes {
        /// The selector on Node labels.
        nodes: LabelSelector,
        /// Where the peer starts.
        source: Source,
    },
    /// `networks`: addresses, of pods and nodes as well. Egress only.
    Networks {
        /// The networks, host bits cleared.
        networks: Vec<IpNet>,
        /// Where the peer starts.
        source: Source,
    },
    /// `domainNames`: the addresses that DNS answers with for these names. Accept rules of egress only.
    Domains {
        /// Lower-case names without a final dot; `*.` in front stands for one or more labels.
        names: Vec<String>,
        /// Where the peer starts.
        source: Source,
    },
    /// Nothing set that podgate knows, or not readable: the rule fails closed. An Accept rule is treated as
    /// matching nothing, a Deny or Pass rule as denying everything.
    Unknown(Source),
}

impl ClusterPeer {
    /// Where the peer starts.
    pub fn source(&self) -> &Source {
        match self {
            ClusterPeer::Pods { source, .. }
            | ClusterPeer::Nodes { source, .. }
            | ClusterPeer::Networks { source, .. }
            | ClusterPeer::Domains { source, .. }
            | ClusterPeer::Unknown(source) => source,
        }
    }
}

/// An entry of `protocols` (v1alpha1: `ports`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPort {
    /// What it matches.
    pub matches: ClusterPortMatch,
    /// Where the entry starts.
    pub source: Source,
}

/// What an entry of `protocols` matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClusterPortMatch {
    /// `tcp`, `udp` or `sctp` with or without a `destinationPort`; never [`PortMatch::Named`].
    Port(Protocol, PortMatch),
    /// `destinationNamedPort` (v1alpha1: `namedPort`): the destination pod's port of this name, whatever its
    /// protocol.
    Named(String),
    /// Nothing set that podgate knows, or not readable: the rule fails closed, as for [`ClusterPeer::Unknown`].
    Unknown,
}
