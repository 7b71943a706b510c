//! What the engine hands to everybody else: verdict tables and what changed in them.
//!
//! ```text
//! address --identity--> class, egress program, ingress program
//! (program, class of the other end) --> row --(protocol, port)--> outcome = verdict + decider
//! ```
//!
//! A *program* is the verdict table of one direction for all pods that the same policies select.
//! Programs are immutable in meaning: an edited policy makes a new program. A *class* is a set of
//! addresses that no policy can tell apart. Ids are never used twice in one engine's life.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use podgate_api::Source;
use serde::{Deserialize, Serialize};

/// A set of addresses that no policy in use can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u32);

/// The verdict table of one direction, shared by all pods that the same policies select.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramId(pub u32);

/// Names what decided: a rule, an isolation or a default. The number is a hash of the policy's name
/// and content, so it is the same on every node and after a restart. See [`Decider`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeciderId(pub u64);

impl DeciderId {
    /// No policy isolates the pod in this direction: allowed by default.
    pub const NOT_ISOLATED: DeciderId = DeciderId(0);
    /// The setting that lets ICMP echo through to isolated pods ([`crate::Settings::icmp_echo`]).
    pub const ICMP_ECHO: DeciderId = DeciderId(1);
}

/// Allowed or denied. There is no default on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The connection may be made.
    Allowed,
    /// The connection is dropped.
    Denied,
}

/// The two sides of a connection at which policy decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// At the source.
    Egress,
    /// At the destination.
    Ingress,
}

/// The two address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(ip: IpAddr) -> Family {
        if ip.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// The four kinds of addresses: a program has a default row for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// A pod's address.
    pub pod: bool,
    /// Its family.
    pub family: Family,
}

impl Kind {
    /// All four.
    pub const ALL: [Kind; 4] = [
        Kind { pod: false, family: Family::V4 },
        Kind { pod: true, family: Family::V4 },
        Kind { pod: false, family: Family::V6 },
        Kind { pod: true, family: Family::V6 },
    ];

    /// Its place in [`Kind::ALL`].
    pub(crate) fn index(self) -> usize {
        usize::from(self.pod) | (self.family as usize) << 1
    }

    /// A bit of its own.
    pub(crate) fn bit(self) -> u8 {
        1 << self.index()
    }
}

/// The order in which policies are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Tier {
    /// Cluster-scoped policies of the Admin tier.
    Admin,
    /// NetworkPolicies.
    NetworkPolicy,
    /// Cluster-scoped policies of the Baseline tier.
    Baseline,
}

/// A verdict and what made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// Allowed or denied.
    pub verdict: Verdict,
    /// What made the verdict.
    pub decider: DeciderId,
}

/// Protocol and destination port as one ordered number: `protocol << 16 | port`, 24 bits. ICMP and ICMPv6
/// have the type of the message that began the exchange in the port's place, other protocols without ports 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortKey(pub u32);

impl PortKey {
    /// The largest key.
    pub const MAX: PortKey = PortKey(0x00ff_ffff);

    /// The key of an IANA protocol number and a port.
    pub const fn new(protocol: u8, port: u16) -> Self {
        PortKey((protocol as u32) << 16 | port as u32)
    }

    /// The IANA protocol number.
    pub const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// The port.
    pub const fn port(self) -> u16 {
        self.0 as u16
    }
}

/// An inclusive range of port keys with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// First key.
    pub lo: PortKey,
    /// Last key.
    pub hi: PortKey,
    /// What happens there.
    pub outcome: Outcome,
}

/// The outcome for every protocol and port between one program and one class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Sorted, disjoint.
    pub ranges: Box<[PortRange]>,
    /// Outside all ranges.
    pub otherwise: Outcome,
}

impl Row {
    /// Whether it denies anything.
    pub fn denies(&self) -> bool {
        let mut outcomes = self.ranges.iter().map(|range| range.outcome).chain([self.otherwise]);
        outcomes.any(|outcome| outcome.verdict == Verdict::Denied)
    }

    /// The outcome for one protocol and port.
    pub fn outcome(&self, key: PortKey) -> Outcome {
        let after = self.ranges.partition_point(|range| range.lo <= key);
        match after.checked_sub(1).map(|i| self.ranges[i]) {
            Some(range) if key <= range.hi => range.outcome,
            _ => self.otherwise,
        }
    }
}

/// What an address is to policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its class, as the other end of a connection.
    pub class: ClassId,
    /// The program that judges connections it makes; `None`: not isolated.
    pub egress: Option<ProgramId>,
    /// The program that judges connections made to it; `None`: not isolated.
    pub ingress: Option<ProgramId>,
    /// The node it runs on, when known. Only that node's kernel needs the two programs.
    pub node: Option<Arc<str>>,
}

/// What one [`crate::Cluster::commit`] changed. Publishing all of it turns the state before into the
/// state after; nothing that isn't named has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Pod addresses, with their new identity; `None`: no pod has the address any more.
    pub addresses: Vec<(IpAddr, Option<Identity>)>,
    /// Classes of addresses that are no pod's, by longest matching prefix; `None`: the prefix is gone.
    /// `0.0.0.0/0` and `::/0` always have a class, told in the first delta.
    pub prefixes: Vec<(IpNet, Option<ClassId>)>,
    /// Rows that programs known before gained, because a class is new to them.
    pub rows: Vec<(ProgramId, ClassId)>,
    /// Rows that lost their meaning because the class is gone.
    pub rows_gone: Vec<(ProgramId, ClassId)>,
    /// Programs that are new: all of their rows are.
    pub programs: Vec<ProgramId>,
    /// Programs that no pod uses any more.
    pub programs_gone: Vec<ProgramId>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }
}

/// A policy by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PolicyRef {
    /// `NetworkPolicy` or a cluster-scoped kind.
    pub kind: String,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A NetworkPolicy is known by its namespace; kinds without one share their names.
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRef {
    /// The policy.
    pub policy: PolicyRef,
    /// Its tier.
    pub tier: Tier,
    /// The list the rule is in.
    pub direction: Direction,
    /// The rule's 0-based place in that list.
    pub index: u32,
    /// The rule's name, which only cluster-scoped policies have; empty otherwise.
    pub name: String,
    /// Where the rule is written.
    pub source: Source,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = match self.direction {
            Direction::Egress => "egress",
            Direction::Ingress => "ingress",
        };
        write!(f, "{} {list}[{}]", self.policy, self.index)?;
        if !self.name.is_empty() {
            write!(f, " \"{}\"", self.name)?;
        }
        Ok(())
    }
}

/// What a [`DeciderId`] stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// The setting that lets ICMP echo through.
    IcmpEcho,
    /// A rule.
    Rule(RuleRef),
    /// No rule allows it, and these policies isolate the pod in this direction.
    Isolation {
        /// The direction.
        direction: Direction,
        /// Every policy that isolates, sorted.
        policies: Vec<PolicyRef>,
    },
}
