/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counts all packets by edge, exactly: packets that find no room are counted as such.
 *
 * Two maps take turns: user space reads and empties the one that packets no longer go to.
 */
#ifndef PODGATE_TOTALS_H
#define PODGATE_TOTALS_H

#include "kernel.h"
#include "layout.h"
#include "maps.h"

/* How a packet counts. */
struct pg_packet {
	__u32 length;
	__u8 half;
	__u8 is_first;
	__u8 is_reply;
	__u8 pad;
};

static __always_inline void add_packet(struct pg_traffic *traffic, const struct pg_packet *packet)
{
	traffic->connections += packet->is_first;
	if (packet->is_reply) {
		traffic->reply_packets++;
		traffic->reply_bytes += packet->length;
	} else {
		traffic->packets++;
		traffic->bytes += packet->length;
	}
}

static __always_inline struct pg_traffic *find_edge(__u8 half, const struct pg_edge *edge)
{
	struct pg_traffic *traffic;

	if (half) {
		traffic = bpf_map_lookup_elem(&edges1, edge);
		/* As in identify(): each lookup is inlined for its own map. */
		asm volatile("" : "+r"(traffic));
	} else {
		traffic = bpf_map_lookup_elem(&edges0, edge);
	}
	return traffic;
}

/*
 * A global function: verified once, not for every way that leads here. Packets of one CPU don't interrupt
 * each other: all that is forwarded is handled with soft interrupts off.
 */
__noinline int count_edge(const struct pg_edge *edge, const struct pg_packet *packet)
{
	struct pg_traffic *traffic, none = {};
	struct pg_counters *count;
	__u32 zero = 0, half;

	if (!edge || !packet)
		return 0;
	count = bpf_map_lookup_elem(&counters, &zero);
	if (!count)
		return 0;
	add_packet(&count->counted, packet);
	traffic = find_edge(packet->half, edge);
	if (!traffic) {
		/* Another CPU may be doing the same: what counts is that it's there afterwards. */
		bpf_map_update_elem(packet->half ? (void *)&edges1 : (void *)&edges0, edge, &none, BPF_NOEXIST);
		traffic = find_edge(packet->half, edge);
	}
	if (!traffic) {
		add_packet(&count->unattributed, packet);
		half = packet->half & 1;
		traffic = bpf_map_lookup_elem(&overflow, &half);
		if (!traffic)
			return 0;
	}
	add_packet(traffic, packet);
	return 0;
}

#endif
