//! What is in the kernel's event buffer.

use std::mem::offset_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use podgate_policy::{DeciderId, Direction, Verdict};

use super::layout::{
    EVENT_DESTINATION_LOCAL, EVENT_DESTINATION_POD, EVENT_DST_NAT, EVENT_ESTABLISHED, EVENT_NO_CONNTRACK,
    EVENT_REPLY, EVENT_SOURCE_LOCAL, EVENT_SOURCE_POD, IPV4, RawEvent,
};
use crate::publish::layout::Fields;
use crate::{Event, Reason};

pub(crate) fn parse(bytes: &[u8]) -> Option<Event> {
    let raw = Fields::new(bytes, size_of::<RawEvent>())?;
    let family = raw.u8(offset_of!(RawEvent, family));
    let address = |at: usize| -> IpAddr {
        match family {
            IPV4 => Ipv4Addr::from(raw.bytes(at)).into(),
            _ => Ipv6Addr::from(raw.bytes(at)).into(),
        }
    };
    let flags = raw.u8(offset_of!(RawEvent, flags));
    let has = |flag: u8| flags & flag != 0;
    let destination = address(offset_of!(RawEvent, destination));
    let destination_port = raw.u16(offset_of!(RawEvent, destination_port));
    let protocol = raw.u8(offset_of!(RawEvent, protocol));
    let icmp = protocol == if family == IPV4 { 1 } else { 58 };
    let original = SocketAddr::new(
        address(offset_of!(RawEvent, original_address)),
        if icmp { 0 } else { raw.u16(offset_of!(RawEvent, original_port)) },
    );
    let elsewhere = original != SocketAddr::new(destination, destination_port);
    Some(Event {
        ktime: Duration::from_nanos(raw.u64(offset_of!(RawEvent, ktime_ns))),
        source: address(offset_of!(RawEvent, source)),
        source_port: raw.u16(offset_of!(RawEvent, source_port)),
        destination,
        destination_port,
        original_destination: (has(EVENT_DST_NAT) && elsewhere).then_some(original),
        protocol,
        icmp: icmp
            .then(|| (raw.u8(offset_of!(RawEvent, icmp_type)), raw.u8(offset_of!(RawEvent, icmp_code)))),
        tcp_flags: raw.u8(offset_of!(RawEvent, tcp_flags)),
        verdict: match raw.u8(offset_of!(RawEvent, allowed)) {
            0 => Verdict::Denied,
            _ => Verdict::Allowed,
        },
        denied_by: match raw.u8(offset_of!(RawEvent, denied_by)) {
            1 => Some(Direction::Egress),
            2 => Some(Direction::Ingress),
            _ => None,
        },
        reason: *Reason::ALL.get(usize::from(raw.u8(offset_of!(RawEvent, reason))))?,
        egress: DeciderId(raw.u64(offset_of!(RawEvent, egress_decider))),
        ingress: DeciderId(raw.u64(offset_of!(RawEvent, ingress_decider))),
        reply: has(EVENT_REPLY),
        established: has(EVENT_ESTABLISHED),
        no_conntrack: has(EVENT_NO_CONNTRACK),
        source_is_pod: has(EVENT_SOURCE_POD),
        source_is_local: has(EVENT_SOURCE_LOCAL),
        destination_is_pod: has(EVENT_DESTINATION_POD),
        destination_is_local: has(EVENT_DESTINATION_LOCAL),
        length: raw.u32(offset_of!(RawEvent, length)),
        suppressed: raw.u32(offset_of!(RawEvent, suppressed)),
    })
}
