//! What is shared with the kernel program: the mirror of `kernel/layout.h`.

use std::mem::offset_of;

pub(crate) const CIDRS: usize = 8;
/// How many ports of name servers the program knows.
pub(crate) const ANSWER_PORTS: usize = 4;
pub(crate) const UNPLACED_BITS: usize = 65536;

pub(crate) const IDENT_SIZE: usize = 16;

#[repr(C)]
pub(crate) struct Config {
    pub(crate) generation: u64,
    pub(crate) strict: u32,
    pub(crate) any_unplaced: u32,
    pub(crate) event_rate: u32,
    pub(crate) event_burst: u32,
    pub(crate) cidrs4: u32,
    pub(crate) cidrs6: u32,
    pub(crate) totals: u32,
    pub(crate) pad: u32,
    pub(crate) cidr4: [[u32; 2]; CIDRS],
    pub(crate) cidr6: [[[u32; 4]; 2]; CIDRS],
    pub(crate) unplaced: [u64; UNPLACED_BITS / 64],
}

/// The read-only data of the program.
#[repr(C)]
pub(crate) struct Constants {
    pub(crate) weakly_ordered: u8,
    pub(crate) totals: u8,
    pub(crate) observe: u8,
    pub(crate) answers: u8,
    pub(crate) answer_ports: [u16; ANSWER_PORTS],
}

/// [`Constants::observe`]: verdicts are carried out.
pub(crate) const ENFORCE: u8 = 0;
/// Denials are told of.
pub(crate) const OBSERVE_DENIED: u8 = 1;
/// New connections are told of, whatever their verdict.
pub(crate) const OBSERVE_ALL: u8 = 2;

impl Constants {
    pub(crate) fn to_bytes(&self) -> [u8; size_of::<Constants>()] {
        let mut bytes = [0; size_of::<Constants>()];
        bytes[..4].copy_from_slice(&[self.weakly_ordered, self.totals, self.observe, self.answers]);
        for (to, port) in bytes[4..].chunks_exact_mut(2).zip(self.answer_ports) {
            to.copy_from_slice(&port.to_ne_bytes());
        }
        bytes
    }
}

#[repr(C)]
pub(crate) struct RawTraffic {
    pub(crate) connections: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) reply_packets: u64,
    pub(crate) reply_bytes: u64,
}

#[repr(C)]
pub(crate) struct RawEdge {
    pub(crate) egress_decider: u64,
    pub(crate) ingress_decider: u64,
    pub(crate) source: [u32; 4],
    pub(crate) destination: [u32; 4],
    pub(crate) destination_port: u16,
    pub(crate) protocol: u8,
    pub(crate) family: u8,
    pub(crate) denied_by: u8,
    pub(crate) reason: u8,
    pub(crate) ends: u8,
    pub(crate) pad: u8,
}

/// In [`RawEdge::ends`].
pub(crate) const EDGE_SOURCE_LOCAL: u8 = 1;
pub(crate) const EDGE_SOURCE_POD: u8 = 2;
pub(crate) const EDGE_DESTINATION_LOCAL: u8 = 4;
pub(crate) const EDGE_DESTINATION_POD: u8 = 8;

#[repr(C)]
pub(crate) struct RawCounters {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) allowed: u64,
    pub(crate) denied: [u64; 8],
    pub(crate) own_node: u64,
    pub(crate) neighbour_discovery: u64,
    pub(crate) related: u64,
    pub(crate) to_itself: u64,
    pub(crate) no_conntrack: u64,
    pub(crate) unclassifiable: u64,
    pub(crate) events_attempted: u64,
    pub(crate) events_submitted: u64,
    pub(crate) events_lost: u64,
    pub(crate) events_suppressed: u64,
    pub(crate) counted: RawTraffic,
    pub(crate) unattributed: RawTraffic,
    pub(crate) answers_submitted: u64,
    pub(crate) answers_lost: u64,
}

