/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Judges every packet that leaves a node's IP stack, after destination NAT and before masquerade.
 *
 *   address -> ident -> word[generation & 1] = class, egress program, ingress program
 *   (program, class of the other end) -> row -> range that holds (protocol, port) -> verdict
 *
 * All words of one packet come from one generation, so that it sees the state before a publication
 * or the state after it, never a mixture.
 */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include "layout.h"
#include "maps.h"
#include "parse.h"
#include "answers.h"
#include "totals.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct side {
	__u64 word;
	/* The address is a pod's of this node, or may be one that found no room. */
	bool unknown;
	bool unplaced;
};

static __always_inline __u32 program_of(__u64 word)
{
	return word & PG_PROGRAM_MASK;
}

static __always_inline __u32 class_of(__u64 word)
{
	return (word >> PG_CLASS_SHIFT) & PG_CLASS_MASK;
}

static __always_inline bool in_cidr4(const struct pg_config *cfg, __u32 address)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PG_CIDRS; i++) {
		if (i >= cfg->cidrs4)
			break;
		if ((address & cfg->cidr4[i].mask) == cfg->cidr4[i].address)
			return true;
	}
	return false;
}

static __always_inline bool in_cidr6(const struct pg_config *cfg, const __u32 *address)
{
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < PG_CIDRS; i++) {
		const struct pg_cidr6 *c = &cfg->cidr6[i];

		if (i >= cfg->cidrs6)
			break;
		if ((address[0] & c->mask[0]) == c->address[0] && (address[1] & c->mask[1]) == c->address[1] &&
		    (address[2] & c->mask[2]) == c->address[2] && (address[3] & c->mask[3]) == c->address[3])
			return true;
	}
	return false;
}

static __always_inline bool is_unplaced(const struct pg_config *cfg, const __u32 *address)
{
	__u32 hash = ((address[0] ^ address[1] ^ address[2] ^ address[3]) * 0x9e3779b1u) >> 16;

	return cfg->unplaced[(hash >> 6) & (PG_UNPLACED_BITS / 64 - 1)] >> (hash & 63) & 1;
}

static __always_inline __u64 word_at(const __u32 *index, __u32 slot)
{
	const struct pg_ident *ident;

	if (!index)
		return 0;
	ident = bpf_map_lookup_elem(&idents, index);
	return ident ? ident->word[slot & 1] : 0;
}

/* What no exact address says: the longest prefix. */
static __noinline void identify_by_prefix(const struct pg_config *cfg, const __u32 *address, __u8 family,
					  __u32 slot, struct side *side)
{
	if (cfg->any_unplaced)
		side->unplaced = is_unplaced(cfg, address);
	if (family == NFPROTO_IPV4) {
		struct pg_prefix4 key = { .length = 32, .address = address[0] };

		side->unknown = in_cidr4(cfg, address[0]);
		side->word = word_at(bpf_map_lookup_elem(&lpm4, &key), slot);
	} else {
		struct pg_prefix6 key = { .length = 128 };

		__builtin_memcpy(key.address, address, 16);
		side->unknown = in_cidr6(cfg, address);
		side->word = word_at(bpf_map_lookup_elem(&lpm6, &key), slot);
	}
}

static __always_inline void identify(const struct pg_config *cfg, const __u32 *address, __u8 family,
				     __u32 slot, struct side *side)
{
	const __u32 *index;

	if (family == NFPROTO_IPV4) {
		index = bpf_map_lookup_elem(&addr4, address);
		/* Keeps the two calls apart: the kernel inlines a lookup only where it knows the map. */
		asm volatile("" : "+r"(index));
	} else {
		index = bpf_map_lookup_elem(&addr6, address);
	}
	side->unknown = false;
	side->unplaced = false;
	side->word = word_at(index, slot);
	if (!side->word)
		identify_by_prefix(cfg, address, family, slot, side);
}

struct judgement {
	__u64 decider;
	__u8 reason;
	bool allowed;
};

/*
 * `kind` has PG_ITSELF where a pod reaches itself through a Service, and PG_DEFAULT_V6 for IPv6. Programs with
 * nothing to say to pods that reach themselves have no row for it, and it is allowed.
 */
static __noinline void judge(__u32 program, __u64 other, __u32 port_key, __u32 kind,
			     struct judgement *out)
{
	__u32 itself = kind & PG_ITSELF;
	struct pg_row_key key = { .program = program, .class = class_of(other) | itself };
	const struct pg_row *row;
	__u32 base, n;

