//! Totals by edge and minute: exact, from the kernel's counters, long after single records are gone.

use std::net::IpAddr;
use std::sync::Arc;

use podgate_policy::Verdict;
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use crate::record::{OwnerName, Party, Reason};
use crate::{Half, Names, PolicyVersion, Protocol, Timestamp};

/// One end of an edge: pods are told apart by their workload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Place {
    /// The pods of a workload; a pod of its own stands for itself, as kind `Pod`.
    Workload {
        /// Namespace.
        namespace: String,
        /// What made the pods.
        owner: OwnerName,
    },
    /// A node.
    Node {
        /// Its name.
        node: String,
    },
    /// An address that is neither pod's nor node's.
    Outside {
        /// The address.
        ip: IpAddr,
        /// A name of it, where one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
}

impl Place {
    /// The place that a party at an address belongs to.
    pub fn of(ip: IpAddr, party: &Party) -> Place {
        match party {
            Party::Pod { namespace, pod, owner, .. } => Place::Workload {
                namespace: namespace.clone(),
                owner: owner
                    .clone()
                    .unwrap_or_else(|| OwnerName { kind: "Pod".to_owned(), name: pod.clone() }),
            },
            Party::Node { node } => Place::Node { node: node.clone() },
            Party::Outside { name } => Place::Outside { ip, name: name.clone() },
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Workload { namespace, owner } => write!(f, "{namespace}/{}", owner.name),
            Place::Node { node } => write!(f, "node {node}"),
            Place::Outside { name: Some(name), .. } => f.write_str(name),
            Place::Outside { ip, name: None } => write!(f, "{ip}"),
        }
    }
}

/// What connections must have in common to be one edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Who opens the connections.
    pub source: Arc<Place>,
    /// Who is reached, after Service translation.
    pub destination: Arc<Place>,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// The destination's port; 0 for protocols without.
    pub port: u16,
    /// What the node that counted says of it.
    pub verdict: Verdict,
    /// What decided at the source; absent where another node decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Arc<Reason>>,
    /// What decided at the destination; absent where another node decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Arc<Reason>>,
}

/// What went over an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Connections that began.
    pub connections: u64,
    /// Packets from source to destination.
    pub packets: u64,
    /// Their bytes, from the IP header on.
    pub bytes: u64,
    /// Packets from destination to source.
    pub reply_packets: u64,
    /// Their bytes.
    pub reply_bytes: u64,
}

impl Totals {
    /// Adds what else went over the edge.
    pub fn add(&mut self, other: Totals) {
        self.connections += other.connections;
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.reply_packets += other.reply_packets;
        self.reply_bytes += other.reply_bytes;
    }
}

/// What a node's kernel counted between two addresses, not yet named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Who opens the connections.
    pub from: IpAddr,
    /// Who is reached, after Service translation.
    pub to: IpAddr,
    /// The destination's port.
    pub port: u16,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// The verdict at the source, where this node has one to make.
    pub egress: Option<Half>,
    /// The verdict at the destination, where this node has one to make.
    pub ingress: Option<Half>,
    /// How much.
    pub totals: Totals,
}

/// A minute of an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EdgeMinute {
    /// When the minute begins.
    pub minute: Timestamp,
    /// The node that counted.
    pub node: Arc<str>,
    /// The policies in force.
    pub policy_version: PolicyVersion,
    /// Which edge.
    pub edge: Arc<Edge>,
    /// How much.
    pub totals: Totals,
}

const MINUTE: u64 = 60_000_000_000;

/// Sums counts up by minute.
#[derive(Debug)]
pub struct Edges {
    node: Arc<str>,
    minute: Timestamp,
    running: FxHashMap<(Arc<Edge>, PolicyVersion), Totals>,
    /// The edges of the minute before: most go on, and minutes are kept by the hour.
    known: FxHashSet<Arc<Edge>>,
}

impl Edges {
    /// Nothing counted yet.
    pub fn new(node: Arc<str>) -> Edges {
        Edges { node, minute: Timestamp(0), running: FxHashMap::default(), known: FxHashSet::default() }
    }

    /// Adds what was counted just now. Returns the edge that it was on.
    pub fn count(&mut self, version: PolicyVersion, count: &Count, names: &Names) -> Arc<Edge> {
        let is_denied = |half: &Option<Half>| half.is_some_and(|half| half.verdict == Verdict::Denied);
        let denied = is_denied(&count.egress) || is_denied(&count.ingress);
        let place = |ip| Arc::new(Place::of(ip, &names.party(ip)));
        let edge = Edge {
            source: place(count.from),
            destination: place(count.to),
            protocol: count.protocol,
            port: count.port,
            verdict: if denied { Verdict::Denied } else { Verdict::Allowed },
            egress: count.egress.map(|half| names.reason(half.basis)),
            ingress: count.ingress.map(|half| names.reason(half.basis)),
        };
        let edge = match self.known.get(&edge) {
            Some(known) => known.clone(),
            None => Arc::new(edge),
        };
        self.running.entry((edge.clone(), version)).or_default().add(count.totals);
        edge
    }

