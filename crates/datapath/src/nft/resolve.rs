//! From a logged packet to an event: the rules know slot and reason, the tables know who decided.

use std::time::Duration;

use podgate_policy::{DeciderId, Direction, PortKey, Verdict};
use rustix::time::{ClockId, clock_gettime};

use super::log::{Logged, Packet, State};
use super::store::{NftStore, program_of};
use crate::publish::layout::{DEFAULT_ANY, DEFAULT_POD, DEFAULT_V6, ITSELF, LOCAL, POD, RowKey};
use crate::publish::words::class_of;
use crate::{Event, Reason};

/// `None` when what the packet was judged by isn't known any more.
pub(super) fn event(store: &NftStore, logged: Logged, mut packet: Packet) -> Option<Event> {
    if logged.epoch != store.epoch() {
        return None;
    }
    let reply = logged.state == State::Reply;
    if reply {
        std::mem::swap(&mut packet.source, &mut packet.destination);
        std::mem::swap(&mut packet.source_port, &mut packet.destination_port);
    }
    let [source, destination] =
        [packet.source, packet.destination].map(|end| store.word_of(end, logged.slot));
    let key = PortKey::new(packet.protocol, port(&packet, reply)).0;
    // One that only claims to be itself is judged, and logged, where packets are forwarded.
    let itself =
        packet.source == packet.destination && !logged.is_forwarding && logged.state != State::Untracked;
    let decider = |direction| {
        let (own, other) = match direction {
            Direction::Egress => (source, destination),
            Direction::Ingress => (destination, source),
        };
        let program = program_of(own, direction);
        let row = |class| store.outcome(RowKey { program, class }, key);
        let default = if other & POD != 0 { DEFAULT_POD } else { DEFAULT_ANY };
        let default = if packet.source.is_ipv4() { default } else { default | DEFAULT_V6 };
        let kind = if itself { ITSELF } else { 0 };
        let found = row(class_of(other) | kind).or_else(|| row(default | kind));
        found.map_or(DeciderId::NOT_ISOLATED, |(_, decider)| DeciderId(decider))
    };
    let (denied_by, reason) = match logged.denied {
        Some((direction, reason)) => (Some(direction), reason),
        None => (None, Reason::Policy),
    };
    // What isn't a matter of policy has no decider, nor has a direction that wasn't asked any more.
    let asked = |direction| match denied_by {
        Some(Direction::Egress) => direction == Direction::Egress && reason == Reason::Policy,
        Some(Direction::Ingress) if direction == Direction::Ingress => reason == Reason::Policy,
        Some(Direction::Ingress) => matches!(reason, Reason::Policy | Reason::TableFull | Reason::NoRow),
        None => true,
    };
    let decider = |direction| if asked(direction) { decider(direction) } else { DeciderId::NOT_ISOLATED };
    let now = clock_gettime(ClockId::Monotonic);
    Some(Event {
        ktime: Duration::new(now.tv_sec as u64, now.tv_nsec as u32),
        source: packet.source,
        source_port: packet.source_port,
        destination: packet.destination,
        destination_port: packet.destination_port,
        original_destination: None,
        protocol: packet.protocol,
        icmp: packet.icmp,
        tcp_flags: packet.tcp_flags,
        verdict: if denied_by.is_some() { Verdict::Denied } else { Verdict::Allowed },
        denied_by,
        reason,
        egress: decider(Direction::Egress),
        ingress: decider(Direction::Ingress),
        reply,
        established: matches!(logged.state, State::Established | State::Reply),
        no_conntrack: logged.state == State::Untracked,
        source_is_pod: source & POD != 0,
        source_is_local: source & LOCAL != 0,
        destination_is_pod: destination & POD != 0,
        destination_is_local: destination & LOCAL != 0,
        length: packet.length,
        suppressed: 0,
    })
}

/// The port of a port key: for ICMP the type of the message that began the exchange.
fn port(packet: &Packet, reply: bool) -> u16 {
    let Some((kind, _)) = packet.icmp else { return packet.destination_port };
    let kind = match (packet.protocol, kind) {
        (1, 0) if reply => 8,
        (1, 14 | 16 | 18) | (58, 129 | 140) if reply => kind - 1,
        _ => kind,
    };
    kind.into()
}