	out->decider = 0;
	out->allowed = false;
	out->reason = PG_REASON_TABLE_FULL;
	if (program == PG_CLOSED)
		return;
	out->reason = PG_REASON_NO_ROW;
	row = bpf_map_lookup_elem(&rows, &key);
	if (!row) {
		key.class = (other & PG_POD ? PG_DEFAULT_POD : PG_DEFAULT_ANY) | kind;
		row = bpf_map_lookup_elem(&rows, &key);
		if (!row) {
			out->allowed = itself;
			return;
		}
	}
	out->reason = PG_REASON_POLICY;
	out->decider = row->decider;
	out->allowed = row->allowed;
	base = row->offset;
	n = row->length;
#pragma clang loop unroll(disable)
	for (int step = 0; step < 16; step++) {
		__u32 half = n / 2, at = base + half;
		const struct pg_range *range;

		if (!n)
			return;
		range = bpf_map_lookup_elem(&ranges, &at);
		if (!range) {
			out->reason = PG_REASON_NO_ROW;
			out->allowed = false;
			return;
		}
		if (port_key < range->lo) {
			n = half;
		} else if (port_key > range->hi) {
			base = at + 1;
			n -= half + 1;
		} else {
			out->decider = range->decider;
			out->allowed = range->allowed;
			return;
		}
	}
}

/* A token bucket for each source; true: withhold the event. */
static __always_inline bool over_rate(const struct pg_config *cfg, const __u32 *source, __u64 now,
				      __u32 *suppressed)
{
	struct pg_bucket *bucket, fresh = { .last_ns = now };
	__u64 gain;

	if (!cfg->event_rate)
		return false;
	bucket = bpf_map_lookup_elem(&buckets, source);
	if (!bucket) {
		fresh.tokens = cfg->event_burst ? cfg->event_burst - 1 : 0;
		bpf_map_update_elem(&buckets, source, &fresh, BPF_ANY);
		return false;
	}
	gain = (now - bucket->last_ns) * cfg->event_rate / 1000000000ull;
	if (gain) {
		gain += bucket->tokens;
		bucket->tokens = gain < cfg->event_burst ? gain : cfg->event_burst;
		bucket->last_ns = now;
	}
	if (!bucket->tokens) {
		__sync_fetch_and_add(&bucket->suppressed, 1);
		return true;
	}
	bucket->tokens--;
	*suppressed = __sync_lock_test_and_set(&bucket->suppressed, 0);
	return false;
}

struct report {
	struct __sk_buff *skb;
	const struct pg_config *cfg;
	struct pg_counters *count;
	const struct nf_conn___pg *ct;
	__u64 egress_decider;
	__u64 ingress_decider;
	__u32 length;
	bool allowed;
	__u8 denied_by;
	__u8 reason;
	__u8 flags;
};

