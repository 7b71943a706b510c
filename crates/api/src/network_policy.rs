//! `networking.k8s.io/v1` NetworkPolicy with the API server's defaults applied.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{LabelSelector, Meta, Source};

/// A NetworkPolicy. `policyTypes` is resolved into two flags; rules of a direction that is not in
/// force are kept (checks report them), and decide nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct NetworkPolicy {
    /// Name, namespace, source.
    pub meta: Meta,
    /// `spec.podSelector`: the subjects, pods of the policy's own namespace.
    pub pod_selector: LabelSelector,
    /// The policy isolates its subjects for ingress (`policyTypes`, or its default).
    pub ingress_in_force: bool,
    /// The policy isolates its subjects for egress (`policyTypes`, or its default).
    pub egress_in_force: bool,
    /// `spec.ingress`; absent and `[]` are both empty: nothing is allowed.
    pub ingress: Vec<Rule>,
    /// `spec.egress`; absent and `[]` are both empty: nothing is allowed.
    pub egress: Vec<Rule>,
}

/// One allow rule of one direction.
///
/// `Some` of an empty list matches *nothing*. Valid input never gives it: it is what is left of a list
/// whose entries could not be read, so that a rule with mistakes allows less, never more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rule {
    /// `from` or `to`; `None` for absent or `[]`: any peer.
    pub peers: Option<Vec<Peer>>,
    /// `ports`; `None` for absent or `[]`: any port and any protocol.
    pub ports: Option<Vec<PolicyPort>>,
    /// Where the rule starts.
    pub source: Source,
}

/// A `NetworkPolicyPeer`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Pods by labels and namespace labels.
    Pods(PodPeer),
    /// Addresses.
    IpBlock(IpBlock),
}

/// Pods by selectors. At least one of the two is `Some`; both together mean AND.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodPeer {
    /// `namespaceSelector`; `None` is the policy's own namespace.
    pub namespaces: Option<LabelSelector>,
    /// `podSelector`; `None` is every pod of the namespaces.
    pub pods: Option<LabelSelector>,
    /// Where the peer starts.
    pub source: Source,
}

/// `ipBlock`: the addresses of `cidr` that no `except` holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpBlock {
    /// The block, host bits cleared.
    pub cidr: IpNet,
    /// Holes in this block only, host bits cleared.
    pub except: Vec<IpNet>,
    /// Where the peer starts.
    pub source: Source,
}

/// A `NetworkPolicyPort`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PolicyPort {
    /// `protocol`, TCP by default.
    pub protocol: Protocol,
    /// `port` and `endPort`.
    pub port: PortMatch,
    /// Where the entry starts.
    pub source: Source,
}

/// The ports of one protocol that an entry names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortMatch {
    /// No `port`: every port of the protocol.
    All,
    /// `port` to `endPort`, both inclusive; equal for a single port. 1..=65535.
    Range(u16, u16),
    /// A container port's name, resolved on the destination pod.
    Named(String),
}

/// A transport protocol that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// All protocols that Kubernetes policies can name.
    pub const ALL: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

    /// The IANA protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// As the Kubernetes API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
