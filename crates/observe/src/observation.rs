//! From a node's kernel events to observations.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use podgate_datapath::{EdgeTotal, Event, Reason as KernelReason, Traffic};
use podgate_flow::{Basis, Count, Half, Names, Observation, Party, Protocol, TcpFlags, Timestamp, Totals};
use podgate_policy::{DeciderId, Direction, Verdict};

/// What a kernel says of packets, one by one or many together.
struct Judged {
    source: IpAddr,
    destination: IpAddr,
    source_is_local: bool,
    destination_is_local: bool,
    verdict: Verdict,
    denied_by: Option<Direction>,
    reason: KernelReason,
    egress: DeciderId,
    ingress: DeciderId,
}

impl Judged {
    /// What the node decided at the source and at the destination; `None` where it had nothing to decide.
    fn halves(&self, node: &str, names: &Names) -> (Option<Half>, Option<Half>) {
        let half = |direction: Direction, decider: DeciderId, other: IpAddr| {
            let is_denied = self.verdict == Verdict::Denied
                && self.denied_by.is_none_or(|denied_by| denied_by == direction);
            let verdict = if is_denied { Verdict::Denied } else { Verdict::Allowed };
            let is_own_node = matches!(&*names.party(other), Party::Node { node: n } if n == node);
            let basis = match self.reason {
                _ if !is_denied && is_own_node && decider == DeciderId::NOT_ISOLATED => Basis::OwnNode,
                KernelReason::TableFull if is_denied => Basis::TableFull,
                KernelReason::UnknownPod if is_denied => Basis::UnknownPod,
                KernelReason::Fragment | KernelReason::Unparsable if is_denied => Basis::Unreadable,
                KernelReason::NoRow if is_denied => Basis::Incomplete,
                _ => Basis::Decider(decider),
            };
            Half { verdict, basis }
        };
        let stopped_at_egress = self.denied_by == Some(Direction::Egress);
        let unplaced = self.verdict == Verdict::Denied
            && self.denied_by.is_none()
            && !self.source_is_local
            && !self.destination_is_local;
        let egress = (self.source_is_local || stopped_at_egress || unplaced)
            .then(|| half(Direction::Egress, self.egress, self.destination));
        let ingress = ((self.destination_is_local || self.denied_by == Some(Direction::Ingress))
            && !stopped_at_egress)
            .then(|| half(Direction::Ingress, self.ingress, self.source));
        (egress, ingress)
    }
}

/// What a node's kernel counted of an edge; `None` when the node had no verdict to make.
pub fn count(total: &EdgeTotal, node: &str, names: &Names) -> Option<Count> {
    let judged = Judged {
        source: total.source,
        destination: total.destination,
        source_is_local: total.source_is_local,
        destination_is_local: total.destination_is_local,
        verdict: total.verdict,
        denied_by: total.denied_by,
        reason: total.reason,
        egress: total.egress,
        ingress: total.ingress,
    };
    let (egress, ingress) = judged.halves(node, names);
    if egress.is_none() && ingress.is_none() {
        return None;
    }
    let Traffic { connections, packets, bytes, reply_packets, reply_bytes } = total.traffic;
    Some(Count {
        from: total.source,
        to: total.destination,
        port: total.destination_port,
        protocol: Protocol(total.protocol),
        egress,
        ingress,
        totals: Totals { connections, packets, bytes, reply_packets, reply_bytes },
    })
}

/// A node's event as an observation; `None` when the node had no verdict to make. `boot` is the wall-clock
/// time at which the kernel's clock was zero.
pub fn observation(event: &Event, node: &Arc<str>, boot: Timestamp, names: &Names) -> Option<Observation> {
    let judged = Judged {
        source: event.source,
        destination: event.destination,
        source_is_local: event.source_is_local,
        destination_is_local: event.destination_is_local,
        verdict: event.verdict,
        denied_by: event.denied_by,
        reason: event.reason,
        egress: event.egress,
        ingress: event.ingress,
    };
    let (egress, ingress) = judged.halves(node, names);
    if egress.is_none() && ingress.is_none() {
        return None;
    }
    Some(Observation {
        time: boot.after(event.ktime),
        node: node.clone(),
        from: SocketAddr::new(event.source, event.source_port),
        to: SocketAddr::new(event.destination, event.destination_port),
        asked: event.original_destination,
        protocol: Protocol(event.protocol),
        tcp_flags: TcpFlags(event.tcp_flags),
        icmp: event.icmp,
        egress,
        ingress,
        would: None,
        reply: event.reply,
        cut: event.established && event.verdict == Verdict::Denied,
        suppressed: u64::from(event.suppressed),
    })
}