static __noinline void emit(const struct report *report, const struct packet *packet)
{
	const struct nf_conn___pg *ct = report->ct;
	struct pg_counters *count = report->count;
	__u64 now = bpf_ktime_get_ns();
	__u32 suppressed = 0, source[4];
	__u8 flags;
	struct pg_event *event;

	count->events_attempted++;
	__builtin_memcpy(source, packet->source, 16);
	if (constants.observe && report->flags & PG_EVENT_ESTABLISHED) {
		/*
		 * A bucket of its own, under what is no pod's address: connections that go on must not
		 * use up what is there for new ones.
		 */
		for (int i = 0; i < 4; i++)
			source[i] = ~source[i];
	}
	if (!report->allowed && over_rate(report->cfg, source, now, &suppressed)) {
		count->events_suppressed++;
		return;
	}
	flags = tcp_flags(report->skb, packet);
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count->events_lost++;
		return;
	}
	count->events_submitted++;
	event->ktime_ns = now;
	event->egress_decider = report->egress_decider;
	event->ingress_decider = report->ingress_decider;
	__builtin_memcpy(event->source, packet->source, 16);
	__builtin_memcpy(event->destination, packet->destination, 16);
	__builtin_memset(event->original_address, 0, 16);
	event->original_port = 0;
	event->suppressed = suppressed;
	event->length = report->length;
	event->source_port = packet->source_port;
	event->destination_port = packet->destination_port;
	event->protocol = packet->protocol;
	event->family = packet->family;
	event->allowed = report->allowed;
	event->denied_by = report->denied_by;
	event->reason = report->reason;
	event->flags = report->flags;
	event->icmp_type = packet->icmp_type;
	event->icmp_code = packet->icmp_code;
	event->tcp_flags = flags;
	event->pad = 0;
	if (ct && BPF_CORE_READ(ct, status) & CT_DST_NAT) {
		event->flags |= PG_EVENT_DST_NAT;
		bpf_core_read(event->original_address, 16, &ct->tuplehash[0].tuple.dst.u3);
		event->original_port = bpf_ntohs(BPF_CORE_READ(ct, tuplehash[0].tuple.dst.u.all));
	}
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Judges by policy and fills the report; the packet is in the connection's original direction. */
static __always_inline void decide(const struct pg_config *cfg, const struct packet *packet,
				   const struct side *source, const struct side *destination,
				   __u32 itself, struct report *report)
{
	__u32 egress = program_of(source->word);
	__u32 ingress = program_of(destination->word >> PG_INGRESS_SHIFT);
	__u32 port_key = (__u32)packet->protocol << 16 | key_port(packet, report->flags & PG_EVENT_REPLY);
	__u32 kind = itself | (packet->family == NFPROTO_IPV6 ? PG_DEFAULT_V6 : 0);
	struct judgement judgement;

	report->allowed = false;
	if ((source->unknown && cfg->strict) || source->unplaced) {
		report->reason = source->unplaced ? PG_REASON_TABLE_FULL : PG_REASON_UNKNOWN_POD;
		report->denied_by = PG_EGRESS;
		return;
	}
	if ((destination->unknown && cfg->strict) || destination->unplaced) {
		report->reason = destination->unplaced ? PG_REASON_TABLE_FULL : PG_REASON_UNKNOWN_POD;
		report->denied_by = PG_INGRESS;
		return;
	}
	if ((egress || ingress) && packet->unclassifiable && !itself) {
		report->reason = packet->unclassifiable;
		report->denied_by = egress ? PG_EGRESS : PG_INGRESS;
		return;
	}
	if (egress) {
		judge(egress, destination->word, port_key, kind, &judgement);
		report->egress_decider = judgement.decider;
		if (!judgement.allowed) {
			report->reason = judgement.reason;
			report->denied_by = PG_EGRESS;
			return;
		}
	}
	if (ingress) {
		judge(ingress, source->word, port_key, kind, &judgement);
		report->ingress_decider = judgement.decider;
		if (!judgement.allowed) {
			report->reason = judgement.reason;
			report->denied_by = PG_INGRESS;
			return;
		}
	}
	report->allowed = true;
}