#[repr(C)]
pub(crate) struct RawEvent {
    pub(crate) ktime_ns: u64,
    pub(crate) egress_decider: u64,
    pub(crate) ingress_decider: u64,
    pub(crate) source: [u32; 4],
    pub(crate) destination: [u32; 4],
    pub(crate) original_address: [u32; 4],
    pub(crate) suppressed: u32,
    pub(crate) length: u32,
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) original_port: u16,
    pub(crate) protocol: u8,
    pub(crate) family: u8,
    pub(crate) allowed: u8,
    pub(crate) denied_by: u8,
    pub(crate) reason: u8,
    pub(crate) flags: u8,
    pub(crate) icmp_type: u8,
    pub(crate) icmp_code: u8,
    pub(crate) tcp_flags: u8,
    pub(crate) pad: u8,
}

/// Begins a record of the buffer of answers; the payload is behind it.
#[repr(C)]
pub(crate) struct RawAnswer {
    pub(crate) ktime_ns: u64,
    pub(crate) server: [u32; 4],
    pub(crate) client: [u32; 4],
    pub(crate) tcp_seq: u32,
    pub(crate) length: u32,
    pub(crate) server_port: u16,
    pub(crate) client_port: u16,
    pub(crate) copied: u16,
    pub(crate) protocol: u8,
    pub(crate) family: u8,
}

/// The family in [`RawEvent`], [`RawEdge`] and [`RawAnswer`]; any other is IPv6.
pub(crate) const IPV4: u8 = 2;

pub(crate) const EVENT_REPLY: u8 = 1;
pub(crate) const EVENT_ESTABLISHED: u8 = 2;
pub(crate) const EVENT_DST_NAT: u8 = 4;
pub(crate) const EVENT_SOURCE_LOCAL: u8 = 8;
pub(crate) const EVENT_DESTINATION_LOCAL: u8 = 16;
pub(crate) const EVENT_SOURCE_POD: u8 = 32;
pub(crate) const EVENT_DESTINATION_POD: u8 = 64;
pub(crate) const EVENT_NO_CONNTRACK: u8 = 128;

const _: () = {
    assert!(offset_of!(Config, strict) == 8);
    assert!(offset_of!(Config, any_unplaced) == 12);
    assert!(offset_of!(Config, event_rate) == 16);
    assert!(offset_of!(Config, cidrs4) == 24);
    assert!(offset_of!(Config, totals) == 32);
    assert!(offset_of!(Config, cidr4) == 40);
    assert!(offset_of!(Config, cidr6) == 104);
    assert!(offset_of!(Config, unplaced) == 360);
    assert!(size_of::<Config>() == 8552);
    assert!(offset_of!(Constants, totals) == 1);
    assert!(offset_of!(Constants, observe) == 2);
    assert!(offset_of!(Constants, answer_ports) == 4);
    assert!(size_of::<Constants>() == 12);
    assert!(offset_of!(RawTraffic, reply_packets) == 24);
    assert!(size_of::<RawTraffic>() == 40);
    assert!(offset_of!(RawEdge, source) == 16);
    assert!(offset_of!(RawEdge, destination_port) == 48);
    assert!(offset_of!(RawEdge, ends) == 54);
    assert!(size_of::<RawEdge>() == 56);
    assert!(offset_of!(RawCounters, denied) == 24);
    assert!(offset_of!(RawCounters, own_node) == 88);
    assert!(offset_of!(RawCounters, events_attempted) == 136);
    assert!(offset_of!(RawCounters, counted) == 168);
    assert!(offset_of!(RawCounters, unattributed) == 208);
    assert!(offset_of!(RawCounters, answers_submitted) == 248);
    assert!(size_of::<RawCounters>() == 264);
    assert!(offset_of!(RawEvent, source) == 24);
    assert!(offset_of!(RawEvent, original_address) == 56);
    assert!(offset_of!(RawEvent, suppressed) == 72);
    assert!(offset_of!(RawEvent, source_port) == 80);
    assert!(offset_of!(RawEvent, protocol) == 86);
    assert!(offset_of!(RawEvent, icmp_type) == 92);
    assert!(offset_of!(RawEvent, tcp_flags) == 94);
    assert!(size_of::<RawEvent>() == 96);
    assert!(offset_of!(RawAnswer, client) == 24);
    assert!(offset_of!(RawAnswer, tcp_seq) == 40);
    assert!(offset_of!(RawAnswer, server_port) == 48);
    assert!(offset_of!(RawAnswer, protocol) == 54);
    assert!(size_of::<RawAnswer>() == 56);
};
