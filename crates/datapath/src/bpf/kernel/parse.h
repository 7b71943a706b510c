/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the bytes of a packet to the fields that policy asks for. */
#ifndef PODGATE_PARSE_H
#define PODGATE_PARSE_H

#include "kernel.h"
#include "layout.h"

extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *out) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *from, __u32 offset, void *buffer,
			      __u32 buffer__szk) __ksym;

#define MAX_EXTENSION_HEADERS 8

/* IPv4 addresses are in the first word; the others are 0. */
struct packet {
	__u32 source[4];
	__u32 destination[4];
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 family;
	__u8 hop_limit;
	__u8 icmp_type;
	__u8 icmp_code;
	/* 0, or the reason (enum pg_reason) why protocol and port aren't known. */
	__u8 unclassifiable;
	/* Where the upper layer's header begins. */
	__u16 upper;
};

static __always_inline void turn_round(struct packet *packet)
{
	__u32 address[4];
	__u16 port = packet->source_port;

	__builtin_memcpy(address, packet->source, 16);
	__builtin_memcpy(packet->source, packet->destination, 16);
	__builtin_memcpy(packet->destination, address, 16);
	packet->source_port = packet->destination_port;
	packet->destination_port = port;
}

/*
 * What port keys hold in the port's place: for ICMP the type of the message that began the exchange.
 * Answers belong to their question, so that a rule for echo requests lets the replies through.
 */
static __always_inline __u32 key_port(const struct packet *packet, bool reply)
{
	__u8 type = packet->icmp_type;

	if (packet->family == NFPROTO_IPV4 ? packet->protocol == 1 : packet->protocol == 58) {
		if (!reply)
			return type;
		if (packet->protocol == 1)
			return type == 0 ? 8 : type == 14 || type == 16 || type == 18 ? type - 1 : type;
		return type == 129 || type == 140 ? type - 1 : type;
	}
	return packet->destination_port;
}

static __always_inline bool same_ends(const struct packet *packet)
{
	const __u32 *a = packet->source, *b = packet->destination;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/*
 * RFC 4861 has receivers drop discovery with another hop limit than 255, RFC 3810 multicast listener
 * messages with another than 1. What differs isn't discovery but a tunnel that looks like it.
 */
static __always_inline bool is_neighbour_discovery(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->unclassifiable)
		return false;
	if (type >= 133 && type <= 137)
		return packet->hop_limit == 255;
	return ((type >= 130 && type <= 132) || type == 143) && packet->hop_limit == 1;
}

/* Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6. */
static __always_inline bool is_extension_header(__u8 protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 51 || protocol == 60 ||
	       protocol == 135 || protocol == 139 || protocol == 140;
}

/* Walks to the upper layer's header; returns its offset, or 0 when there is none to be read. */
static __noinline __u32 skip_extension_headers(const struct bpf_dynptr *data, struct packet *packet)
{
	__u32 offset = sizeof(struct ipv6_header);
	__u8 buffer[8] = {};

#pragma clang loop unroll(disable)
	for (int i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		const __u8 *header;

		if (!is_extension_header(packet->protocol))
			return offset;
		if (i == MAX_EXTENSION_HEADERS)
			break;
		header = bpf_dynptr_slice(data, offset, buffer, sizeof(buffer));
		if (!header)
			break;
		if (packet->protocol == 44) {
			if (header[2] || header[3] & 0xf8) {
				packet->unclassifiable = PG_REASON_FRAGMENT;
				packet->protocol = header[0];
				return 0;
			}
			offset += 8;
		} else if (packet->protocol == 51) {
			offset += ((__u32)header[1] + 2) * 4;
		} else {
			offset += ((__u32)header[1] + 1) * 8;
		}
		packet->protocol = header[0];
	}
	packet->unclassifiable = PG_REASON_UNPARSABLE;
	return 0;
}

static __always_inline void parse_ports(const struct bpf_dynptr *data, __u32 offset, struct packet *packet)
{
	__u8 buffer[4] = {}, protocol = packet->protocol;
	const __u8 *upper;
	bool icmp = protocol == (packet->family == NFPROTO_IPV4 ? 1 : 58);

	/* TCP, UDP, SCTP: protocols that port keys know with ports. */
	if (!icmp && protocol != 6 && protocol != 17 && protocol != 132)
		return;
	upper = bpf_dynptr_slice(data, offset, buffer, sizeof(buffer));
	if (!upper) {
		packet->unclassifiable = PG_REASON_UNPARSABLE;
	} else if (icmp) {
		packet->icmp_type = upper[0];
		packet->icmp_code = upper[1];
	} else {
		packet->upper = offset;
		packet->source_port = upper[0] << 8 | upper[1];
		packet->destination_port = upper[2] << 8 | upper[3];
	}
}

static __always_inline void parse(struct __sk_buff *skb, struct packet *packet)
{
	__u8 buffer[sizeof(struct ipv6_header)] = {};
	struct bpf_dynptr data;
	__u32 offset;

	packet->unclassifiable = PG_REASON_UNPARSABLE;
	if (bpf_dynptr_from_skb(skb, 0, &data))
		return;
	if (packet->family == NFPROTO_IPV4) {
		const struct ipv4_header *ip =
			bpf_dynptr_slice(&data, 0, buffer, sizeof(struct ipv4_header));

		if (!ip)
			return;
		packet->source[0] = ip->source;
		packet->destination[0] = ip->destination;
		packet->protocol = ip->protocol;
		offset = (ip->version_length & 15) * 4;
		if (offset < sizeof(struct ipv4_header))
			return;
		if (ip->fragment & bpf_htons(0x1fff)) {
			packet->unclassifiable = PG_REASON_FRAGMENT;
			return;
		}
		packet->unclassifiable = 0;
	} else {
		const struct ipv6_header *ip =
			bpf_dynptr_slice(&data, 0, buffer, sizeof(struct ipv6_header));

		if (!ip)
			return;
		__builtin_memcpy(packet->source, ip->source, 16);
		__builtin_memcpy(packet->destination, ip->destination, 16);
		packet->protocol = ip->next_header;
		packet->hop_limit = ip->hop_limit;
		packet->unclassifiable = 0;
		offset = skip_extension_headers(&data, packet);
		if (!offset)
			return;
	}
	parse_ports(&data, offset, packet);
}

/*
 * Apart from parsing, which all packets pay for: 0 also when the header is cut short. A function of its own,
 * because compilers put other variables where a dynptr was, and the verifier takes that for a forgery.
 */
static __noinline __u8 tcp_flags(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_dynptr data;
	const __u8 *flags;
	__u8 buffer[1] = {};

	if (packet->protocol != 6 || !packet->upper || bpf_dynptr_from_skb(skb, 0, &data))
		return 0;
	flags = bpf_dynptr_slice(&data, packet->upper + 13, buffer, sizeof(buffer));
	return flags ? *flags : 0;
}

#endif