SEC("netfilter")
int podgate(struct bpf_nf_ctx *ctx)
{
	const struct nf_hook_state___pg *state = (const void *)ctx->state;
	const struct sk_buff___pg *skb = (const void *)ctx->skb;
	struct packet packet = {};
	struct side source, destination;
	struct report report = {};
	const struct nf_conn___pg *ct;
	struct pg_config *cfg;
	struct pg_counters *count;
	__u32 zero = 0, slot, info, itself = 0;
	__u64 nfct;
	bool icmp, established, is_first, of_pod;

	cfg = bpf_map_lookup_elem(&config, &zero);
	count = bpf_map_lookup_elem(&counters, &zero);
	if (!cfg || !count)
		return constants.observe ? NF_ACCEPT : NF_DROP;
	slot = *(volatile __u64 *)&cfg->generation & 1;
	if (constants.weakly_ordered)
		slot += __sync_fetch_and_add(&count->packets, 0) >> 63;
	count->packets++;
	count->bytes += skb->len;

	/*
	 * A socket in this network namespace sent it: the node itself. The source address would
	 * prove nothing, a pod can forge it.
	 */
	if (state->sk && !constants.answers) {
		count->own_node++;
		return NF_ACCEPT;
	}

	packet.family = state->pf;
	parse((struct __sk_buff *)ctx->skb, &packet);
	nfct = skb->_nfct;
	info = nfct & CT_INFO_MASK;
	ct = (const void *)(nfct & ~(__u64)CT_INFO_MASK);
	if (state->sk) {
		count->own_node++;
		turn_round(&packet);
		/* Name servers of nodes tell the kernel not to track their connections. */
		if (is_from_name_server(&packet) && (info == CT_ESTABLISHED_REPLY || !ct)) {
			identify(cfg, packet.source, packet.family, slot, &source);
			if (source.word & PG_LOCAL)
				copy_answer((struct __sk_buff *)ctx->skb, &packet, skb->len);
		}
		return NF_ACCEPT;
	}

	icmp = packet.family == NFPROTO_IPV4 ? packet.protocol == 1 : packet.protocol == 58;
	if (packet.family == NFPROTO_IPV6 && icmp && is_neighbour_discovery(&packet)) {
		count->neighbour_discovery++;
		return NF_ACCEPT;
	}

	if (!ct) {
		count->no_conntrack++;
		report.flags |= PG_EVENT_NO_CONNTRACK;
		info = CT_NEW;
	}
	if (icmp && (info == CT_RELATED || info == CT_RELATED_REPLY)) {
		count->related++;
		return NF_ACCEPT;
	}
	if (packet.unclassifiable)
		count->unclassifiable++;
	if (info == CT_ESTABLISHED_REPLY || info == CT_RELATED_REPLY) {
		report.flags |= PG_EVENT_REPLY;
		turn_round(&packet);
	}
	/*
	 * A pod that reaches itself through a Service leaves by the device it came in by. One that only
	 * claims to be the destination came in elsewhere.
	 */
	if (same_ends(&packet) && (!state->in || state->in == state->out)) {
		count->to_itself++;
		itself = PG_ITSELF;
	}

	identify(cfg, packet.source, packet.family, slot, &source);
	identify(cfg, packet.destination, packet.family, slot, &destination);
	decide(cfg, &packet, &source, &destination, itself, &report);

	established = info == CT_ESTABLISHED || info == CT_ESTABLISHED_REPLY;
	is_first = !established && ct && !(BPF_CORE_READ(ct, status) & CT_CONFIRMED);
	of_pod = (source.word | destination.word) & PG_POD;
	if (constants.totals && (of_pod || !report.allowed)) {
		struct pg_edge edge = {
			.egress_decider = report.egress_decider,
			.ingress_decider = report.ingress_decider,
			.destination_port = packet.destination_port,
			.protocol = packet.protocol,
			.family = packet.family,
			.denied_by = report.denied_by,
			.reason = report.reason,
			.ends = source.word >> PG_EDGE_ENDS_SHIFT | destination.word >> PG_EDGE_ENDS_SHIFT
									    << PG_EDGE_DESTINATION_SHIFT,
		};
		struct pg_packet counts = {
			.length = skb->len,
			.half = *(volatile __u32 *)&cfg->totals & 1,
			.is_first = is_first,
			.is_reply = !!(report.flags & PG_EVENT_REPLY),
		};

		__builtin_memcpy(edge.source, packet.source, 16);
		__builtin_memcpy(edge.destination, packet.destination, 16);
		count_edge(&edge, &counts);
	}
	if (report.allowed) {
		count->allowed++;
		if (constants.answers && info == CT_ESTABLISHED_REPLY && source.word & PG_LOCAL &&
		    is_from_name_server(&packet))
			copy_answer((struct __sk_buff *)ctx->skb, &packet, skb->len);
		if (itself || !of_pod || !is_first || constants.observe == PG_OBSERVE_DENIED)
			return NF_ACCEPT;
	} else {
		count->denied[report.reason & (PG_REASONS - 1)]++;
	}
	report.skb = (struct __sk_buff *)ctx->skb;
	/* What nobody drops goes on: its packets aren't attempts, as those of a denied connection are. */
	if (constants.observe && ct && !is_first)
		established = true;
	report.ct = ct;
	report.cfg = cfg;
	report.count = count;
	report.length = skb->len;
	report.flags |= established ? PG_EVENT_ESTABLISHED : 0;
	report.flags |= source.word & PG_LOCAL ? PG_EVENT_SOURCE_LOCAL : 0;
	report.flags |= source.word & PG_POD ? PG_EVENT_SOURCE_POD : 0;
	report.flags |= destination.word & PG_LOCAL ? PG_EVENT_DESTINATION_LOCAL : 0;
	report.flags |= destination.word & PG_POD ? PG_EVENT_DESTINATION_POD : 0;
	emit(&report, &packet);
	if (constants.observe)
		return NF_ACCEPT;
	/* Not by `allowed`: the verifier wants to see that nothing but these two comes out. */
	return report.denied_by == PG_NO_DIRECTION ? NF_ACCEPT : NF_DROP;
}