/// The wall-clock time at which the kernel's monotonic clock was zero.
pub fn boot_time() -> Timestamp {
    Timestamp(wall_clock().0.saturating_sub(since_boot().as_nanos() as u64))
}

/// How long the machine has run, without time asleep: the clock of the kernel's reports.
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.max(0) as u64, now.tv_nsec.max(0) as u32)
}

/// Now.
pub fn wall_clock() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since_epoch.unwrap_or_default().as_nanos() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A denied connection from a pod of this node to one elsewhere.
    fn event() -> Event {
        Event {
            ktime: Duration::from_millis(5),
            source: "10.0.0.1".parse().unwrap(),
            source_port: 4000,
            destination: "10.0.1.1".parse().unwrap(),
            destination_port: 80,
            original_destination: None,
            protocol: 6,
            icmp: None,
            tcp_flags: 2,
            verdict: Verdict::Denied,
            denied_by: Some(Direction::Egress),
            reason: KernelReason::Policy,
            egress: DeciderId(7),
            ingress: DeciderId::NOT_ISOLATED,
            reply: false,
            established: false,
            no_conntrack: false,
            source_is_pod: true,
            source_is_local: true,
            destination_is_pod: true,
            destination_is_local: false,
            length: 60,
            suppressed: 0,
        }
    }

    #[track_caller]
    fn check(event: Event, expected: Option<(Option<Half>, Option<Half>)>) {
        let mut names = Names::new();
        names.set_addresses([("172.16.0.1".parse().unwrap(), Party::Node { node: "node-1".into() })], []);
        let seen = observation(&event, &"node-1".into(), Timestamp(1_000_000_000), &names);
        assert_eq!(seen.map(|seen| (seen.egress, seen.ingress)), expected);
    }

    fn half(verdict: Verdict, basis: Basis) -> Option<Half> {
        Some(Half { verdict, basis })
    }

    #[test]
    fn each_node_speaks_for_its_own_pods_only() {
        let allowed = Event { verdict: Verdict::Allowed, denied_by: None, ..event() };
        let rule = Basis::Decider(DeciderId(7));
        let open = Basis::Decider(DeciderId::NOT_ISOLATED);
        check(event(), Some((half(Verdict::Denied, rule), None)));
        check(allowed.clone(), Some((half(Verdict::Allowed, rule), None)));
        let both = Event { destination_is_local: true, ..allowed.clone() };
        check(both, Some((half(Verdict::Allowed, rule), half(Verdict::Allowed, open))));
        let passing = Event { source_is_local: false, ..allowed };
        check(passing, None);
    }

    #[test]
    fn a_packet_stopped_at_the_source_never_met_the_destination() {
        let stopped = Event { destination_is_local: true, ..event() };
        check(stopped, Some((half(Verdict::Denied, Basis::Decider(DeciderId(7))), None)));
    }

    #[test]
    fn fixed_cases_are_named_after_the_kernel() {
        let unknown =
            Event { reason: KernelReason::UnknownPod, source_is_local: false, denied_by: None, ..event() };
        check(unknown, Some((half(Verdict::Denied, Basis::UnknownPod), None)));
        let full = Event { reason: KernelReason::TableFull, ..event() };
        check(full, Some((half(Verdict::Denied, Basis::TableFull), None)));
    }

    #[test]
    fn the_own_node_is_named_other_nodes_are_not() {
        let from_node = Event {
            source: "172.16.0.1".parse().unwrap(),
            source_is_pod: false,
            source_is_local: false,
            destination_is_local: true,
            verdict: Verdict::Allowed,
            denied_by: None,
            ..event()
        };
        check(from_node.clone(), Some((None, half(Verdict::Allowed, Basis::OwnNode))));
        let other = Event { source: "172.16.0.2".parse().unwrap(), ..from_node };
        check(other, Some((None, half(Verdict::Allowed, Basis::Decider(DeciderId::NOT_ISOLATED)))));
    }

    #[test]
    fn kernel_time_becomes_wall_clock_time_and_cuts_are_seen() {
        let cut = Event { established: true, suppressed: 9, ..event() };
        let seen = observation(&cut, &"n".into(), Timestamp(1_000_000_000), &Names::new()).unwrap();
        assert_eq!(seen.time, Timestamp(1_005_000_000));
        assert!(seen.cut);
        assert_eq!(seen.suppressed, 9);
    }
}
