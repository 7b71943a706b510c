//! Exact totals of edges over any time, each packet once, however many nodes counted it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use podgate_flow::{Edge, EdgeMinute, Place, Protocol, Timestamp, Totals};
use podgate_policy::Verdict;

/// Who reaches whom on which port, whatever decides it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Who opens connections.
    pub source: Arc<Place>,
    /// Who is reached.
    pub destination: Arc<Place>,
    /// The protocol above IP.
    pub protocol: Protocol,
    /// The destination's port; 0 for protocols without.
    pub port: u16,
}

/// What went over a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// What was let through.
    pub allowed: Totals,
    /// What was denied: attempts.
    pub denied: Totals,
    /// When the last minute of it begins.
    pub last: Timestamp,
}

/// Totals by route.
///
/// A node counts what its pods send and receive. Within a node, and between a pod and the outside, that is once. Between
/// pods of two nodes both count: of their two sums the larger one stands, which is the source's, unless only the
/// destination's node was heard.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    nodes: BTreeSet<Arc<str>>,
    routes: BTreeMap<Route, Counted>,
}

/// A route's totals by who counted them.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    /// By a node that nobody counts beside.
    once: Split,
    /// By the source's node, for pods of two nodes.
    at_source: Split,
    /// By the destination's node, for pods of two nodes.
    at_destination: Split,
    last: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Split {
    allowed: Totals,
    denied: Totals,
}

impl Sums {
    /// Nothing yet.
    pub fn new() -> Sums {
        Sums::default()
    }

    /// Adds a minute.
    pub fn add(&mut self, minute: &EdgeMinute) {
        if !self.nodes.contains(&minute.node) {
            self.nodes.insert(minute.node.clone());
        }
        let edge: &Edge = &minute.edge;
        let route = Route {
            source: edge.source.clone(),
            destination: edge.destination.clone(),
            protocol: edge.protocol,
            port: edge.port,
        };
        let counted = self.routes.entry(route).or_default();
        counted.last = counted.last.max(minute.minute);
        let is_pod = |place: &Place| matches!(place, Place::Workload { .. });
        let are_pods = is_pod(&edge.source) && is_pod(&edge.destination);
        let split = match (are_pods, edge.egress.is_some(), edge.ingress.is_some()) {
            (true, true, false) => &mut counted.at_source,
            (true, false, true) => &mut counted.at_destination,
            _ => &mut counted.once,
        };
        match edge.verdict {
            Verdict::Allowed => split.allowed.add(minute.totals),
            Verdict::Denied => split.denied.add(minute.totals),
        }
    }

    /// The nodes that counted, by name.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().map(|node| &**node)
    }

    /// What went over each route, in order of the routes.
    pub fn routes(&self) -> impl Iterator<Item = (&Route, Traffic)> {
        let is_alone = self.nodes.len() < 2;
        self.routes.iter().map(move |(route, counted)| (route, counted.traffic(is_alone)))
    }
}

impl Counted {
    /// `is_alone`: one node counted, so that nothing was counted twice.
    fn traffic(&self, is_alone: bool) -> Traffic {
        let Counted { once, at_source, at_destination, last } = *self;
        let mut denied = once.denied;
        denied.add(at_source.denied);
        denied.add(at_destination.denied);
        let mut allowed = once.allowed;
        match is_alone {
            true => {
                allowed.add(at_source.allowed);
                allowed.add(at_destination.allowed);
            }
            // What the source's node let go is what arrived, and what was denied on arrival.
            false => {
                let arrived = each(at_source.allowed, at_destination.denied, u64::saturating_sub);
                allowed.add(each(arrived, at_destination.allowed, u64::max));
            }
        }
        Traffic { allowed, denied, last }
    }
}

/// Number by number.
fn each(one: Totals, other: Totals, with: impl Fn(u64, u64) -> u64) -> Totals {
    Totals {
        connections: with(one.connections, other.connections),
        packets: with(one.packets, other.packets),
        bytes: with(one.bytes, other.bytes),
        reply_packets: with(one.reply_packets, other.reply_packets),
        reply_bytes: with(one.reply_bytes, other.reply_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podgate_flow::{OwnerName, PolicyVersion, Reason};

    fn pod(name: &str) -> Place {
        let owner = OwnerName { kind: "Deployment".into(), name: name.into() };
        Place::Workload { namespace: "shop".into(), owner }
    }

    /// A minute that a node counted: `sides` says for which of its pods, as `e`, `i` or `ei`.
    fn minute(node: &str, from: Place, sides: &str, verdict: Verdict, packets: u64) -> EdgeMinute {
        let open = |side: char| sides.contains(side).then(|| Arc::new(Reason::NotIsolated));
        let edge = Edge {
            source: Arc::new(from),
            destination: Arc::new(pod("db")),
            protocol: Protocol::TCP,
            port: 5432,
            verdict,
            egress: open('e'),
            ingress: open('i'),
        };
        EdgeMinute {
            minute: Timestamp(60_000_000_000),
            node: node.into(),
            policy_version: PolicyVersion(1),
            edge: Arc::new(edge),
            totals: Totals { connections: 1, packets, bytes: packets * 100, ..Totals::default() },
        }
    }

    #[track_caller]
    fn check(minutes: &[EdgeMinute], allowed: u64, denied: u64) {
        let mut sums = Sums::new();
        minutes.iter().for_each(|minute| sums.add(minute));
        let traffic: Vec<Traffic> = sums.routes().map(|(_, traffic)| traffic).collect();
        let packets = |of: fn(&Traffic) -> Totals| traffic.iter().map(|one| of(one).packets).sum::<u64>();
        assert_eq!((packets(|one| one.allowed), packets(|one| one.denied)), (allowed, denied));
    }

    use Verdict::{Allowed, Denied};

    #[test]
    fn what_two_nodes_counted_counts_once() {
        let (at_a, at_b) =
            (minute("a", pod("web"), "e", Allowed, 10), minute("b", pod("web"), "i", Allowed, 10));
        check(&[at_a.clone(), at_b.clone()], 10, 0);
        // Pods of one node, of the same workloads, were counted by nobody else.
        check(&[at_a, at_b, minute("a", pod("web"), "ei", Allowed, 3)], 13, 0);
    }

    #[test]
    fn one_node_alone_counts_nothing_twice() {
        let here = minute("a", pod("web"), "e", Allowed, 10);
        let there = minute("a", pod("web"), "i", Allowed, 4);
        check(&[here, there], 14, 0);
    }

    #[test]
    fn what_was_denied_on_arrival_was_not_let_through() {
        let sent = minute("a", pod("web"), "e", Allowed, 10);
        check(
            &[
                sent.clone(),
                minute("b", pod("web"), "i", Denied, 3),
                minute("b", pod("web"), "i", Allowed, 7),
            ],
            7,
            3,
        );
        check(
            &[sent, minute("a", pod("web"), "e", Denied, 2), minute("b", pod("web"), "i", Allowed, 10)],
            10,
            2,
        );
    }

    #[test]
    fn what_comes_from_outside_is_counted_where_it_arrives() {
        let outside = |ip: &str| Place::Outside { ip: ip.parse().unwrap(), name: None };
        let minutes = [
            minute("a", outside("192.0.2.1"), "i", Allowed, 5),
            minute("b", outside("192.0.2.1"), "i", Allowed, 6),
        ];
        check(&minutes, 11, 0);
        let mut sums = Sums::new();
        minutes.iter().for_each(|minute| sums.add(minute));
        assert_eq!(sums.nodes().collect::<Vec<_>>(), ["a", "b"]);
    }
}