    /// Closes the running minute when it is over. Returns what it closed, in order of the edges.
    pub fn turn(&mut self, now: Timestamp) -> Vec<Arc<EdgeMinute>> {
        let minute = Timestamp(now.0 - now.0 % MINUTE);
        // What was counted before the first turn belongs to the minute that it is now.
        if self.minute == Timestamp(0) {
            self.minute = minute;
        }
        if minute == self.minute {
            return Vec::new();
        }
        let closed = self.running();
        self.known = self.running.drain().map(|((edge, _), _)| edge).collect();
        self.minute = minute;
        closed
    }

    /// The running minute so far, in order of the edges.
    pub fn running(&self) -> Vec<Arc<EdgeMinute>> {
        let minutes = self.running.iter().map(|((edge, policy_version), totals)| EdgeMinute {
            minute: self.minute,
            node: self.node.clone(),
            policy_version: *policy_version,
            edge: edge.clone(),
            totals: *totals,
        });
        let mut minutes: Vec<_> = minutes.map(Arc::new).collect();
        minutes.sort_by(|a, b| (&a.edge, a.policy_version).cmp(&(&b.edge, b.policy_version)));
        minutes
    }
}

impl EdgeMinute {
    /// Whether some of the minute lies from `since` on and before `until`.
    pub fn is_within(&self, since: Timestamp, until: Timestamp) -> bool {
        self.minute.0 + MINUTE > since.0 && self.minute < until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Basis;
    use podgate_policy::DeciderId;

    fn count(packets: u64) -> Count {
        let open = Half { verdict: Verdict::Allowed, basis: Basis::Decider(DeciderId::NOT_ISOLATED) };
        Count {
            from: "10.0.0.1".parse().unwrap(),
            to: "192.0.2.1".parse().unwrap(),
            port: 443,
            protocol: Protocol::TCP,
            egress: Some(open),
            ingress: None,
            totals: Totals { connections: 1, packets, ..Totals::default() },
        }
    }

    #[test]
    fn counts_add_up_until_their_minute_is_over() {
        let mut edges = Edges::new("n".into());
        let names = Names::new();
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        let version = PolicyVersion(1);
        edges.turn(at(60));
        edges.count(version, &count(2), &names);
        edges.count(version, &count(3), &names);
        assert!(edges.turn(at(100)).is_empty());
        let running = edges.running();
        assert_eq!(running[0].totals.packets, 5);
        let closed = edges.turn(at(121));
        assert_eq!(closed, running);
        let again = edges.count(version, &count(1), &names);
        assert!(Arc::ptr_eq(&again, &closed[0].edge), "an edge that goes on is kept once");
        assert_eq!((closed[0].minute, closed[0].totals.connections), (at(60), 2));
        edges.turn(at(181));
        assert!(edges.running().is_empty());
        assert!(closed[0].is_within(at(119), at(1000)) && !closed[0].is_within(at(120), at(1000)));
        assert!(closed[0].is_within(at(0), at(61)) && !closed[0].is_within(at(0), at(60)));
    }

    #[test]
    fn what_is_counted_before_the_first_turn_is_of_its_minute() {
        let mut edges = Edges::new("n".into());
        let at = |seconds: u64| Timestamp(seconds * 1_000_000_000);
        edges.count(PolicyVersion(1), &count(2), &Names::new());
        assert!(edges.turn(at(610)).is_empty());
        let closed = edges.turn(at(670));
        assert_eq!((closed[0].minute, closed[0].totals.packets), (at(600), 2));
    }

    #[test]
    fn pods_of_a_workload_are_one_place() {
        let pod = |pod: &str| Party::Pod {
            namespace: "shop".into(),
            pod: pod.into(),
            owner: Some(OwnerName { kind: "Deployment".into(), name: "web".into() }),
            node: None,
            labels: Default::default(),
        };
        let ip = |last: u8| IpAddr::from([10, 0, 0, last]);
        assert_eq!(Place::of(ip(1), &pod("web-1")), Place::of(ip(2), &pod("web-2")));
        assert_eq!(Place::of(ip(1), &pod("web-1")).to_string(), "shop/web");
    }
}
