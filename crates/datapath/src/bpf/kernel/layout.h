/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel program and user space share. src/bpf/layout.rs and src/publish/layout.rs mirror it;
 * both sides assert the same sizes and offsets.
 */
#ifndef PODGATE_LAYOUT_H
#define PODGATE_LAYOUT_H

#define PG_OFFSET_IS(type, member, at) \
	_Static_assert(__builtin_offsetof(type, member) == (at), #type "." #member)
#define PG_SIZE_IS(type, size) _Static_assert(sizeof(type) == (size), #type)

/*
 * An identity in one word; 0 is "no such address in this generation".
 * bits 0..19 egress program, 20..39 ingress program, 40..61 class, 62 runs on this node, 63 is a pod
 */
#define PG_PROGRAM_MASK 0xfffffu
#define PG_INGRESS_SHIFT 20
#define PG_CLASS_SHIFT 40
#define PG_CLASS_MASK 0x3fffffu
#define PG_LOCAL (1ull << 62)
#define PG_POD (1ull << 63)

enum pg_program {
	PG_NOT_ISOLATED = 0,
	/* Denies all: stands in for a program that found no room. */
	PG_CLOSED = 1,
};

/*
 * Classes 0 to 3 name a program's default rows: for addresses that are no pod's, and for pods'; the bit of
 * PG_DEFAULT_V6 is set for those of IPv6.
 */
enum { PG_DEFAULT_ANY = 0, PG_DEFAULT_POD = 1, PG_DEFAULT_V6 = 2 };

/* In a row's class: what a program says to that class's pods when they reach themselves. */
#define PG_ITSELF (1u << 31)

/* Slot `generation & 1` is the state in force; the other one is what publishing writes. */
struct pg_ident {
	__u64 word[2];
};
PG_SIZE_IS(struct pg_ident, 16);

struct pg_prefix4 {
	__u32 length;
	__u32 address;
};
PG_SIZE_IS(struct pg_prefix4, 8);

struct pg_prefix6 {
	__u32 length;
	__u32 address[4];
};
PG_SIZE_IS(struct pg_prefix6, 20);

struct pg_row_key {
	__u32 program;
	__u32 class;
};
PG_SIZE_IS(struct pg_row_key, 8);

struct pg_row {
	__u32 offset;
	__u16 length;
	__u8 allowed;
	__u8 pad;
	__u64 decider;
};
PG_SIZE_IS(struct pg_row, 16);
PG_OFFSET_IS(struct pg_row, allowed, 6);
PG_OFFSET_IS(struct pg_row, decider, 8);

/* Port keys are protocol << 16 | port, or the message type for ICMP; lo and hi are inclusive. */
struct pg_range {
	__u32 lo;
	__u32 hi;
	__u64 decider;
	__u32 allowed;
	__u32 pad;
};
PG_SIZE_IS(struct pg_range, 24);
PG_OFFSET_IS(struct pg_range, allowed, 16);

#define PG_CIDRS 8
#define PG_UNPLACED_BITS 65536

struct pg_cidr4 {
	__u32 address;
	__u32 mask;
};

struct pg_cidr6 {
	__u32 address[4];
	__u32 mask[4];
};

struct pg_config {
	__u64 generation;
	/* Whether a pod address of this node that isn't known is closed (1) or open (0). */
	__u32 strict;
	/* Whether any bit of `unplaced` is set. */
	__u32 any_unplaced;
	/* Denial events a second and source, 0: all of them; and how many may come at once. */
	__u32 event_rate;
	__u32 event_burst;
	__u32 cidrs4;
	__u32 cidrs6;
	/* Which of the two maps of edges is written, by its lowest bit. */
	__u32 totals;
	__u32 pad;
	struct pg_cidr4 cidr4[PG_CIDRS];
	struct pg_cidr6 cidr6[PG_CIDRS];
	/* Hashes of addresses that found no room: treated as closed, never as "no pod's". */
	__u64 unplaced[PG_UNPLACED_BITS / 64];
};
PG_OFFSET_IS(struct pg_config, strict, 8);
PG_OFFSET_IS(struct pg_config, any_unplaced, 12);
PG_OFFSET_IS(struct pg_config, event_rate, 16);
PG_OFFSET_IS(struct pg_config, cidrs4, 24);
PG_OFFSET_IS(struct pg_config, totals, 32);
PG_OFFSET_IS(struct pg_config, cidr4, 40);
PG_OFFSET_IS(struct pg_config, cidr6, 104);
PG_OFFSET_IS(struct pg_config, unplaced, 360);
PG_SIZE_IS(struct pg_config, 8552);

#define PG_ANSWER_PORTS 4

/* Whether verdicts are only told of, and which. */
enum pg_observe { PG_ENFORCE = 0, PG_OBSERVE_DENIED = 1, PG_OBSERVE_ALL = 2 };

/* What the loader decides; the verifier takes out of the program what it switches off. */
struct pg_constants {
	/* Loads may be reordered: costs an atomic operation a packet. */
	__u8 weakly_ordered;
	/* Whether edges are counted. */
	__u8 totals;
	/* enum pg_observe */
	__u8 observe;
	/* How many ports of name servers there are; 0: answers are not copied. */
	__u8 answers;
	__u16 answer_ports[PG_ANSWER_PORTS];
};
PG_OFFSET_IS(struct pg_constants, totals, 1);
PG_OFFSET_IS(struct pg_constants, observe, 2);
PG_OFFSET_IS(struct pg_constants, answer_ports, 4);
PG_SIZE_IS(struct pg_constants, 12);

enum pg_reason {
	PG_REASON_POLICY = 0,
	PG_REASON_TABLE_FULL = 1,
	PG_REASON_UNKNOWN_POD = 2,
	PG_REASON_FRAGMENT = 3,
	PG_REASON_UNPARSABLE = 4,
	PG_REASON_NO_ROW = 5,
	PG_REASONS = 8,
};

struct pg_traffic {
	__u64 connections;
	__u64 packets;
	__u64 bytes;
	__u64 reply_packets;
	__u64 reply_bytes;
};
PG_OFFSET_IS(struct pg_traffic, reply_packets, 24);
PG_SIZE_IS(struct pg_traffic, 40);

struct pg_counters {
	__u64 packets;
	__u64 bytes;
	__u64 allowed;
	__u64 denied[PG_REASONS];
	__u64 own_node;
	__u64 neighbour_discovery;
	__u64 related;
	__u64 to_itself;
	__u64 no_conntrack;
	__u64 unclassifiable;
	__u64 events_attempted;
	__u64 events_submitted;
	__u64 events_lost;
	__u64 events_suppressed;
	/* All that was counted by edge, and what of it found no room. */
	struct pg_traffic counted;
	struct pg_traffic unattributed;
	__u64 answers_submitted;
	__u64 answers_lost;
};
PG_OFFSET_IS(struct pg_counters, denied, 24);
PG_OFFSET_IS(struct pg_counters, own_node, 88);
PG_OFFSET_IS(struct pg_counters, events_attempted, 136);
PG_OFFSET_IS(struct pg_counters, counted, 168);
PG_OFFSET_IS(struct pg_counters, unattributed, 208);
PG_OFFSET_IS(struct pg_counters, answers_submitted, 248);
PG_SIZE_IS(struct pg_counters, 264);

/* Bits of an identity's word from PG_LOCAL on, the destination's above the source's. */
#define PG_EDGE_DESTINATION_SHIFT 2
#define PG_EDGE_ENDS_SHIFT 62

/* Whose packets are counted together. All of it is the key: padding is 0. Ends as in pg_event. */
struct pg_edge {
	__u64 egress_decider;
	__u64 ingress_decider;
	__u32 source[4];
	__u32 destination[4];
	__u16 destination_port;
	__u8 protocol;
	__u8 family;
	__u8 denied_by;
	__u8 reason;
	__u8 ends;
	__u8 pad;
};
PG_OFFSET_IS(struct pg_edge, source, 16);
PG_OFFSET_IS(struct pg_edge, destination_port, 48);
PG_OFFSET_IS(struct pg_edge, ends, 54);
PG_SIZE_IS(struct pg_edge, 56);

struct pg_bucket {
	__u64 last_ns;
	__u32 tokens;
	__u32 suppressed;
};
PG_SIZE_IS(struct pg_bucket, 16);

enum pg_event_flag {
	/* The packet went from the connection's destination to its source. */
	PG_EVENT_REPLY = 1,
	/* The connection was established: a denial cuts it. To observe, one packet of it before is enough. */
	PG_EVENT_ESTABLISHED = 2,
	/* original_address and original_port differ from the destination. */
	PG_EVENT_DST_NAT = 4,
	PG_EVENT_SOURCE_LOCAL = 8,
	PG_EVENT_DESTINATION_LOCAL = 16,
	PG_EVENT_SOURCE_POD = 32,
	PG_EVENT_DESTINATION_POD = 64,
	PG_EVENT_NO_CONNTRACK = 128,
};

enum pg_direction { PG_NO_DIRECTION = 0, PG_EGRESS = 1, PG_INGRESS = 2 };

/* Source and destination are those of the connection's first packet, after destination NAT. */
struct pg_event {
	__u64 ktime_ns;
	__u64 egress_decider;
	__u64 ingress_decider;
	__u32 source[4];
	__u32 destination[4];
	__u32 original_address[4];
	/* Denial events of this source that the rate limit withheld since its last one. */
	__u32 suppressed;
	/* Bytes of the packet from its IP header on. */
	__u32 length;
	__u16 source_port;
	__u16 destination_port;
	__u16 original_port;
	__u8 protocol;
	__u8 family;
	__u8 allowed;
	__u8 denied_by;
	__u8 reason;
	__u8 flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 tcp_flags;
	__u8 pad;
};
PG_OFFSET_IS(struct pg_event, source, 24);
PG_OFFSET_IS(struct pg_event, original_address, 56);
PG_OFFSET_IS(struct pg_event, suppressed, 72);
PG_OFFSET_IS(struct pg_event, source_port, 80);
PG_OFFSET_IS(struct pg_event, protocol, 86);
PG_OFFSET_IS(struct pg_event, icmp_type, 92);
PG_OFFSET_IS(struct pg_event, tcp_flags, 94);
PG_SIZE_IS(struct pg_event, 96);

/* So much of an answer is copied, and so much of those that are short, as most are. */
#define PG_ANSWER_BYTES 4096
#define PG_ANSWER_SHORT_BYTES 512

/* A packet of a name server, with `copied` bytes of its payload behind it. */
struct pg_answer {
	__u64 ktime_ns;
	__u32 server[4];
	__u32 client[4];
	__u32 tcp_seq;
	/* Bytes of the payload. */
	__u32 length;
	__u16 server_port;
	__u16 client_port;
	__u16 copied;
	__u8 protocol;
	__u8 family;
};
PG_OFFSET_IS(struct pg_answer, client, 24);
PG_OFFSET_IS(struct pg_answer, tcp_seq, 40);
PG_OFFSET_IS(struct pg_answer, server_port, 48);
PG_OFFSET_IS(struct pg_answer, protocol, 54);
PG_SIZE_IS(struct pg_answer, 56);

#endif
