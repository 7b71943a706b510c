/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies what name servers answer to pods of this node. */
#ifndef PODGATE_ANSWERS_H
#define PODGATE_ANSWERS_H

#include "kernel.h"
#include <bpf/bpf_endian.h>
#include "layout.h"
#include "maps.h"
#include "parse.h"

struct pg_short_answer {
	struct pg_answer head;
	__u8 payload[PG_ANSWER_SHORT_BYTES];
};

struct pg_long_answer {
	struct pg_answer head;
	__u8 payload[PG_ANSWER_BYTES];
};

/* Whether a packet, turned round, comes from a name server's port. */
static __always_inline bool is_from_name_server(const struct packet *packet)
{
	if (packet->protocol != 6 && packet->protocol != 17)
		return false;
	for (int i = 0; i < PG_ANSWER_PORTS; i++) {
		if (i < constants.answers && packet->destination_port == constants.answer_ports[i])
			return true;
	}
	return false;
}

static __always_inline void fill(struct pg_answer *answer, const struct packet *packet, __u32 seq,
				 __u32 length, __u32 copied)
{
	answer->ktime_ns = bpf_ktime_get_ns();
	__builtin_memcpy(answer->server, packet->destination, 16);
	__builtin_memcpy(answer->client, packet->source, 16);
	answer->tcp_seq = seq;
	answer->length = length;
	answer->server_port = packet->destination_port;
	answer->client_port = packet->source_port;
	answer->copied = copied;
	answer->protocol = packet->protocol;
	answer->family = packet->family;
}

/*
 * The packet has been turned round: its source is the pod that asked. True: handed over. Two sizes of records,
 * because a ring buffer gives out what is known when the program is loaded.
 */
static __always_inline bool hand_over(const struct bpf_dynptr *data, const struct packet *packet, __u32 seq,
				      __u32 offset, __u32 length)
{
	if (length <= PG_ANSWER_SHORT_BYTES) {
		struct pg_short_answer *answer = bpf_ringbuf_reserve(&answers, sizeof(*answer), 0);

		if (!answer)
			return false;
		fill(&answer->head, packet, seq, length, length);
		if (bpf_dynptr_read(answer->payload, length, data, offset, 0)) {
			bpf_ringbuf_discard(answer, BPF_RB_NO_WAKEUP);
			return false;
		}
		bpf_ringbuf_submit(answer, BPF_RB_NO_WAKEUP);
	} else {
		struct pg_long_answer *answer = bpf_ringbuf_reserve(&answers, sizeof(*answer), 0);
		__u32 copied = length < PG_ANSWER_BYTES ? length : PG_ANSWER_BYTES;

		if (!answer)
			return false;
		fill(&answer->head, packet, seq, length, copied);
		if (bpf_dynptr_read(answer->payload, copied, data, offset, 0)) {
			bpf_ringbuf_discard(answer, BPF_RB_NO_WAKEUP);
			return false;
		}
		bpf_ringbuf_submit(answer, BPF_RB_NO_WAKEUP);
	}
	return true;
}

static __noinline void copy_answer(struct __sk_buff *skb, const struct packet *packet, __u32 total)
{
	struct pg_counters *count;
	struct bpf_dynptr data;
	__u8 buffer[20] = {};
	const __u8 *header;
	__u32 zero = 0, offset = packet->upper, seq = 0;

	count = bpf_map_lookup_elem(&counters, &zero);
	if (!count || bpf_dynptr_from_skb(skb, 0, &data))
		return;
	if (packet->protocol == 6) {
		header = bpf_dynptr_slice(&data, offset, buffer, sizeof(buffer));
		if (!header)
			return;
		seq = (__u32)header[4] << 24 | (__u32)header[5] << 16 | (__u32)header[6] << 8 | header[7];
		/* SYN comes before the first byte. */
		seq += header[13] >> 1 & 1;
		offset += (header[12] >> 4) * 4;
	} else {
		offset += 8;
	}
	if (total <= offset)
		return;
	/* Atomic, as the node's own packets come with soft interrupts on. */
	if (hand_over(&data, packet, seq, offset, total - offset))
		__sync_fetch_and_add(&count->answers_submitted, 1);
	else
		__sync_fetch_and_add(&count->answers_lost, 1);
}

#endif
